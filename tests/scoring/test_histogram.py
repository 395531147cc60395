import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker_id import metrics, scoring
from speaker_id.errors import ConfigError, DataError
from speaker_id.metrics.binned import binned_metrics
from speaker_id.scoring import histogram as module
from speaker_id.scoring.histogram import ScoreHistogram, all_pairs_histogram, histogram, score_range
from speaker_id.scoring.pairs import pair_blocks

Block = tuple[np.ndarray, np.ndarray]


def planted(num_speakers: int, per_speaker: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows (N, 64) around speaker centres and their labels (N,), in no order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(num_speakers), per_speaker))
    centres = rng.normal(size=(num_speakers, 64))
    return scoring.normalise(centres[labels] + noise * rng.normal(size=(labels.size, 64))), labels


def peak_bytes(run: Callable[[], object]) -> int:
    run()  # what is imported or cached at the first call is not the trials' doing
    tracemalloc.start()
    run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


# listed trials


def test_scores_counted_by_hand() -> None:
    # Four bins: -1, -0.5, 0, 0.5. A score on an edge belongs to the bin above, 1 to the last.
    counted = histogram([([-1.0, -0.5, 0.1], [0, 0, 1]), ([0.49, 0.5, 1.0], [0, 1, 1])], num_bins=4)
    assert counted.nontarget.tolist() == [1, 1, 1, 0]
    assert counted.target.tolist() == [0, 0, 1, 2]
    assert counted.edges.tolist() == [-1, -0.5, 0, 0.5, 1]


@given(
    st.lists(st.tuples(st.floats(-5, 7, width=32), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 40),
    st.integers(1, 9),
    st.floats(0.1, 3),
)
def test_counts_are_those_of_numpy_whatever_range_and_block(
    trials: list[tuple[float, bool]], num_bins: int, block: int, margin: float
) -> None:
    scores, flags = np.array([score for score, _ in trials]), np.array([flag for _, flag in trials])
    low, high = scores.min() - margin, scores.max() + margin
    edges = np.linspace(low, high, num_bins + 1)
    below = np.nextafter(edges[1:], -np.inf)
    on_edges = np.concatenate([scores, edges, below])  # where rounding would show
    flags = np.concatenate([flags, np.arange(edges.size + below.size) % 2 == 0])
    blocks = [(on_edges[start : start + block], flags[start : start + block]) for start in range(0, flags.size, block)]
    counted = histogram(blocks, low=low, high=high, num_bins=num_bins)
    np.testing.assert_array_equal(counted.edges, edges)
    np.testing.assert_array_equal(counted.target, np.histogram(on_edges[flags], edges)[0])
    np.testing.assert_array_equal(counted.nontarget, np.histogram(on_edges[~flags], edges)[0])


def test_a_long_block_is_counted_like_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    block = np.float32(rng.uniform(-1, 1, 1000)), rng.random(1000) < 0.3
    whole = histogram([block])
    monkeypatch.setattr(module, "BLOCK_TRIALS", 7)
    np.testing.assert_array_equal(histogram([block]).target, whole.target)
    np.testing.assert_array_equal(histogram([block]).nontarget, whole.nontarget)
    assert (whole.target.sum(), whole.nontarget.sum()) == (block[1].sum(), (~block[1]).sum())


def test_memory_does_not_grow_with_the_number_of_trials() -> None:
    def counted(num_blocks: int) -> int:
        rng = np.random.default_rng(0)
        blocks = ((np.float32(rng.uniform(-1, 1, 5000)), rng.random(5000) < 0.5) for _ in range(num_blocks))
        return int(histogram(blocks, num_bins=100).target.sum())

    assert peak_bytes(lambda: counted(60)) < 1.2 * peak_bytes(lambda: counted(4))


def test_one_array_of_many_trials_is_not_copied() -> None:
    scores, flags = np.zeros(2_000_000, np.float32), np.zeros(2_000_000, np.bool_)
    assert peak_bytes(lambda: histogram([(scores, flags)], num_bins=100)) < scores.nbytes / 2


def test_the_range_of_a_first_pass_holds_every_score() -> None:
    rng = np.random.default_rng(0)
    blocks = [(rng.normal(3, 20, 50), rng.random(50) < 0.5) for _ in range(3)]
    everything = np.concatenate([scores for scores, _ in blocks])
    low, high = score_range(blocks)
    assert (low, high) == (everything.min(), everything.max())
    counted = histogram(blocks, low=low, high=high, num_bins=8)
    assert counted.target.sum() + counted.nontarget.sum() == 150


@pytest.mark.parametrize("value", [0.0, -3.0, 1e300])
def test_scores_that_are_all_alike_have_a_range_too(value: float) -> None:
    blocks = [([value, value], [0, 1])]
    low, high = score_range(blocks)
    assert histogram(blocks, low=low, high=high).target.tolist()[0] == 1


def test_blocks_may_be_empty() -> None:
    counted = histogram([([], []), ([0.3], [1]), ([], [])], num_bins=2)
    assert (counted.target.tolist(), counted.nontarget.tolist()) == ([0, 1], [0, 0])
    with pytest.raises(DataError, match="no trials"):
        score_range([([], [])])


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (([0.1, 0.2], [True]), "block 1 .* one length"),
        (([[0.1]], [[True]]), "block 1 .* one length"),
        (([0.1, np.nan], [True, False]), "block 1 .* finite"),
        (([np.inf], [True]), "block 1 .* finite"),
        (([0.1], [2]), "block 1 .* 1 and 0"),
        (([0.1], ["target"]), "block 1 .* 1 and 0"),
    ],
)
def test_unusable_blocks_are_refused_by_number(block: Block, message: str) -> None:
    for count in (histogram, score_range):
        with pytest.raises(DataError, match=message):
            count([([0.5], [False]), block])


