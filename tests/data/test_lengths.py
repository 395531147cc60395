import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker_id.data.lengths import equal_length_batches, trim_length


@pytest.mark.parametrize(
    ("num_samples", "sample_rate", "expected"),
    [
        (16_000, 16_000, 16_000),
        (17_599, 16_000, 16_000),
        (17_600, 16_000, 17_600),
        (1_599, 16_000, 0),
        (900, 8_000, 800),
    ],
)
def test_a_recording_is_trimmed_to_whole_tenths_of_a_second(num_samples: int, sample_rate: int, expected: int) -> None:
    assert trim_length(num_samples, sample_rate) == expected


@given(st.integers(0, 10**7), st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000]))
def test_less_than_a_tenth_of_a_second_is_given_up(num_samples: int, sample_rate: int) -> None:
    assert 0 <= num_samples - trim_length(num_samples, sample_rate) < sample_rate / 10


def test_batches_hold_one_length_and_keep_to_the_budget_longest_first() -> None:
    assert equal_length_batches([3, 5, 3, 3, 99], max_batch_samples=6) == [[4], [1], [0, 2], [3]]


def test_no_recordings_make_no_batches() -> None:
    assert equal_length_batches([], max_batch_samples=10) == []


@given(st.lists(st.integers(0, 12)), st.integers(1, 40))
def test_every_recording_is_in_exactly_one_batch_of_its_own_length(lengths: list[int], budget: int) -> None:
    batches = equal_length_batches(lengths, max_batch_samples=budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len({lengths[index] for index in batch}) == 1
        assert len(batch) == 1 or len(batch) * lengths[batch[0]] <= budget
