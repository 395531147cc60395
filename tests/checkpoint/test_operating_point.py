"""The operating point is chosen after training, and written into what was trained."""

from pathlib import Path
from typing import Any

import pytest
import torch

from inference.tiny_model import POINT, tiny_bundle, tiny_model
from speaker_id import checkpoint
from speaker_id.checkpoint import KEY, PREFIX
from speaker_id.contracts import OperatingPoint
from speaker_id.errors import CheckpointError

CHOSEN = OperatingPoint(0.4, "1 % false accepts on dev", 12.5, -4.0, 0.01, 90_000)


def run_folder(folder: Path, *, point: Any = POINT) -> Path:
    made = tiny_model()
    description = checkpoint.describe(made.config, ["ann"], None)
    description["operating_point"] = dict(point._asdict()) if isinstance(point, OperatingPoint) else point
    weights = {PREFIX + name: tensor for name, tensor in made.embedding_model.state_dict().items()}
    content = {"state_dict": weights, KEY: description, "epoch": 7, "optimizer_states": [{"step": torch.tensor(3)}]}
    (folder / "checkpoints").mkdir(parents=True)
    torch.save(content, folder / "checkpoints" / "best.ckpt")
    return folder


def test_a_runs_best_checkpoint_takes_it_and_keeps_everything_else(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run")
    before = checkpoint.load(folder)
    assert checkpoint.save_operating_point(folder, CHOSEN) == folder / "checkpoints" / "best.ckpt"
    after = checkpoint.load(folder)
    assert after.operating_point == CHOSEN
    assert after.fingerprint == before.fingerprint
    content = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert content["epoch"] == 7
    assert content["optimizer_states"][0]["step"] == 3
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["best.ckpt"]


def test_a_bundle_takes_it_and_keeps_its_weights(tmp_path: Path) -> None:
    folder = tiny_bundle(tmp_path)
    weights = (folder / "model.safetensors").read_bytes()
    assert checkpoint.save_operating_point(folder, CHOSEN) == folder
    assert checkpoint.load(folder).operating_point == CHOSEN
    assert (folder / "model.safetensors").read_bytes() == weights
    checkpoint.save_operating_point(folder, None)
    assert checkpoint.load(folder).operating_point is None


def test_a_full_disk_leaves_the_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run_folder(tmp_path / "run")
    before = (folder / "checkpoints" / "best.ckpt").read_bytes()

    def full(content: Any, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file: No space left on device")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(CheckpointError, match=r"cannot write the operating point into .*best.ckpt: .*No space left"):
        checkpoint.save_operating_point(folder, CHOSEN)
    assert (folder / "checkpoints" / "best.ckpt").read_bytes() == before
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["best.ckpt"]


def test_earlier_checkpoints_have_a_threshold_and_its_source_only(tmp_path: Path) -> None:
    point = checkpoint.load(run_folder(tmp_path, point={"threshold": 0.3, "source": "dev"})).operating_point
    assert point == OperatingPoint(0.3, "dev")
    assert not point.calibrated


@pytest.mark.parametrize(
    "point",
    [
        {"threshold": 0.3, "source": 7},
        {"threshold": 0.3, "source": "dev", "llr_scale": "1", "llr_offset": 0.0},
        {"threshold": 0.3, "source": "dev", "llr_scale": 1.0},
        {"threshold": 0.3, "source": "dev", "llr_scale": 1.0, "llr_offset": None},
        {"threshold": 0.3, "source": "dev", "target_fpr": [0.1]},
        {"threshold": 0.3, "source": "dev", "num_nontargets": True},
        {"threshold": 0.3, "source": "dev", "prior": 0.5},
        {"source": "dev"},
    ],
)
def test_what_is_no_operating_point_is_refused(tmp_path: Path, point: Any) -> None:
    with pytest.raises(CheckpointError, match="operating point is no threshold with a source"):
        checkpoint.load(run_folder(tmp_path, point=point))