@pytest.mark.parametrize("score", [-1.01, 1.000001, 40.0])
def test_a_score_beyond_the_range_is_refused_with_the_way_out(score: float) -> None:
    with pytest.raises(DataError, match="score_range"):
        histogram([([0.0, score], [0, 1])])


@pytest.mark.parametrize(
    "options",
    [
        {"num_bins": 0},
        {"num_bins": 2**20 + 1},
        {"low": 1.0},
        {"low": np.nan},
        {"high": np.inf},
        {"low": -1e308, "high": 1.7e308},
        {"low": 1.0, "high": 1 + 1e-12},
    ],
)
def test_ranges_and_bins_without_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        histogram([([0.0], [1])], **options)


# all pairs


def assert_counts_within(counted: np.ndarray, scores: np.ndarray, edges: np.ndarray, tolerance: float = 1e-6) -> None:
    """Each edge has as many scores below as it should, but for those within `tolerance` of it."""
    below, ordered = np.cumsum(counted)[:-1], np.sort(scores)
    assert (np.searchsorted(ordered, edges[1:-1] - tolerance) <= below).all()
    assert (below <= np.searchsorted(ordered, edges[1:-1] + tolerance)).all()
    assert counted.sum() == scores.size


@given(
    st.lists(st.sampled_from("abcd"), max_size=40),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 100),
    st.integers(1, 300),
)
def test_pairs_are_counted_as_all_pairs_scores_them_whatever_the_tile(
    labels: list[str], rows_of_tile: int, columns_of_tile: int, block: int, num_bins: int
) -> None:
    rows = scoring.normalise(np.random.default_rng(0).normal(size=(40, 5)))[: len(labels)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TILE_ROWS", rows_of_tile)
        patch.setattr(module, "TILE_COLUMNS", columns_of_tile)
        patch.setattr(module, "BLOCK_SCORES", block)
        counted = all_pairs_histogram(rows, np.array(labels, dtype=str), num_bins=num_bins)
    pairs = scoring.all_pairs(rows, np.array(labels, dtype=str))
    assert_counts_within(counted.target, pairs.target, counted.edges)
    assert_counts_within(counted.nontarget, pairs.nontarget, counted.edges)


def test_cosines_of_one_and_minus_one_lie_in_the_outer_bins() -> None:
    rows, _ = planted(100, 1, noise=1.0)
    both = np.concatenate([rows, rows, -rows])
    assert np.einsum("ne,ne->n", rows, rows).max() > 1  # rounding does it
    counted = all_pairs_histogram(both, np.tile(np.arange(100), 3))
    assert counted.target.sum() == 300
    assert counted.target[[0, 1]].sum() == 200
    assert counted.target[[-2, -1]].sum() == 100


@pytest.mark.parametrize("noise", [0.7, 1.0, 1.5, 2.5])
def test_the_eer_of_the_bins_is_within_a_ten_thousandth_of_the_exact_one(noise: float) -> None:
    rows, labels = planted(60, 20, noise)
    exact = metrics.verification_metrics(*scoring.all_pairs(rows, labels).trials())
    ours = binned_metrics(*all_pairs_histogram(rows, labels))
    assert ours.eer_max_error <= 1e-4
    assert abs(ours.eer - exact.eer) <= ours.eer_max_error + 1e-6  # a score may be counted across an edge
    assert abs(ours.min_dcf - exact.min_dcf) <= ours.min_dcf_max_error + 1e-4
    assert ours.threshold == pytest.approx(exact.threshold, abs=1e-3)
    assert (ours.num_targets, ours.num_nontargets) == (exact.num_targets, exact.num_nontargets)


def test_counting_pairs_takes_less_memory_than_their_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = scoring.normalise(np.random.default_rng(0).normal(size=(1500, 8))), np.repeat(np.arange(50), 30)
    monkeypatch.setattr(module, "BLOCK_SCORES", 50_000)
    scores = scoring.all_pairs(rows, labels)
    num_bytes = scores.target.nbytes + scores.nontarget.nbytes
    assert peak_bytes(lambda: all_pairs_histogram(rows, labels, num_bins=256)) < num_bytes / 3


def test_a_back_end_counts_its_own_pairs() -> None:
    rows, labels = planted(8, 4, noise=1.0)

    def tenfold(enrol: slice, test: slice) -> np.ndarray:
        return 10 * scoring.cosine(rows[enrol], rows[test])

    low, high = score_range(pair_blocks(tenfold, labels))
    assert high > 1
    counted = histogram(pair_blocks(tenfold, labels), low=low, high=high, num_bins=50)
    pairs = scoring.all_pairs(rows, labels)
    assert_counts_within(counted.target, 10 * pairs.target, counted.edges, 1e-5)
    assert_counts_within(counted.nontarget, 10 * pairs.nontarget, counted.edges, 1e-5)


def test_labels_must_match_the_embeddings() -> None:
    with pytest.raises(DataError, match="3 embeddings need 3 speaker labels"):
        all_pairs_histogram(planted(3, 1, noise=1.0)[0], ["ann", "bob"])


def test_a_histogram_is_three_arrays() -> None:
    counted = ScoreHistogram(np.array([0, 1]), np.array([2, 0]), np.array([0.0, 0.5, 1.0]))
    assert binned_metrics(*counted).eer == 0
