import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from speaker_id.errors import TrainingError
from speaker_id.training.saving import AtomicCheckpointIO


def no_space(content: Any, file: BinaryIO) -> None:
    file.write(b"half of it")
    raise OSError(errno.ENOSPC, "No space left on device")


def torch_reports_no_space(content: Any, file: BinaryIO) -> None:
    file.write(b"half of it")
    raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    io = AtomicCheckpointIO()
    path = tmp_path / "new" / "folder" / "a.ckpt"
    io.save_checkpoint({"epoch": 3, "weights": torch.arange(4)}, path)
    loaded = io.load_checkpoint(path, weights_only=True)
    assert loaded["epoch"] == 3
    assert loaded["weights"].tolist() == [0, 1, 2, 3]
    io.save_checkpoint({"epoch": 4}, str(path))
    assert io.load_checkpoint(path, weights_only=True) == {"epoch": 4}
    assert [file.name for file in path.parent.iterdir()] == ["a.ckpt"]


@pytest.mark.parametrize("failure", [no_space, torch_reports_no_space])
def test_a_failing_write_leaves_the_previous_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Callable[..., None]
) -> None:
    io, path = AtomicCheckpointIO(), tmp_path / "last.ckpt"
    io.save_checkpoint({"epoch": 3}, path)
    before = path.read_bytes()
    monkeypatch.setattr(torch, "save", failure)
    with pytest.raises(TrainingError) as caught:
        io.save_checkpoint({"epoch": 4}, path)
    assert f"cannot write the checkpoint {path}: " in str(caught.value)
    assert f"ckpt_path={tmp_path / 'last.ckpt'}" in str(caught.value)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_kill_in_the_middle_leaves_the_previous_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(content: Any, file: BinaryIO) -> None:
        file.write(b"half of it")
        raise KeyboardInterrupt

    io, path = AtomicCheckpointIO(), tmp_path / "last.ckpt"
    io.save_checkpoint({"epoch": 3}, path)
    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            io.save_checkpoint({"epoch": 4}, path)
    assert io.load_checkpoint(path, weights_only=True) == {"epoch": 3}
    io.save_checkpoint({"epoch": 5}, path)  # what the kill left behind is in nobody's way
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_place_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"cannot write the checkpoint .*file/a.ckpt"):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "file" / "a.ckpt")


def test_options_for_remote_storage_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="storage_options"):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "a.ckpt", storage_options={})
    assert not list(tmp_path.iterdir())
