from typing import Any, ClassVar

import numpy as np
import pytest

from speaker_id import scoring
from speaker_id.contracts import BackEnd, FloatArray
from speaker_id.data.lists import DataList, Utterance
from speaker_id.errors import ConfigError
from speaker_id.evaluation.back_end import Scorer, check_cohort, check_enrolment, learn
from speaker_id.evaluation.trial_rows import Enrolled, TrialRows, all_pairs

COHORT = DataList("cohort.tsv", tuple(Utterance(f"/{n}", label, f"{n}") for n, label in enumerate("aab")))
LABELS = ["0", "0", "1", "1", "2"]


def unit_rows(num: int, *, seed: int = 0) -> FloatArray:
    return scoring.normalise(np.random.default_rng(seed).normal(size=(num, 5)))


def fitted(back_end: Any) -> BackEnd:
    back_end.fit(unit_rows(40, seed=9), [str(number // 4) for number in range(40)])
    return back_end  # type: ignore[no-any-return]


class Noting(scoring.Cosine):
    """Remembers what it learnt from."""

    learns_from: ClassVar[Any] = "speakers"
    seen: Any = None

    def fit(self, embeddings: FloatArray, speakers: Any) -> None:
        self.seen = (embeddings, speakers)


def test_a_back_end_learns_from_the_cohorts_embeddings_and_labels() -> None:
    back_end = Noting()
    learn(back_end, check_cohort(back_end, COHORT, leaf="x"), lambda data: unit_rows(len(data.utterances)))
    np.testing.assert_array_equal(back_end.seen[0], unit_rows(3))
    assert back_end.seen[1] == ["a", "a", "b"]


@pytest.mark.parametrize("back_end", [scoring.CentredCosine(), scoring.AsNorm(top_k=2), Noting()])
def test_a_back_end_without_a_cohort_names_the_override(back_end: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"backend=some_leaf learns .* data.cohort_list=FILE.*; or take backend=cosine"
    ):
        check_cohort(back_end, None, leaf="some_leaf")


def test_the_cosine_does_not_even_read_a_cohort() -> None:
    assert check_cohort(scoring.Cosine(), COHORT, leaf="cosine") is None
    learn(scoring.Cosine(), None, lambda data: pytest.fail("embedded"))


@pytest.mark.parametrize("back_end", [scoring.Cosine(), fitted(scoring.AsNorm(top_k=4)), fitted(scoring.ZNorm())])
def test_all_pairs_in_blocks_are_the_pairs_one_by_one(back_end: BackEnd) -> None:
    rows, embeddings = all_pairs(LABELS), unit_rows(5)
    whole = Scorer(back_end, rows, "mean", exhaustive=True)(embeddings)
    np.testing.assert_allclose(whole, Scorer(back_end, rows, "mean")(embeddings), atol=1e-5)
    np.testing.assert_allclose(whole, back_end.score(embeddings, rows.enrol, rows.test), atol=1e-5)


def test_all_pairs_stay_in_order_over_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer, embeddings = Scorer(scoring.Cosine(), all_pairs(LABELS * 4), "mean", exhaustive=True), unit_rows(20)
    whole = scorer(embeddings)
    monkeypatch.setattr("speaker_id.scoring.prepared.BLOCK_SCORES", 60)  # three rows a block
    np.testing.assert_allclose(scorer(embeddings), whole, atol=1e-6)


def model_rows() -> TrialRows:
    """Models of rows 0, 1 and of 2, against 3 and 4."""
    enrolled = Enrolled(("A", "B"), (np.array([0, 1]), np.array([2])))
    return TrialRows(np.array([5, 6, 5]), np.array([3, 3, 4]), np.array([True, False, False]), enrolled)


def test_a_model_is_scored_by_the_direction_of_its_mean() -> None:
    rows = unit_rows(5).astype(np.float64)
    mean = rows[0] + rows[1]
    mean /= np.linalg.norm(mean)
    expected = [mean @ rows[3], rows[2] @ rows[3], mean @ rows[4]]
    np.testing.assert_allclose(Scorer(scoring.Cosine(), model_rows(), "mean")(unit_rows(5)), expected, atol=1e-6)


def test_or_by_each_of_its_recordings_averaged() -> None:
    rows = unit_rows(5).astype(np.float64)
    expected = [(rows[0] + rows[1]) @ rows[3] / 2, rows[2] @ rows[3], (rows[0] + rows[1]) @ rows[4] / 2]
    np.testing.assert_allclose(Scorer(scoring.Cosine(), model_rows(), "all")(unit_rows(5)), expected, atol=1e-6)


@pytest.mark.parametrize("enrolment", ["mean", "all"])
def test_disturbed_recordings_are_met_on_the_test_side_alone(enrolment: str) -> None:
    clean, disturbed = unit_rows(5), unit_rows(5, seed=1)
    scorer = Scorer(scoring.Cosine(), model_rows(), enrolment)
    mixed = np.concatenate([clean[:3], disturbed[3:]])  # the trials test only 3 and 4, and enrol neither
    np.testing.assert_allclose(scorer(clean, disturbed), scorer(mixed), atol=1e-6)
    pairs = all_pairs(LABELS)
    found = Scorer(scoring.Cosine(), pairs, enrolment, exhaustive=True)(clean, disturbed)
    expected = np.einsum("me,me->m", clean[pairs.enrol], disturbed[pairs.test])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_there_are_two_ways_to_enrol() -> None:
    for enrolment in ("mean", "all"):
        check_enrolment(enrolment)
    with pytest.raises(ConfigError, match="enrolment=max does not exist; there are: mean, all"):
        check_enrolment("max")
