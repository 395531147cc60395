import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speaker_id import scoring
from speaker_id.errors import DataError
from speaker_id.scoring.pairs import pair_blocks


def unit_rows(num: int, dim: int = 8, seed: int = 0) -> np.ndarray:
    return scoring.normalise(np.random.default_rng(seed).normal(size=(num, dim)))


def test_rows_become_one_long_and_keep_their_direction() -> None:
    rows = np.array([[3.0, 4.0], [0.0, -2.0]])
    np.testing.assert_allclose(scoring.normalise(rows), [[0.6, 0.8], [0.0, -1.0]], rtol=1e-7)
    assert rows[0].tolist() == [3.0, 4.0]
    assert scoring.normalise(rows).dtype == np.float32


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_length_of_float32_rows_neither_overflows_nor_vanishes(scale: float) -> None:
    np.testing.assert_allclose(scoring.normalise(np.float32([[3 * scale, 4 * scale]])), [[0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize(("row", "what"), [([0, 0], "all zeros"), ([1, np.nan], "finite"), ([np.inf, 1], "finite")])
def test_a_row_without_direction_is_refused_by_number(row: list[float], what: str) -> None:
    with pytest.raises(DataError, match=f"embedding 1 .*{what}"):
        scoring.normalise([[1.0, 0.0], row])


def test_a_single_vector_is_not_a_table() -> None:
    with pytest.raises(DataError, match="shape"):
        scoring.normalise([1.0, 0.0])


def test_cosines_worked_by_hand() -> None:
    a = scoring.normalise([[1, 0], [1, 1]])
    b = scoring.normalise([[0, 2], [5, 0], [-1, -1]])
    half = 0.5**0.5
    np.testing.assert_allclose(scoring.cosine(a, b), [[0, 1, -half], [half, half, -1]], atol=1e-7)


def test_no_score_leaves_the_range_of_a_cosine() -> None:
    rows = np.repeat(unit_rows(400, dim=192), 2, axis=0)
    rows *= np.float32(1 + 2**-22)  # what rounding may do to a length; whether it does hangs on the machine
    assert np.vecdot(rows, rows).max() > 1
    first = np.arange(0, 800, 2)
    assert scoring.score_trials(rows, first, first + 1).max() <= 1
    assert abs(scoring.cosine(rows, -rows)).max() <= 1


def test_trials_score_the_rows_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speaker_id.scoring.pairs.BLOCK_TRIALS", 7)
    rows, rng = unit_rows(20), np.random.default_rng(1)
    enrol, test = rng.integers(20, size=(2, 50))
    expected = [rows[i].astype(float) @ rows[j] for i, j in zip(enrol, test, strict=True)]
    np.testing.assert_allclose(scoring.score_trials(rows, enrol, test), expected, atol=1e-6)


def test_no_trials_give_no_scores() -> None:
    assert scoring.score_trials(unit_rows(3), [], []).shape == (0,)


@pytest.mark.parametrize(("enrol", "test"), [([0, 3], [1, 1]), ([0, -1], [1, 1]), ([0], [1, 1]), ([0.5], [1])])
def test_trials_of_rows_that_do_not_exist_are_refused(enrol: list[int], test: list[int]) -> None:
    with pytest.raises(DataError, match="trial"):
        scoring.score_trials(unit_rows(3), enrol, test)


def test_pairs_are_listed_row_by_row() -> None:
    first, second = scoring.pair_indices(4)
    assert first.tolist() == [0, 0, 0, 1, 1, 2]
    assert second.tolist() == [1, 2, 3, 2, 3, 3]


@given(st.integers(0, 40))
def test_every_unordered_pair_is_listed_once(num: int) -> None:
    for ours, theirs in zip(scoring.pair_indices(num), np.triu_indices(num, 1), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@given(st.lists(st.sampled_from("abcd"), max_size=30), st.integers(1, 100))
def test_all_pairs_are_the_trials_of_pair_indices_whatever_the_block(labels: list[str], block: int) -> None:
    rows = unit_rows(30)[: len(labels)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speaker_id.scoring.pairs.BLOCK_SCORES", block)
        pairs = scoring.all_pairs(rows, np.array(labels, dtype=str))
    first, second = scoring.pair_indices(len(labels))
    same = np.array([labels[i] == labels[j] for i, j in zip(first, second, strict=True)], dtype=bool)
    scores = scoring.score_trials(rows, first, second)
    np.testing.assert_allclose(pairs.target, scores[same], atol=1e-6)
    np.testing.assert_allclose(pairs.nontarget, scores[~same], atol=1e-6)


def test_pairs_worked_by_hand_never_hold_a_recording_with_itself() -> None:
    pairs = scoring.all_pairs(scoring.normalise([[1, 0], [0, 1], [-1, 0]]), ["ann", "bob", "ann"])
    assert pairs.target.tolist() == [-1.0]
    assert pairs.nontarget.tolist() == [0.0, 0.0]
    assert (pairs.target.dtype, pairs.nontarget.dtype) == (np.float32, np.float32)


def test_pairs_become_labelled_trials() -> None:
    scores, is_target = scoring.PairScores(np.float32([0.5]), np.float32([0.1, 0.2])).trials()
    assert scores.tolist() == pytest.approx([0.5, 0.1, 0.2])
    assert is_target.tolist() == [True, False, False]


def test_labels_must_match_the_embeddings() -> None:
    with pytest.raises(DataError, match="3 embeddings need 3 speaker labels"):
        scoring.all_pairs(unit_rows(3), ["ann", "bob"])


@given(st.lists(st.sampled_from("abc"), max_size=20), st.integers(1, 60))
def test_blocks_of_pairs_enrol_the_earlier_row_whatever_the_block(labels: list[str], block: int) -> None:
    table = np.arange(400, dtype=np.float32).reshape(20, 20)  # not symmetric
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("speaker_id.scoring.pairs.BLOCK_SCORES", block)
        blocks = list(pair_blocks(lambda enrol, test: table[enrol, test], np.array(labels, dtype=str)))
    first, second = scoring.pair_indices(len(labels))
    scores, is_target = (np.concatenate([[], *column]) for column in zip(([], []), *blocks, strict=True))
    assert scores.tolist() == table[first, second].tolist()
    assert is_target.tolist() == [labels[i] == labels[j] for i, j in zip(first, second, strict=True)]
