"""All that one evaluation found, put together for its report."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import cast

import numpy as np

from speaker_id import __version__
from speaker_id.checkpoint import LoadedModel
from speaker_id.contracts import OperatingPoint
from speaker_id.data.lists import DataList
from speaker_id.data.trials import Trials as NamedTrials
from speaker_id.evaluation.embedding import Embedded
from speaker_id.evaluation.inputs import Inputs
from speaker_id.evaluation.trial_rows import Enrolled, speaker_of_model, with_models
from speaker_id.report.evaluation import Leakage, ModelCard, Recordings


def recordings_of(data: DataList, embedded: Embedded, enrolled: Enrolled) -> Recordings:
    """What was embedded, and behind it the models, each as long as its recordings together."""
    utterances = data.utterances
    models = zip(enrolled.names, enrolled.members, strict=True)
    return Recordings(
        names=(*(utterance.name for utterance in utterances), *enrolled.names),
        paths=(*(utterance.path for utterance in utterances), *("" for _ in enrolled.names)),
        speakers=(*(u.label for u in utterances), *(speaker_of_model(data, name, rows) for name, rows in models)),
        seconds=np.append(embedded.seconds, [embedded.seconds[rows].sum() for rows in enrolled.members]).astype(
            np.float32
        ),
        embeddings=with_models(embedded.embeddings, enrolled),
    )


def model_card(loaded: LoadedModel, inputs: Inputs, *, checkpoint: str, command: str, now: datetime) -> ModelCard:
    """Where the figures come from; `command` as typed."""
    parameters = (*loaded.embedding_model.parameters(), *loaded.feature.parameters())
    return ModelCard(
        checkpoint=checkpoint,
        fingerprint=loaded.fingerprint,
        num_parameters=sum(parameter.numel() for parameter in parameters),
        embedding_dim=cast(int, loaded.embedding_model.out_dim),
        feature=loaded.config["feature"],
        model=loaded.config["model"],
        pooling=loaded.config["pooling"],
        num_training_speakers=len(loaded.speakers),
        evaluation_list=inputs.data.source,
        evaluation_digest=digest_of(inputs),
        command=command,
        version=__version__,
        created=now.isoformat(timespec="seconds"),
        vad=loaded.config.get("vad", {}),
    )


def digest_of(inputs: Inputs) -> str:
    """SHA-256 of what was evaluated, line by line as the lists name it: the same wherever the lists lie."""
    digest = hashlib.sha256()
    for utterance in inputs.data.utterances:
        digest.update(f"{utterance.name}\t{utterance.label}\n".encode())
    for line in () if inputs.trials is None else _trial_lines(inputs.trials):
        digest.update(line.encode())
    for model, names in {} if inputs.models is None else inputs.models.members.items():
        digest.update("".join(f"{model}\t{name}\n" for name in names).encode())
    return digest.hexdigest()


def _trial_lines(trials: NamedTrials) -> Iterable[str]:
    for enrol, test, is_target in zip(*trials, strict=True):
        yield f"{enrol}\t{test}\t{'target' if is_target else 'nontarget'}\n"


def facts_of(
    card: ModelCard,
    leakage: Leakage,
    *,
    num_recordings: int,
    back_end: str,
    crop: str,
    operating_point: OperatingPoint | None,
) -> dict[str, object]:
    """What metrics.json says besides the figures: where they come from, and what to hold against them."""
    point = operating_point
    return {
        "checkpoint": card.checkpoint,
        "fingerprint": card.fingerprint,
        "list": card.evaluation_list,
        "list_digest": card.evaluation_digest,
        "num_recordings": num_recordings,
        "back_end": back_end,
        "crop": crop,
        "operating_point": None if point is None else {**point._asdict(), "calibrated": point.calibrated},
        "leakage": {
            "checked": leakage.checked,
            "found": leakage.found,
            "allowed": leakage.allowed,
            **{f"num_{name}": len(getattr(leakage, name)) for name in ("speakers", "recordings", "audio", "cohort")},
        },
        "command": card.command,
        "version": card.version,
        "created": card.created,
    }
