"""A model -> a portable bundle; an operating point -> the checkpoint that it belongs to."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from speaker_id.checkpoint.description import describe
from speaker_id.checkpoint.loading import LoadedModel, state_of
from speaker_id.checkpoint.reading import (
    CONFIG_FILE,
    KEY,
    SEEN_FILE,
    WEIGHTS_FILE,
    load_training_checkpoint,
    read_description,
    resolve,
)
from speaker_id.contracts import OperatingPoint, as_path
from speaker_id.data.fingerprint import SeenData, to_arrays
from speaker_id.errors import CheckpointError

Writers = Mapping[str, Callable[[Path], object]]


def save_bundle(loaded: LoadedModel, folder: str | os.PathLike[str]) -> Path:
    """Write the portable form, `model.safetensors` + `config.yaml`, and return the folder.

    `seen_data.safetensors` stands beside them when it is known what the model was trained on. Raises CheckpointError
    when the disk refuses; a bundle that was there before is then still whole.
    """
    target = as_path(folder)
    weights = {name: tensor.contiguous() for name, tensor in state_of(loaded.embedding_model, loaded.feature).items()}
    text = _yaml(describe(loaded.config, loaded.speakers, loaded.operating_point))
    writers: dict[str, Callable[[Path], object]] = {
        WEIGHTS_FILE: lambda path: save_file(weights, path),
        CONFIG_FILE: lambda path: path.write_text(text, encoding="utf-8"),
    }
    if loaded.seen is not None:
        seen = seen_tensors(loaded.seen)
        writers[SEEN_FILE] = lambda path: save_file(seen, path)
    _write_all(target, writers, what=f"the bundle {target}")
    if loaded.seen is None:
        (target / SEEN_FILE).unlink(missing_ok=True)  # of the bundle that was there before
    return target


def seen_tensors(seen: SeenData) -> dict[str, Tensor]:
    """The fingerprint of the training data as a checkpoint holds it."""
    return {name: torch.from_numpy(array) for name, array in to_arrays(seen).items()}


def save_operating_point(path: str | os.PathLike[str], point: OperatingPoint | None) -> Path:
    """Write an operating point into the run folder, .ckpt file or bundle at `path`; returns what was changed.

    Everything else in it stays as it is. Raises CheckpointError; the file that was there before is then still whole.
    """
    found = resolve(path)
    plain = None if point is None else dict(point._asdict())
    if found.is_dir():
        text = _yaml({**read_description(found), "operating_point": plain})
        writers: Writers = {CONFIG_FILE: lambda file: file.write_text(text, encoding="utf-8")}
        _write_all(found, writers, what=f"the operating point into {found}")
    else:
        content = load_training_checkpoint(found)
        content[KEY] = {**content[KEY], "operating_point": plain}
        writers = {found.name: lambda file: torch.save(content, file)}
        _write_all(found.parent, writers, what=f"the operating point into {found}")
    return found


def _yaml(description: Mapping[str, object]) -> str:
    text: str = yaml.safe_dump(dict(description), sort_keys=False, allow_unicode=True)
    return text


def _write_all(folder: Path, writers: Writers, *, what: str) -> None:
    """Write every file beside its place first, so that the old ones are replaced only when all are there."""
    partials = {name: folder / f"{name}.partial" for name in writers}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, write in writers.items():
            write(partials[name])
            _flush(partials[name])
        for name, partial in partials.items():
            partial.replace(folder / name)
    except (OSError, SafetensorError, RuntimeError) as error:  # torch.save reports a full disk as a RuntimeError
        for partial in partials.values() if folder.is_dir() else ():
            partial.unlink(missing_ok=True)
        raise CheckpointError(f"cannot write {what}: {error}; nothing there was changed") from error


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())  # a full network disk may say so only here
