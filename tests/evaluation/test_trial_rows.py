import numpy as np
import pytest

from speaker_id import scoring
from speaker_id.contracts import FloatArray
from speaker_id.data.lists import DataList, Utterance
from speaker_id.data.trials import Trials
from speaker_id.errors import DataError
from speaker_id.evaluation.inputs import Inputs
from speaker_id.evaluation.models import Models
from speaker_id.evaluation.trial_rows import all_pairs, speaker_of_model, trial_rows, with_models


def unit_rows(num: int, *, seed: int = 0) -> FloatArray:
    return scoring.normalise(np.random.default_rng(seed).normal(size=(num, 5)))


def listed(**labels: str) -> DataList:
    return DataList("made.tsv", tuple(Utterance(f"/{name}", label, name) for name, label in labels.items()))


def trials_of(*rows: tuple[str, str, bool]) -> Trials:
    enrol, test, is_target = zip(*rows, strict=True)
    return Trials(list(enrol), list(test), np.array(is_target))


DATA = listed(x="ann", y="ann", z="bob")
MODELS = Models("models.tsv", {"A": ["x", "y"], "B": ["z"]})


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [2, 0, 1, 0, 2, 2, 1], [1, 1, 1, 0], list(range(6)) * 7])
def test_all_pairs_are_what_two_loops_give(labels: list[int]) -> None:
    pairs = [(i, j) for i in range(len(labels)) for j in range(i + 1, len(labels))]
    rows = all_pairs([str(label) for label in labels])
    assert list(zip(rows.enrol.tolist(), rows.test.tolist(), strict=True)) == pairs
    assert rows.is_target.tolist() == [labels[i] == labels[j] for i, j in pairs]


def test_listed_trials_keep_their_order_and_may_come_twice() -> None:
    trials = trials_of(("z", "x", False), ("x", "y", True), ("z", "x", False))
    rows = trial_rows(Inputs(DATA, trials, None, None))
    assert (rows.enrol.tolist(), rows.test.tolist()) == ([2, 0, 2], [0, 1, 0])
    assert rows.is_target.tolist() == [False, True, False]


@pytest.mark.parametrize("trial", [("x", "w", True), ("w", "x", True)])
def test_a_trial_with_an_unknown_recording_is_refused(trial: tuple[str, str, bool]) -> None:
    with pytest.raises(DataError, match=r"the trials name 'w', which made.tsv does not list"):
        trial_rows(Inputs(DATA, trials_of(("x", "y", False), trial), None, None))


# --- models -----------------------------------------------------------------------------------------------------------


def test_a_model_is_a_row_behind_the_recordings() -> None:
    trials = trials_of(("B", "x", False), ("A", "z", False), ("B", "y", False))
    rows = trial_rows(Inputs(DATA, trials, MODELS, None))
    assert (rows.enrol.tolist(), rows.test.tolist()) == ([4, 3, 4], [0, 2, 1])
    assert rows.enrolled.names == ("A", "B")
    assert [members.tolist() for members in rows.enrolled.members] == [[0, 1], [2]]


def test_the_row_of_a_model_is_the_direction_of_its_mean() -> None:
    rows = trial_rows(Inputs(DATA, trials_of(("A", "z", False)), MODELS, None))
    embeddings = unit_rows(3)
    table = with_models(embeddings, rows.enrolled)
    np.testing.assert_array_equal(table[:3], embeddings)
    mean = embeddings[:2].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(table[3], mean / np.linalg.norm(mean), atol=1e-6)
    np.testing.assert_allclose(table[4], embeddings[2], atol=1e-6)


def test_a_model_is_never_tested_with_its_own_recording() -> None:
    with pytest.raises(DataError, match=r"the model 'A' with y, which it is enrolled with"):
        trial_rows(Inputs(DATA, trials_of(("B", "x", False), ("A", "y", True)), MODELS, None))


def test_with_models_the_first_name_of_a_trial_is_one() -> None:
    with pytest.raises(DataError, match=r"the trials enrol 'x', which is no model of models.tsv"):
        trial_rows(Inputs(DATA, trials_of(("x", "z", False)), MODELS, None))


def test_a_model_with_a_recording_that_is_not_listed_is_refused() -> None:
    models = Models("models.tsv", {"A": ["x", "w"]})
    with pytest.raises(DataError, match=r"models.tsv: A has 'w', which made.tsv does not list"):
        trial_rows(Inputs(DATA, trials_of(("A", "z", False)), models, None))


def test_a_model_speaks_with_one_voice() -> None:
    assert speaker_of_model(DATA, "A", np.array([0, 1])) == "ann"
    with pytest.raises(DataError, match=r"the model 'A' is enrolled with recordings of ann, bob"):
        speaker_of_model(DATA, "A", np.array([0, 2]))
