"""What a run trains on, for its checkpoints: its own lists, and those of the weights that it starts from."""

import logging
from pathlib import Path
from typing import Literal

from speaker_id import checkpoint
from speaker_id.data.fingerprint import SeenData, fingerprint
from speaker_id.training.datamodule import SpeakerDataModule

logger = logging.getLogger(__name__)

WORTH_A_WORD = 10_000  # recordings: they take several seconds


def seen_data(datamodule: SpeakerDataModule, *, pretrained: Path | None) -> SeenData | None:
    """The fingerprint of the training; None with `data.fingerprint=none`. Raises DataError for unreadable recordings.

    Of the validation list, which only chooses among epochs, the names are noted.
    """
    if datamodule.fingerprint == "none":
        return None
    detail: Literal["full", "names"] = "full" if datamodule.fingerprint == "full" else "names"
    if detail == "full" and len(datamodule.train_set) > WORTH_A_WORD:
        logger.info(
            "listening to a second of each of %d recordings, so that evaluations notice them again "
            "(data.fingerprint=names reads their names only)",
            len(datamodule.train_set),
        )
    own = (
        fingerprint(datamodule.train_set.data, detail=detail),
        fingerprint(datamodule.val_set.data, detail="names", role="selection"),
    )
    before = SeenData((), complete=True) if pretrained is None else checkpoint.read_seen(pretrained)
    if before is None:
        return SeenData(own, complete=False)
    return SeenData(own + before.lists, before.complete)
