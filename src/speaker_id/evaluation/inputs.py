"""What an evaluation reads: recordings, trials among them, enrolment models, and a cohort for the back end."""

from pathlib import Path
from typing import NamedTuple

from speaker_id.contracts import as_path
from speaker_id.data.lists import DataList, Utterance, check_trials, read_list
from speaker_id.data.trials import Trials, read_trials
from speaker_id.errors import ConfigError, DataError
from speaker_id.evaluation.models import Models, read_models

_WAYS = "give data.test_list=FILE for all pairs of a list, or trials=FILE for listed trials"


class InputFiles(NamedTuple):
    """As the user names them; None where there is none."""

    test_list: str | None
    trials: str | None = None
    models: str | None = None
    cohort_list: str | None = None
    root: str | None = None


class Inputs(NamedTuple):
    """What was read."""

    data: DataList  # every recording to embed; labels are empty where nobody says who speaks
    trials: Trials | None  # None: all pairs
    models: Models | None  # None: the trials name recordings on both sides
    cohort: DataList | None

    @property
    def labelled(self) -> bool:
        return all(utterance.label for utterance in self.data.utterances)


def read_inputs(files: InputFiles) -> Inputs:
    """Read and check all lists. Raises ConfigError and DataError, naming the option or file and the line."""
    if files.models is not None and files.trials is None:
        raise ConfigError(
            "data.models says who is enrolled with what: give the trials of these models too, trials=FILE"
        )
    cohort = None if files.cohort_list is None else read_list(files.cohort_list, root=files.root)
    if files.trials is None:
        if files.test_list is None:
            raise ConfigError(_WAYS)
        data = read_list(files.test_list, root=files.root)
        check_trials(data)
        return Inputs(data, None, None, cohort)
    trials = read_trials(files.trials)
    models = None if files.models is None else read_models(files.models)
    if files.test_list is not None:
        data = read_list(files.test_list, root=files.root)
    else:
        data = list_of(trials, models, Path(files.trials), files.root)
    return Inputs(data, trials, models, cohort)


def list_of(trials: Trials, models: Models | None, source: Path, root: str | None) -> DataList:
    """The recordings that trials and models name; nobody says who speaks in them, so their labels are empty."""
    base = as_path(root) if root is not None else source.resolve().parent
    enrolled = trials.enrol if models is None else [name for members in models.members.values() for name in members]
    names = dict.fromkeys([*enrolled, *trials.test])
    for name in names:
        if not (base / name).is_file():
            raise DataError(f"{source}: no such recording: {base / name}; say where paths start with data.root=FOLDER")
    return DataList(str(source), tuple(Utterance(str(base / name), "", name) for name in names))
