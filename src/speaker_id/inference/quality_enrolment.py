"""Doubts about an enrolment: two people under one name, one person under two names, two voices in one recording."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse.csgraph import connected_components

from speaker_id.contracts import Embedder, FloatArray, Gallery, OperatingPoint
from speaker_id.errors import DoubtfulEnrolment
from speaker_id.inference.decision import identification
from speaker_id.inference.names import shown
from speaker_id.inference.quality import Quality
from speaker_id.inference.voices import two_voices


def warnings_of(
    user: str,
    rows: FloatArray,
    waveforms: Sequence[FloatArray],
    qualities: Sequence[Quality],
    embedder: Embedder,
    gallery: Gallery,
    point: OperatingPoint | None,
    *,
    strict: bool,
) -> tuple[str, ...]:
    """What a person should look at before or after recordings (S,), embedded as `rows` (n, E), are added to a user.

    Doubts about who speaks, where an operating point says what is alike, then what makes recordings poor. With
    `strict` doubts are raised as DoubtfulEnrolment.
    """
    found = [] if point is None else doubts(user, rows, waveforms, embedder, gallery, point)
    if strict and found:
        raise DoubtfulEnrolment(f"{shown(user)} is not enrolled, nothing is kept: {'; '.join(found)}")
    return (*found, *remarks(qualities))


def doubts(
    user: str,
    rows: FloatArray,
    waveforms: Sequence[FloatArray],
    embedder: Embedder,
    gallery: Gallery,
    point: OperatingPoint,
) -> list[str]:
    """What speaks against adding recordings (S,), embedded as `rows` (n, E), to a user; in words, changes nothing."""
    return [
        *strangers(rows, gallery.embeddings(user), point.threshold),
        *doubles(user, rows, gallery, point),
        *two_voices_in(waveforms, embedder, point.threshold),
    ]


def strangers(rows: FloatArray, kept: FloatArray, threshold: float) -> list[str]:
    """Recordings that do not belong together: unit rows (n, E) new, (m, E) kept.

    They belong together when a chain of scores that reach the threshold links them: one person's recordings need not
    all be alike, two people's clusters are not linked.
    """
    every = np.concatenate([rows, kept.reshape(-1, rows.shape[1])]).astype(np.float64)
    _, group = connected_components(every @ every.T >= threshold, directed=False)
    new, old = group[: len(rows)], group[len(rows) :]
    found = []
    if len(set(new)) > 1:
        parts = [_numbers(np.flatnonzero(new == each) + 1) for each in dict.fromkeys(new)]
        found.append(f"the recordings are not alike: {' against '.join(parts)}; are there two people under one name?")
    if len(old) and not set(new) & set(old):
        found.append("no recording is like those kept of this user: is it the same person?")
    return found


def doubles(user: str, rows: FloatArray, gallery: Gallery, point: OperatingPoint) -> list[str]:
    """Another user whom the mean of unit rows (n, E) would be taken for."""
    mean = rows.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    if length < 1e-6:  # opposite recordings have no direction
        return []
    matches = gallery.search((mean / length).astype(np.float32), limit=2)
    others = [match for match in matches if match.user != user]
    num_others = gallery.num_users() - (gallery.enrolled(user) is not None)
    answer = identification(others, point, 0.5, 1, num_users=num_others)
    if answer.user is None:
        return []
    return [
        f"{shown(answer.user)} is already enrolled and as alike as the same person (score {answer.score:.3f} >= "
        f"{answer.threshold:.3f}): is this one person under two names?"
    ]


def two_voices_in(waveforms: Sequence[FloatArray], embedder: Embedder, threshold: float) -> list[str]:
    """Recordings (S,) in which two people seem to speak."""
    found = two_voices(waveforms, embedder, threshold)
    return [
        f"recording {number} seems to hold {each}" for number, each in enumerate(found, start=1) if each is not None
    ]


def remarks(qualities: Sequence[Quality]) -> list[str]:
    return [f"recording {n}: {remark}" for n, quality in enumerate(qualities, start=1) for remark in quality.remarks]


def _numbers(numbers: np.ndarray) -> str:
    return f"recording{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
