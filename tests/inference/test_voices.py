from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.tiny_model import RATE, voice
from speaker_id.contracts import FloatArray
from speaker_id.inference.voices import MAX_WINDOWS, MIN_WINDOWS, limit, speech_windows, two_groups


def unit(*degrees: float) -> FloatArray:
    """(W, 2), by their angles."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_two_groups_are_told_by_hand() -> None:
    groups = two_groups(unit(0, 90, 10, 100, 5, 95))
    assert groups is not None
    assert groups.score == pytest.approx(0.0, abs=1e-6)  # means at 5 and 95 degrees
    assert groups.share == 0.5


def test_the_smaller_group_may_be_a_third_but_no_single_window() -> None:
    groups = two_groups(unit(0, 1, 2, 3, 120, 121))
    assert groups is not None
    assert groups.share == pytest.approx(1 / 3)
    assert groups.score == pytest.approx(np.cos(np.radians(119)), abs=1e-6)
    assert two_groups(unit(0, 1, 2, 3, 4, 120)) is None


def test_too_few_windows_and_equal_ones_tell_nothing() -> None:
    assert two_groups(unit(*(0, 90, 0, 90, 0)[: MIN_WINDOWS - 1])) is None
    assert two_groups(unit(*[30] * 9)) is None


def test_opposite_windows_have_a_score_all_the_same() -> None:
    groups = two_groups(unit(0, 180, 0, 180, 0, 180))
    assert groups is not None
    assert groups.score == -1.0


@given(st.permutations(range(12)), st.integers(0, 2**32 - 1))
def test_the_order_of_the_windows_does_not_matter(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(12, 8)) * 0.3 + np.eye(8)[[0] * 5 + [1] * 7]
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    first, again = two_groups(rows), two_groups(rows[order])
    assert (first is None) == (again is None)
    if first is not None and again is not None:
        assert first == pytest.approx(again, abs=1e-6)


def test_windows_hold_speech_alone_and_overlap_by_half() -> None:
    pause = np.zeros(3 * RATE, np.float32)
    windows = speech_windows(np.concatenate([pause, voice(130, 3.0), pause, voice(130, 3.0), pause]), RATE)
    assert len(windows) == 7  # of a little more than 6 s
    for window in windows:
        assert len(window) == 1.5 * RATE
        assert np.abs(window.reshape(10, -1)).max(axis=1).min() > 0.001
    np.testing.assert_array_equal(windows[0][RATE * 3 // 4 :], windows[1][: RATE * 3 // 4])
    assert speech_windows(np.concatenate([pause, voice(130, 3.0), pause]), RATE) == []
    assert speech_windows(pause, RATE) == []


def test_a_long_recording_has_no_more_windows_and_they_reach_its_end() -> None:
    waveform = voice(130, 90.0)
    windows = speech_windows(waveform, RATE)
    assert len(windows) == MAX_WINDOWS
    starts = np.flatnonzero((np.lib.stride_tricks.sliding_window_view(waveform, 100) == windows[-1][:100]).all(axis=1))
    assert len(waveform) - 2.3 * RATE < starts.max()


def test_the_limit_begins_at_the_threshold_and_rises_with_the_windows() -> None:
    assert limit(0.5, MIN_WINDOWS) == 0.5
    assert limit(0.5, 2 * MIN_WINDOWS) == 0.5625
    assert limit(0.5, 10**9) == pytest.approx(0.625)


@pytest.mark.slow
def test_a_real_model_tells_one_speaker_from_two(speech: Path) -> None:
    from speaker_id import audio, checkpoint
    from speaker_id.inference.embedder import ModelEmbedder
    from speaker_id.inference.voices import two_voices
    from speaker_id.pretrained.catalogue import folder_of, is_fetched

    if not is_fetched("campplus-zh-en"):
        pytest.skip("needs `speaker-id pretrained get campplus-zh-en`")
    loaded = checkpoint.load(folder_of("campplus-zh-en"))
    assert loaded.operating_point is not None
    ada, bob = (audio.load(path, RATE) for path in sorted((speech / "librispeech").glob("*/*.flac"))[:2])
    turns = [part[start * RATE : (start + 2) * RATE] for start in (0, 2, 4) for part in (ada, bob)]
    one, two = two_voices(
        [ada[: 12 * RATE], np.concatenate(turns)], ModelEmbedder(loaded), loaded.operating_point.threshold
    )
    assert one is None
    assert two is not None
    assert 0.25 <= two.share <= 0.5
