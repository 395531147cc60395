"""Trials to measure: tied ones, Gaussian ones, and those of speakers."""

import numpy as np
from hypothesis import strategies as st

Trials = tuple[np.ndarray, np.ndarray]


@st.composite
def tied_trials(draw: st.DrawFn) -> Trials:
    """Few distinct scores, so that ties within and across the kinds are the rule."""
    flags = draw(st.lists(st.booleans(), min_size=2, max_size=40).filter(lambda flags: len(set(flags)) == 2))
    scores = draw(st.lists(st.integers(-5, 5), min_size=len(flags), max_size=len(flags)))
    return np.array(scores, dtype=np.float32) / 7, np.array(flags)


def gaussian_trials(distance: float, num: int, seed: int) -> Trials:
    rng = np.random.default_rng(seed)
    flags = np.arange(num) % 3 == 0
    return rng.normal(size=num) + distance * flags, flags


def speaker_trials(num_speakers: int, per_speaker: int, seed: int) -> tuple[np.ndarray, ...]:
    """All pairs of noisy points around speaker centres: scores, is_target, enrol and test speakers."""
    rng = np.random.default_rng(seed)
    speakers = np.repeat(np.arange(num_speakers), per_speaker)
    points = rng.normal(size=(num_speakers, 4))[speakers] + 0.7 * rng.normal(size=(speakers.size, 4))
    first, second = np.triu_indices(speakers.size, 1)
    scores = -np.linalg.norm(points[first] - points[second], axis=1)
    return scores, speakers[first] == speakers[second], speakers[first], speakers[second]


def repeated(trials: tuple[np.ndarray, ...], drawn: np.ndarray) -> Trials:
    """The trials of the drawn speakers written out one by one, copies of a speaker counting as different people."""
    rows = [
        row
        for row, (enrol, test) in enumerate(zip(trials[2], trials[3], strict=True))
        for a, person in enumerate(drawn)
        for b, other in enumerate(drawn)
        if (person, other) == (enrol, test) and (a == b or enrol != test)
    ]
    return trials[0][rows], trials[1][rows]
