import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker_id.contracts import Stretches
from speaker_id.vad.stretches import NONE, cut, of_frames, part, to_frames, total, widened


def some(*pairs: tuple[int, int]) -> Stretches:
    return np.array(pairs, np.int64).reshape(-1, 2)


@st.composite
def drawn(draw: st.DrawFn) -> Stretches:
    """Up to five stretches of up to 9 samples, 1 to 9 samples apart."""
    lengths = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=5))
    edges = np.cumsum([0, *(number for pair in lengths for number in pair)])[1:]
    return edges[: 2 * len(lengths)].reshape(-1, 2).astype(np.int64)


def test_frames_become_stretches_that_hold_them_whole() -> None:
    flags = np.array([False, True, True, False, False, True])
    assert of_frames(flags, hop=10, size=25).tolist() == [[10, 45], [50, 75]]
    assert of_frames(np.zeros(4, bool), hop=10, size=25).tolist() == []


def test_a_frame_is_in_a_stretch_when_its_middle_is() -> None:
    flags = to_frames(some((10, 35), (50, 75)), 8, hop=10, size=10)  # middles 5, 15, 25, ...
    assert flags.tolist() == [False, True, True, False, False, True, True, False]
    assert not to_frames(NONE, 3, hop=10, size=10).any()


def test_short_pauses_are_closed_and_ends_padded_within_the_recording() -> None:
    found = some((3, 20), (29, 40), (60, 98))
    wide = widened(found, pad=5, min_pause=10, num_samples=100)
    assert wide.tolist() == [[0, 45], [55, 100]]  # 9 samples apart before padding; 20 apart stay apart
    assert widened(found, pad=0, min_pause=9, num_samples=100).tolist() == found.tolist()
    assert widened(found, pad=10, min_pause=0, num_samples=100).tolist() == [[0, 100]]  # padding met
    assert widened(NONE, pad=5, min_pause=10, num_samples=100).shape == (0, 2)


@given(drawn(), st.integers(0, 60), st.integers(0, 60))
def test_a_part_of_the_stretches_is_that_part_of_what_is_cut(stretches: Stretches, start: int, num: int) -> None:
    waveform = np.arange(120, dtype=np.float32)
    whole = cut(waveform, stretches)
    assert len(whole) == total(stretches)
    pieces = part(stretches, start, num)
    assert cut(waveform, pieces).tolist() == whole[start : start + num].tolist()
    assert (pieces[:, 1] > pieces[:, 0]).all()


@given(drawn(), st.integers(0, 9), st.integers(0, 9))
def test_widening_loses_nothing_and_leaves_stretches_apart(stretches: Stretches, pad: int, min_pause: int) -> None:
    wide = widened(stretches, pad=pad, min_pause=min_pause, num_samples=120)
    assert (wide[1:, 0] > wide[:-1, 1]).all()
    inside = to_frames(wide, 120, hop=1, size=1)
    assert inside[to_frames(stretches, 120, hop=1, size=1)].all()


@pytest.mark.parametrize("start", [0, 7])
def test_nothing_of_nothing_is_nothing(start: int) -> None:
    assert part(NONE, start, 5).shape == (0, 2)
    assert cut(np.ones(9, np.float32), NONE).shape == (0,)
