from datetime import UTC, datetime

import numpy as np

from inference.tiny_model import tiny_model
from speaker_id import scoring
from speaker_id.data.lists import DataList, Utterance
from speaker_id.data.trials import Trials
from speaker_id.evaluation.embedding import Embedded
from speaker_id.evaluation.inputs import Inputs
from speaker_id.evaluation.models import Models
from speaker_id.evaluation.results import digest_of, model_card, recordings_of
from speaker_id.evaluation.trial_rows import NOBODY, Enrolled


def listed(root: str = "/data", *, label: str = "ann") -> DataList:
    rows = (("1.wav", label), ("2.wav", "ann"), ("3.wav", "bob"))
    return DataList(f"{root}/test.tsv", tuple(Utterance(f"{root}/{name}", label, name) for name, label in rows))


def embedded() -> Embedded:
    rows = scoring.normalise(np.random.default_rng(0).normal(size=(3, 5)))
    return Embedded(rows, np.array([1.0, 2.0, 4.0], np.float32))


def test_a_model_stands_behind_the_recordings_as_long_as_all_of_its_own() -> None:
    enrolled = Enrolled(("A", "B"), (np.array([0, 1]), np.array([2])))
    found = recordings_of(listed(), embedded(), enrolled)
    assert found.names == ("1.wav", "2.wav", "3.wav", "A", "B")
    assert found.paths == ("/data/1.wav", "/data/2.wav", "/data/3.wav", "", "")
    assert found.speakers == ("ann", "ann", "bob", "ann", "bob")
    assert found.seconds.tolist() == [1.0, 2.0, 4.0, 3.0, 4.0]
    assert found.embeddings.shape == (5, 5)
    assert found.labelled


def test_without_models_there_are_the_recordings_alone() -> None:
    found = recordings_of(listed(), embedded(), NOBODY)
    assert found.seconds.tolist() == [1.0, 2.0, 4.0]
    np.testing.assert_array_equal(found.embeddings, embedded().embeddings)


def test_the_digest_is_of_what_was_evaluated_and_not_of_where_it_lies() -> None:
    trials = Trials(["1.wav"], ["2.wav"], np.array([True]))
    models = Models("models.tsv", {"A": ["1.wav"]})
    first = digest_of(Inputs(listed(), None, None, None))
    assert first == digest_of(Inputs(listed("/mnt"), None, None, listed("/cohort")))
    others = [
        Inputs(listed(label="eve"), None, None, None),
        Inputs(listed(), trials, None, None),
        Inputs(listed(), trials._replace(is_target=np.array([False])), None, None),
        Inputs(listed(), trials, models, None),
    ]
    assert len({first, *map(digest_of, others)}) == 5


def test_the_card_names_the_model_and_when_it_was_evaluated() -> None:
    loaded = tiny_model()
    inputs = Inputs(listed(), None, None, None)
    card = model_card(loaded, inputs, checkpoint="runs/x", command="python -m x", now=datetime(2026, 1, 2, tzinfo=UTC))
    assert card.num_parameters == sum(weights.numel() for weights in loaded.embedding_model.parameters())
    assert (card.embedding_dim, card.num_training_speakers) == (12, 2)
    assert (card.checkpoint, card.fingerprint, card.command) == ("runs/x", loaded.fingerprint, "python -m x")
    assert card.created == "2026-01-02T00:00:00+00:00"
    assert card.evaluation_list == "/data/test.tsv"
