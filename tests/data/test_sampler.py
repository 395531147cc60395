from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speaker_id.data.sampler import Draw, TrainingSampler, rounds
from speaker_id.errors import ConfigError

LABELS = [0, 0, 0, 1, 2, 2, 2, 2, 2, 2]


def sampler(labels: list[int] | None = None, **changes: Any) -> TrainingSampler:
    how: dict[str, Any] = {"num_speeds": 1, "sampling": "utterance", "batch_size": 4, "seed": 7}
    how |= {"crops_per_speaker": 4, "utterances_per_speaker": 2, **changes}
    return TrainingSampler(LABELS if labels is None else labels, **how)


def draws(labels: list[int] | None = None, *, epoch: int = 0, **changes: Any) -> list[Draw]:
    made = sampler(labels, **changes)
    made.set_epoch(epoch)
    drawn = list(made)
    assert len(drawn) == len(made)
    return drawn


setups = st.fixed_dictionaries(
    {
        "labels": st.lists(st.integers(0, 5), min_size=1, max_size=25),
        "num_speeds": st.integers(1, 3),
        "sampling": st.sampled_from(["utterance", "speaker"]),
        "crops_per_speaker": st.integers(1, 9),
        "batch_size": st.integers(1, 12),
        "seed": st.integers(0, 2**32 - 1),
        "epoch": st.integers(0, 50),
    }
)


@st.composite
def balanced(draw: st.DrawFn) -> dict[str, Any]:
    """Setups whose batches can be balanced: `batch_size` for one rank, and there may be four."""
    labels = draw(st.lists(st.integers(0, 5), min_size=1, max_size=25))
    num_speeds, group = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    return {
        "labels": labels,
        "num_speeds": num_speeds,
        "sampling": "balanced",
        "utterances_per_speaker": group,
        "batch_size": group * draw(st.integers(1, len(set(labels)) * num_speeds)),
        "passes": draw(st.integers(1, 4)),
        "seed": draw(st.integers(0, 2**32 - 1)),
        "epoch": draw(st.integers(0, 50)),
    }


