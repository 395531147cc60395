"""Shift, reversal, gaps, clipping: by hand, and by counting samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker_id.augmentation.chunk_drop import ChunkDrop
from speaker_id.augmentation.clipping import Clipping
from speaker_id.augmentation.reverse import ReverseAppend
from speaker_id.augmentation.shift import Shift
from speaker_id.augmentation.speed import Speed, change_speed
from speaker_id.contracts import FloatArray

RATE = 16000


def white(num: int = RATE) -> FloatArray:
    return (0.1 * np.random.default_rng(1).standard_normal(num)).astype(np.float32)


def ramp(num: int) -> FloatArray:
    return np.arange(1, num + 1, dtype=np.float32)


def shift(low_ms: float, high_ms: float, rate: int) -> Shift:
    return Shift(prob=1, min_ms=low_ms, max_ms=high_ms, sample_rate=rate)


def clipping(fraction: float | None = None, gain_db: float | None = None) -> Clipping:
    return Clipping(
        prob=1, min_fraction=fraction, max_fraction=fraction, min_gain_db=gain_db, max_gain_db=gain_db
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ms", "expected"),
    [(0, [1, 2, 3, 4]), (1, [0, 1, 2, 3]), (3, [0, 0, 0, 1]), (-1, [2, 3, 4, 0]), (99, [0, 0, 0, 1])],
)
def test_shifts_by_hand(ms: float, expected: list[float]) -> None:
    assert shift(ms, ms, 1000)(ramp(4), np.random.default_rng(0)).tolist() == expected


def test_shifts_reach_from_bound_to_bound() -> None:
    augmentation, later = shift(-5, 5, RATE), []
    for seed in range(60):
        out = augmentation(ramp(1000), np.random.default_rng(seed))
        later.append(500 - int(out[499]))  # the sample that stands in the middle came from there
    assert -80 <= min(later) < -70
    assert 70 < max(later) <= 80


def test_reversal_is_a_crop_of_the_reversed_waveform_appended_to_itself() -> None:
    doubled = np.concatenate([ramp(9), ramp(9)])[::-1]
    crops = {tuple(doubled[start : start + 9]) for start in range(9)}
    outputs = {tuple(ReverseAppend(prob=1)(ramp(9), np.random.default_rng(seed))) for seed in range(80)}
    assert outputs == crops


def test_three_of_ten_crops_are_reversed() -> None:
    rng = np.random.default_rng(0)
    changed = [not np.array_equal(ReverseAppend(prob=0.3)(ramp(99), rng), ramp(99)) for _ in range(500)]
    assert 0.24 < np.mean(changed) < 0.36


def gaps(waveform: FloatArray) -> list[int]:
    """Lengths of the stretches of zeros."""
    silent = np.concatenate([[0], (waveform == 0).astype(int), [0]])
    edges = np.flatnonzero(np.diff(silent))
    return (edges[1::2] - edges[::2]).tolist()


def drop(chunks: tuple[int, int], samples: tuple[int, int]) -> ChunkDrop:
    return ChunkDrop(
        prob=1, min_chunks=chunks[0], max_chunks=chunks[1], min_samples=samples[0], max_samples=samples[1]
    )  # fmt: skip


def test_one_chunk_is_one_gap_of_its_length_and_the_rest_stays() -> None:
    lengths = []
    for seed in range(50):
        out = drop((1, 1), (1000, 2000))(white(), np.random.default_rng(seed))
        lengths += gaps(out)
        np.testing.assert_array_equal(out[out != 0], white()[out != 0])
    assert len(lengths) == 50
    assert 1000 <= min(lengths) < 1100
    assert 1900 < max(lengths) <= 2000


def test_chunks_are_as_many_as_asked_and_lie_anywhere() -> None:
    outputs = [drop((1, 5), (2, 2))(white(), np.random.default_rng(seed)) for seed in range(60)]
    assert {sum(gaps(out)) // 2 for out in outputs} == {1, 2, 3, 4, 5}
    places = np.concatenate([np.flatnonzero(out == 0) for out in outputs])
    assert places.min() < RATE * 0.05
    assert places.max() > RATE * 0.95


def test_a_waveform_that_would_be_gone_altogether_stays() -> None:
    np.testing.assert_array_equal(drop((1, 1), (1000, 2000))(white(500), np.random.default_rng(0)), white(500))


@given(fraction=st.floats(0, 0.9), num=st.integers(1, 500))
def test_the_asked_fraction_of_the_samples_is_cut(fraction: float, num: int) -> None:
    waveform = white(num)
    out = clipping(fraction=fraction)(waveform, np.random.default_rng(0))
    assert np.count_nonzero(out != waveform) == int(fraction * num)
    np.testing.assert_array_equal(np.sign(out), np.sign(waveform))


@pytest.mark.parametrize("gain_db", [0.0, 6.0, 20.0])
def test_the_peak_falls_by_the_asked_gain_and_what_lies_below_stays(gain_db: float) -> None:
    out = clipping(gain_db=gain_db)(white(), np.random.default_rng(0))
    limit = np.abs(white()).max() / 10 ** (gain_db / 20)
    assert np.abs(out).max() == pytest.approx(limit)
    below = np.abs(white()) < limit
    np.testing.assert_array_equal(out[below], white()[below])
    np.testing.assert_allclose(np.abs(out[~below]), limit, rtol=1e-6)


def test_clipping_leaves_something_of_a_waveform_that_is_nearly_silent() -> None:
    click = np.zeros(100, np.float32)
    click[[3, 4]] = [0.5, 0.3]
    assert clipping(fraction=0.1)(click, np.random.default_rng(0)).any()


def test_three_speeds_stand_evenly_between_their_bounds() -> None:
    augmentation = Speed(prob=1, rates=None, min_rate=0.9, max_rate=1.1, num_rates=3, sample_rate=RATE)
    expected = [np.resize(change_speed(white(4000), rate, RATE), 4000) for rate in (0.9, 1.0, 1.1)]
    drawn = {augmentation(white(4000), np.random.default_rng(seed)).tobytes() for seed in range(30)}
    assert drawn == {waveform.tobytes() for waveform in expected}


def test_a_negative_number_of_speeds_means_any_between() -> None:
    augmentation = Speed(prob=1, rates=None, min_rate=0.9, max_rate=1.1, num_rates=-1, sample_rate=RATE)
    sine = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32) / 2
    rates = []
    for seed in range(30):
        spectrum = np.abs(np.fft.rfft(augmentation(sine, np.random.default_rng(seed))[:14000], 1 << 17))
        rates.append(spectrum.argmax() * RATE / (1 << 17) / 1000)
    assert len({round(rate, 3) for rate in rates}) > 20
    assert 0.899 < min(rates) < 0.92
    assert 1.08 < max(rates) < 1.101
