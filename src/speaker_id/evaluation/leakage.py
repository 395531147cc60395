"""Whether a model has met the recordings or speakers it is evaluated on, found out before any figure is printed."""

import logging
from collections.abc import Iterable, Mapping

from speaker_id.data.fingerprint import ListFingerprint, Overlap, SeenData, fingerprint, overlap, sound_keys
from speaker_id.data.lists import DataList
from speaker_id.errors import DataError
from speaker_id.report.evaluation import Leakage

logger = logging.getLogger(__name__)

EXAMPLES = 3


def check_leakage(
    data: DataList, seen: SeenData | None, cohort: DataList | None, *, allowed: bool, model: str
) -> Leakage:
    """Compare an evaluation list with what the model and the back end have learnt from.

    `seen` comes from the checkpoint called `model`, `cohort` is the back end's list. Raises DataError for speakers,
    recordings or sound in common unless it is `allowed`; what nobody can check is a warning.
    """
    lists = () if seen is None else seen.lists
    cohorts = () if cohort is None else (fingerprint(cohort, detail="full"),)
    listens = any(part.sounds is not None for part in (*lists, *cohorts))
    sounds = sound_keys(data) if listens else None
    training = _together(data, (part for part in lists if part.role == "training"), sounds)
    selection = _together(data, (part for part in lists if part.role == "selection"), sounds)
    learnt = _together(data, cohorts, sounds)
    leakage = Leakage(
        checked=seen is not None and seen.complete,
        speakers=training.speakers,
        recordings=training.recordings,
        audio=training.sounds,
        allowed=allowed,
        cohort=_names(learnt),
        selection=_names(selection),
    )
    if not leakage.checked:
        logger.warning(
            "leakage not checked: the checkpoint says %s what it was trained on; make sure that nobody in %s was "
            "trained on", "nothing of" if seen is None else "only in part", data.source,
        )  # fmt: skip
    if leakage.selection:
        logger.warning(
            "%s shares with the validation list, which chose the best epoch: %s; figures may be slightly too good",
            data.source, _counts(selection),
        )  # fmt: skip
    if leakage.found:
        _stop_or_warn(data.source, {f"the training of {model}": training, "data.cohort_list": learnt}, allowed=allowed)
    return leakage


def _together(data: DataList, parts: Iterable[ListFingerprint], sounds: list[bytes] | None) -> Overlap:
    """What `data` shares with any of the lists, in its own order."""
    found = [overlap(part, data, sounds) for part in parts]
    order = {name: row for row, name in enumerate([*data.speakers, *(u.name for u in data.utterances)])}
    columns = ({name for one in found for name in one[column]} for column in range(len(Overlap._fields)))
    return Overlap(*(tuple(sorted(names, key=order.__getitem__)) for names in columns))


def _stop_or_warn(source: str, origins: Mapping[str, Overlap], *, allowed: bool) -> None:
    shared = "; with ".join(f"{name}: {_counts(found)}" for name, found in origins.items() if any(found))
    if allowed:
        logger.warning("allow_leakage=true: %s shares with %s; figures on them are too good", source, shared)
        return
    raise DataError(
        f"{source} shares with {shared}. Figures on them would be too good: evaluate on others. If equal labels "
        "mean different people, rename them in one of the lists; allow_leakage=true goes on, and says so in the results"
    )


def _names(found: Overlap) -> tuple[str, ...]:
    """Each once, speakers first."""
    return tuple(dict.fromkeys((*found.speakers, *found.recordings, *found.sounds)))


def _counts(found: Overlap) -> str:
    kinds = zip(("speakers", "recordings", "recordings under another name"), found, strict=True)
    return ", ".join(f"{len(names)} {kind} ({_examples(names)})" for kind, names in kinds if names)


def _examples(names: tuple[str, ...]) -> str:
    return ", ".join(names[:EXAMPLES]) + (", ..." if len(names) > EXAMPLES else "")
