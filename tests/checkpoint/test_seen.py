"""What a model was trained on travels with it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from inference.tiny_model import tiny_model
from speaker_id import checkpoint
from speaker_id.checkpoint import KEY, PREFIX, SEEN
from speaker_id.data.fingerprint import ListFingerprint, SeenData
from speaker_id.errors import CheckpointError

SEEN_DATA = SeenData(
    (
        ListFingerprint("training", b"s" * 16, b"12345678" * 2, b"abcdefgh", b"ABCDEFGH"),
        ListFingerprint("selection", b"t" * 16, b"87654321", b"", None),
    ),
    complete=True,
)


def saved(path: Path, seen: Any) -> Path:
    made = tiny_model()
    description = checkpoint.describe(made.config, ["ann"], None)
    if seen is not None:
        description[SEEN] = checkpoint.seen_tensors(seen) if isinstance(seen, SeenData) else seen
    weights = {PREFIX + name: tensor for name, tensor in made.embedding_model.state_dict().items()}
    torch.save({"state_dict": weights, KEY: description}, path)
    return path


def test_a_checkpoint_and_its_bundle_tell_what_the_model_has_seen(tmp_path: Path) -> None:
    loaded = checkpoint.load(saved(tmp_path / "a.ckpt", SEEN_DATA))
    assert loaded.seen == SEEN_DATA
    bundle = checkpoint.save_bundle(loaded, tmp_path / "bundle")
    assert checkpoint.load(bundle).seen == checkpoint.read_seen(bundle) == SEEN_DATA
    assert checkpoint.load(bundle).fingerprint == loaded.fingerprint


def test_earlier_checkpoints_say_nothing_of_their_data(tmp_path: Path) -> None:
    assert checkpoint.load(saved(tmp_path / "a.ckpt", None)).seen is None
    assert checkpoint.read_seen(tmp_path / "a.ckpt") is None


def test_a_bundle_that_says_nothing_takes_the_place_of_one_that_did(tmp_path: Path) -> None:
    checkpoint.save_bundle(tiny_model()._replace(seen=SEEN_DATA), tmp_path)
    checkpoint.save_bundle(tiny_model(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "model.safetensors"]
    assert checkpoint.load(tmp_path).seen is None


@pytest.mark.parametrize(
    "damaged",
    [
        7,
        {"complete": True},
        {"complete": torch.ones(1, dtype=torch.bool), "0.training.names": torch.ones(2)},
        {"complete": torch.ones(1, dtype=torch.bool), "weights": torch.ones(2, dtype=torch.int64)},
        {"complete": torch.ones(1, dtype=torch.bool), "0.training.names": torch.ones(2, dtype=torch.bfloat16)},
        {},
    ],
)
def test_a_damaged_fingerprint_is_refused(tmp_path: Path, damaged: Any) -> None:
    with pytest.raises(CheckpointError, match=r"a\.ckpt: .*fingerprint.*; train or export it again"):
        checkpoint.load(saved(tmp_path / "a.ckpt", damaged))


def test_a_bundle_with_a_damaged_fingerprint_is_refused(tmp_path: Path) -> None:
    checkpoint.save_bundle(tiny_model()._replace(seen=SEEN_DATA), tmp_path)
    tensors = load_file(tmp_path / "seen_data.safetensors")
    del tensors["complete"]
    save_file(tensors, tmp_path / "seen_data.safetensors")
    with pytest.raises(CheckpointError, match="a part of the fingerprint is missing"):
        checkpoint.load(tmp_path)
    (tmp_path / "seen_data.safetensors").write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="not readable"):
        checkpoint.load(tmp_path)
