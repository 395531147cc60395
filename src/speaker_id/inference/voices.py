"""Whether one recording holds two voices: its windows fall into two groups, and the groups are not alike."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from speaker_id.contracts import Embedder, FloatArray
from speaker_id.errors import AudioError
from speaker_id.inference.quality import Quality, QualityLimits
from speaker_id.vad.energy import Energy
from speaker_id.vad.stretches import cut

WINDOW_SECONDS, STEP_SECONDS = 1.5, 0.75  # of speech: a turn of a conversation fills one or two
MIN_WINDOWS = 5  # 4.5 s of speech: fewer often look like two voices
MAX_WINDOWS = 80  # of a long recording, evenly spaced: a minute of speech is embedded twice, ten minutes a fifth
MIN_SHARE = 0.15  # of the windows, and at least two, make a group: one odd window is a laugh or a cough
RISE = 0.25  # of what is left up to 1: the more windows, the more alike are the two groups of one voice
_SPEECH = Energy(min_pause_seconds=0.3, pad_seconds=0.05)
_MAX_ROUNDS = 20


class Groups(NamedTuple):
    """The two that the windows of a recording fall into."""

    score: float  # cosine of their means
    share: float  # of the windows, in the smaller one


class TwoVoices(NamedTuple):
    """Groups that are not alike."""

    score: float
    share: float
    limit: float  # the score is below it

    def __str__(self) -> str:
        return f"two voices, one of them in {self.share:.0%} of it (score {self.score:.3f} < {self.limit:.3f})"


def two_voices(waveforms: Sequence[FloatArray], embedder: Embedder, threshold: float) -> list[TwoVoices | None]:
    """For each recording (S,) the groups, where they are less alike than one voice's; None for one voice.

    `threshold` is the one of comparing recordings; the limit begins there and rises with the number of windows. None
    too for recordings of fewer than MIN_WINDOWS, which cannot tell. All windows are embedded: up to twice the time of
    the recordings.
    """
    windows = [speech_windows(waveform, embedder.sample_rate) for waveform in waveforms]
    if not any(map(len, windows)):
        return [None for _ in waveforms]
    rows = embedder.embed_parts([window for each in windows for window in each])
    return [_unlike(part, threshold) for part in np.split(rows, np.cumsum([len(each) for each in windows])[:-1])]


def limit(threshold: float, num_windows: int) -> float:
    """Below it the two groups of that many windows are no longer those of one voice."""
    return threshold + RISE * (1 - MIN_WINDOWS / num_windows) * (1 - threshold)


def judged_voices(
    waveforms: Sequence[FloatArray],
    qualities: Sequence[Quality],
    names: Sequence[str],
    embedder: Embedder,
    threshold: float,
    limits: QualityLimits,
    *,
    enrolling: bool = False,
) -> list[Quality]:
    """The qualities, with a remark where a second voice is suspected and `limits` ask; raises AudioError to refuse.

    Enrolling remarks it anyway, among its warnings.
    """
    if limits.second_voice == "ignore" or (limits.second_voice == "remark" and enrolling):
        return list(qualities)
    found = two_voices(waveforms, embedder, threshold)
    for name, voices in zip(names, found, strict=True):
        if voices is not None and limits.second_voice == "refuse":
            raise AudioError(f"{name} seems to hold {voices}: record one person alone")
    return [
        quality if voices is None else replace(quality, remarks=(*quality.remarks, f"seems to hold {voices}"))
        for quality, voices in zip(qualities, found, strict=True)
    ]


def _unlike(rows: FloatArray, threshold: float) -> TwoVoices | None:
    """Unit rows (W, E) of one recording -> its groups, if they are not alike."""
    groups = two_groups(rows)
    if groups is None or groups.score >= (least := limit(threshold, len(rows))):
        return None
    return TwoVoices(*groups, least)


def speech_windows(waveform: FloatArray, sample_rate: int) -> list[FloatArray]:
    """Windows of the speech of (S,) end to end, at most MAX_WINDOWS; none if they would be fewer than MIN_WINDOWS."""
    speech = cut(waveform, _SPEECH(waveform, sample_rate))
    size, step = round(WINDOW_SECONDS * sample_rate), round(STEP_SECONDS * sample_rate)
    starts = np.arange(0, len(speech) - size + 1, step)
    if len(starts) > MAX_WINDOWS:
        starts = starts[np.linspace(0, len(starts) - 1, MAX_WINDOWS).round().astype(int)]
    return [speech[start : start + size] for start in starts] if len(starts) >= MIN_WINDOWS else []


def two_groups(rows: FloatArray) -> Groups | None:
    """Unit rows (W, E) of windows -> the groups of spherical 2-means; None for fewer than MIN_WINDOWS, or one group.

    It starts from the sides of the first principal axis, so that the same windows give the same groups.
    """
    if len(rows) < MIN_WINDOWS:
        return None
    exact = rows.astype(np.float64)
    centred = exact - exact.mean(axis=0)
    side = centred @ np.linalg.svd(centred, full_matrices=False)[2][0] > 0
    for _ in range(_MAX_ROUNDS):
        share = float(min(side.mean(), 1 - side.mean()))
        if share < max(MIN_SHARE, 2 / len(rows)):
            return None
        means = np.stack([exact[~side].mean(axis=0), exact[side].mean(axis=0)])
        centres = means / np.linalg.norm(means, axis=1, keepdims=True).clip(1e-12)
        nearer = exact @ centres[1] > exact @ centres[0]
        if (nearer == side).all():
            break
        side = nearer
    return Groups(float(np.clip(centres[0] @ centres[1], -1.0, 1.0)), share)
