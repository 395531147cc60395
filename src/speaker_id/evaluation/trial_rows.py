"""Trials as row numbers: what is enrolled against which recording."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from speaker_id import scoring
from speaker_id.contracts import FloatArray
from speaker_id.data.lists import DataList
from speaker_id.data.trials import Trials
from speaker_id.errors import DataError
from speaker_id.evaluation.inputs import Inputs
from speaker_id.evaluation.models import Models

Rows = NDArray[np.intp]


class Enrolled(NamedTuple):
    """Models of several recordings; model number m is row N + m, behind the N recordings."""

    names: tuple[str, ...]
    members: tuple[Rows, ...]  # rows of the recordings


class TrialRows(NamedTuple):
    """Trials by row, each (M,); rows from N on are models, and stand on the enrolment side alone."""

    enrol: Rows
    test: Rows
    is_target: NDArray[np.bool_]
    enrolled: Enrolled


NOBODY = Enrolled((), ())


def trial_rows(inputs: Inputs) -> TrialRows:
    """The trials of an evaluation; all pairs, each once, where none are listed."""
    if inputs.trials is None:
        return all_pairs([utterance.label for utterance in inputs.data.utterances])
    row = {utterance.name: number for number, utterance in enumerate(inputs.data.utterances)}
    test = _rows(inputs.trials.test, row, inputs.data)
    if inputs.models is None:
        return TrialRows(_rows(inputs.trials.enrol, row, inputs.data), test, inputs.trials.is_target, NOBODY)
    enrolled = _enrolled(inputs.models, row, inputs.data)
    enrol = _model_rows(inputs.trials, inputs.models, first=len(row))
    _refuse_own_recordings(inputs, enrolled, enrol - len(row), test)
    return TrialRows(enrol, test, inputs.trials.is_target, enrolled)


def all_pairs(labels: Sequence[str]) -> TrialRows:
    """Every unordered pair of recordings once, in the order 01, 02, ... 12, 13, ..."""
    enrol, test = scoring.pair_indices(len(labels))
    speakers = np.unique(labels, return_inverse=True)[1]
    return TrialRows(enrol, test, speakers[enrol] == speakers[test], NOBODY)


def with_models(embeddings: FloatArray, enrolled: Enrolled) -> FloatArray:
    """(N, E) unit rows -> (N + models, E): a model is the direction of the mean of its recordings."""
    if not enrolled.members:
        return embeddings
    return np.concatenate([embeddings, scoring.model_means(embeddings, [rows.tolist() for rows in enrolled.members])])


def speaker_of_model(data: DataList, name: str, rows: Rows) -> str:
    """The label that the recordings of a model share; DataError when they disagree."""
    labels = {data.utterances[int(row)].label for row in rows}
    if len(labels) > 1:
        raise DataError(f"the model {name!r} is enrolled with recordings of {', '.join(sorted(labels))}: one is meant")
    return labels.pop()


def _rows(names: Iterable[str], row: dict[str, int], data: DataList) -> Rows:
    try:
        return np.array([row[name] for name in names], np.intp)
    except KeyError as error:
        raise DataError(f"the trials name {error.args[0]!r}, which {data.source} does not list") from None


def _enrolled(models: Models, row: dict[str, int], data: DataList) -> Enrolled:
    for model, names in models.members.items():
        if unknown := next((name for name in names if name not in row), None):
            raise DataError(f"{models.source}: {model} has {unknown!r}, which {data.source} does not list")
    members = tuple(np.array([row[name] for name in names], np.intp) for names in models.members.values())
    return Enrolled(tuple(models.members), members)


def _model_rows(trials: Trials, models: Models, *, first: int) -> Rows:
    number = {model: first + position for position, model in enumerate(models.members)}
    if unknown := next((name for name in trials.enrol if name not in number), None):
        raise DataError(
            f"the trials enrol {unknown!r}, which is no model of {models.source}; with data.models the first name of a "
            "trial is a model, the second a recording"
        )
    return np.array([number[name] for name in trials.enrol], np.intp)


def _refuse_own_recordings(inputs: Inputs, enrolled: Enrolled, models: Rows, test: Rows) -> None:
    own = {(number, int(row)) for number, rows in enumerate(enrolled.members) for row in rows}
    clash = next((pair for pair in zip(models.tolist(), test.tolist(), strict=True) if pair in own), None)
    if clash is not None:
        name = inputs.data.utterances[clash[1]].name
        raise DataError(
            f"a trial compares the model {enrolled.names[clash[0]]!r} with {name}, which it is enrolled with; "
            "a recording is never compared with itself"
        )