def batches(setup: dict[str, Any], **changes: Any) -> list[np.ndarray]:
    """Each batch as (P, U, 2): speaker and speed as one number, and row."""
    drawn = draws(**{**setup, **changes})
    labels, group = setup["labels"], setup["utterances_per_speaker"]
    table = np.array([(labels[draw.row] * 10 + draw.speed, draw.row) for draw in drawn])
    return list(table.reshape(-1, setup["batch_size"] // group, group, 2))


@given(setups | balanced())
@settings(max_examples=60, deadline=None)
def test_an_epoch_depends_on_seed_and_epoch_alone(setup: dict[str, Any]) -> None:
    assert draws(**setup) == draws(**setup)


def test_every_epoch_has_another_order_and_other_crops() -> None:
    epochs = [draws(epoch=epoch) for epoch in range(4)]
    orders = {tuple(draw.row for draw in epoch) for epoch in epochs}
    assert len(orders) == 4
    assert len({draw.seed for epoch in epochs for draw in epoch}) == 4 * 12
    assert draws(seed=8) != epochs[0]


def test_iterating_twice_without_a_new_epoch_repeats_it() -> None:
    made = sampler()
    assert list(made) == list(made)


def test_passes_make_an_epoch_that_much_longer() -> None:
    drawn = draws(passes=3, num_speeds=2, batch_size=5)
    assert Counter((draw.row, draw.speed) for draw in drawn) == {
        (row, speed): 3 for row in range(10) for speed in (0, 1)
    }
    with pytest.raises(ConfigError, match=r"data\.passes must be 1 or more, not 0"):
        sampler(passes=0)


@given(setups, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_ranks_share_out_the_draws_of_one_process_with_the_same_total_batch(
    setup: dict[str, Any], num_ranks: int
) -> None:
    together = draws(**{**setup, "batch_size": setup["batch_size"] * num_ranks})
    ranks = [draws(**setup, rank=rank, num_ranks=num_ranks) for rank in range(num_ranks)]
    assert [draw for group in zip(*ranks, strict=True) for draw in group] == together


@given(setups | balanced(), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_an_epoch_is_whole_batches_with_a_seed_for_every_draw(setup: dict[str, Any], num_ranks: int) -> None:
    drawn = draws(**setup, num_ranks=num_ranks)
    assert drawn
    assert len(drawn) % setup["batch_size"] == 0
    assert len({draw.seed for draw in drawn}) == len(drawn)
    assert all(0 <= draw.row < len(setup["labels"]) and 0 <= draw.speed < setup["num_speeds"] for draw in drawn)
    assert {type(value) for draw in drawn for value in draw} == {int}


@given(setups)
@settings(max_examples=60, deadline=None)
def test_sampling_by_utterance_draws_every_row_at_every_speed_once_and_fills_the_last_batch(
    setup: dict[str, Any],
) -> None:
    drawn = [(draw.row, draw.speed) for draw in draws(**{**setup, "sampling": "utterance"})]
    whole = len(setup["labels"]) * setup["num_speeds"]
    everything = {(row, speed) for row in range(len(setup["labels"])) for speed in range(setup["num_speeds"])}
    assert len(set(drawn[:whole])) == whole
    assert set(drawn) == everything
    assert len(drawn) - whole < setup["batch_size"]
    assert drawn[whole:] == (drawn * len(drawn))[: len(drawn) - whole]


@given(setups)
@settings(max_examples=60, deadline=None)
def test_sampling_by_speaker_gives_every_speaker_and_speed_the_same_number(setup: dict[str, Any]) -> None:
    labels, crops = setup["labels"], setup["crops_per_speaker"]
    drawn = draws(**{**setup, "sampling": "speaker"})[: len(set(labels)) * crops * setup["num_speeds"]]
    counts = Counter((labels[draw.row], draw.speed) for draw in drawn)
    assert counts == {(label, speed): crops for label in labels for speed in range(setup["num_speeds"])}


def test_a_speaker_uses_all_utterances_before_any_of_them_again() -> None:
    drawn = draws(sampling="speaker", crops_per_speaker=4, batch_size=12)
    rows = Counter(draw.row for draw in drawn)
    assert rows[3] == 4  # the only utterance of speaker 1
    assert sorted(rows[row] for row in (0, 1, 2)) == [1, 1, 2]
    assert sorted(rows[row] for row in range(4, 10)) == [0, 0, 1, 1, 1, 1]
    later = draws(sampling="speaker", crops_per_speaker=4, batch_size=12, epoch=1)
    assert {draw.row for draw in later} != {draw.row for draw in drawn}  # not the same four of six for ever


@pytest.mark.parametrize(
    ("changes", "length"),
    [
        ({}, 12),  # 10 rows to 3 batches of 4
        ({"num_speeds": 3}, 32),  # 30 to 8 batches
        ({"num_ranks": 2}, 8),  # 10 to 2 batches of 8, half of them here
        ({"sampling": "speaker"}, 12),  # 3 speakers, 4 crops
        ({"batch_size": 64}, 64),
        ({"sampling": "balanced"}, 12),  # like utterance
        ({"sampling": "balanced", "passes": 3, "num_ranks": 2}, 16),  # 30 to 4 batches of 8
    ],
)
def test_the_length_of_an_epoch(changes: dict[str, Any], length: int) -> None:
    assert len(sampler(**changes)) == length == len(list(sampler(**changes)))


def test_the_draws_of_an_epoch_are_mixed() -> None:
    drawn = draws(list(np.repeat(range(50), 4)), batch_size=200)
    rows = [draw.row for draw in drawn]
    assert rows != sorted(rows)
    assert len({row // 4 for row in rows[:40]}) > 20


def test_an_unknown_sampling_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"data.sampling='random' does not exist; choose one of utterance, speaker, "):
        sampler(sampling="random")


@pytest.mark.parametrize("name", ["crops_per_speaker", "utterances_per_speaker", "batch_size"])
@pytest.mark.parametrize("number", [0, -3])
def test_sizes_below_one_are_refused(name: str, number: int) -> None:
    with pytest.raises(ConfigError, match=f"data.{name} must be 1 or more, not {number}"):
        sampler(sampling="speaker", **{name: number})


@given(balanced(), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_a_balanced_batch_is_whole_groups_of_different_speakers_on_every_rank(
    setup: dict[str, Any], num_ranks: int
) -> None:
    for rank in range(num_ranks):
        for batch in batches(setup, rank=rank, num_ranks=num_ranks):
            speakers = batch[:, :, 0]
            assert (speakers == speakers[:, :1]).all()
            assert len(set(speakers[:, 0])) == len(speakers)


@given(balanced(), st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_ranks_share_out_the_balanced_batch_of_one_process(setup: dict[str, Any], num_ranks: int) -> None:
    """Wherever one process could have that batch: there are as many speakers."""
    together = setup["batch_size"] * num_ranks
    ranks = [draws(**setup, rank=rank, num_ranks=num_ranks) for rank in range(num_ranks)]
    steps = np.array(ranks).reshape(num_ranks, -1, setup["batch_size"], 3).swapaxes(0, 1).reshape(-1, 3)
    assert len(set(steps[:, 2])) == len(steps)
    if together // setup["utterances_per_speaker"] <= len(set(setup["labels"])) * setup["num_speeds"]:
        assert steps.tolist() == [list(draw) for draw in draws(**{**setup, "batch_size": together})]


@given(balanced())
@settings(max_examples=100, deadline=None)
def test_a_balanced_epoch_takes_every_speaker_equally_often_and_each_utterance_before_any_again(
    setup: dict[str, Any],
) -> None:
    groups = np.concatenate(batches(setup))
    times = Counter({label * 10 + speed: 0 for label in setup["labels"] for speed in range(setup["num_speeds"])})
    times.update(groups[:, 0, 0].tolist())
    assert max(times.values()) - min(times.values()) <= 1
    for speaker in times:
        rows = groups[groups[:, 0, 0] == speaker][:, :, 1].ravel().tolist()
        own = {row for row, label in enumerate(setup["labels"]) if label == speaker // 10}
        seen = Counter(dict.fromkeys(own, 0))
        for row in rows:
            seen[row] += 1
            assert seen.keys() == own
            assert max(seen.values()) - min(seen.values()) <= 1


@given(balanced())
@settings(max_examples=100, deadline=None)
def test_a_group_holds_no_utterance_twice_unless_its_speaker_has_too_few(setup: dict[str, Any]) -> None:
    sizes = Counter(setup["labels"])
    for group in np.concatenate(batches(setup)):
        assert len(set(group[:, 1])) == min(len(group), sizes[group[0, 0] // 10])


def test_a_speaker_with_one_utterance_gives_several_crops_of_it() -> None:
    drawn = draws([0, 1], sampling="balanced", utterances_per_speaker=3, batch_size=6)
    assert Counter(draw.row for draw in drawn) == {0: 3, 1: 3}
    assert len({draw.seed for draw in drawn}) == 6  # each its own


def test_a_balanced_epoch_is_as_long_as_the_list_and_mixed() -> None:
    labels = list(np.repeat(range(50), 8))
    how: dict[str, Any] = {"sampling": "balanced", "utterances_per_speaker": 4, "batch_size": 40}
    first, second = draws(labels, **how), draws(labels, epoch=1, **how)
    assert len(first) == 400
    assert Counter(draw.row for draw in first) == dict.fromkeys(range(400), 1)  # 100 groups: two of each speaker
    speakers = [draw.row // 8 for draw in first[::4]]
    assert sorted(speakers[:50]) == list(range(50)) != speakers[:50]
    assert speakers[:50] != speakers[50:] != [draw.row // 8 for draw in second[::4]][50:]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"batch_size": 10}, r"data\.batch_size=10 is no multiple of data\.utterances_per_speaker=4, .* take 12$"),
        (
            {"batch_size": 16},
            r"data\.batch_size=16 holds 4 speakers at .*=4, and there are 3 .* data\.batch_size=12 or",
        ),
    ],
)
def test_batches_that_cannot_be_balanced_are_refused_with_the_numbers(changes: dict[str, int], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        sampler(sampling="balanced", utterances_per_speaker=4, **changes)
    assert sampler(utterances_per_speaker=4, **changes)  # other samplings do not care
    assert sampler(sampling="balanced", num_speeds=2, utterances_per_speaker=4, batch_size=16)


@given(st.integers(1, 12), st.integers(0, 60), st.integers(1, 9), st.integers(0, 999))
@settings(max_examples=100, deadline=None)
def test_rounds_take_everything_once_before_anything_again(items: int, wanted: int, window: int, seed: int) -> None:
    drawn = rounds(np.random.default_rng(seed), items, wanted, window)
    assert drawn.shape == (wanted,)
    for begin in range(0, wanted, items):
        assert len(set(drawn[begin : begin + items])) == len(drawn[begin : begin + items])
    for begin in range(0, wanted, window):
        piece = drawn[begin : begin + window]
        assert len(set(piece)) == min(len(piece), items)
