"""Checkpoints that are whole or not there."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from speaker_id.errors import TrainingError


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the target and renames: a full disk or a kill leaves the previous checkpoint whole.

    Raises TrainingError when the disk refuses.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        if storage_options is not None:
            raise TypeError("storage_options are not supported for local checkpoints")
        target = Path(path)
        partial = target.with_name(f"{target.name}.partial")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        except (OSError, RuntimeError) as error:  # torch reports a failed write of its zip as RuntimeError
            raise TrainingError(
                f"cannot write the checkpoint {target}: {error}. Earlier checkpoints are whole: free some space and "
                f"go on with ckpt_path={target.parent / 'last.ckpt'}"
            ) from error
        finally:
            with suppress(OSError):  # after Ctrl-C too; usually there is nothing to remove
                partial.unlink()
