"""Every notebook runs from top to bottom, and is stored without output."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

# What makes the stand-in for a trained model tiny; the rest of each notebook stays as it is.
TINY = {"num_steps: int = 100": "num_steps: int = 10", "num_train_voices=48": "num_train_voices=12"}
NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_output(path: Path) -> None:
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == [], f"clear the outputs of {path.name}"
            assert cell.execution_count is None, f"clear the outputs of {path.name}"


def test_every_size_that_is_made_tiny_is_one_of_a_notebook() -> None:
    assert all(any(stated in path.read_text(encoding="utf-8") for path in NOTEBOOKS) for stated in TINY)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_something(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))  # nothing in the home folder is read or written
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for stated, tiny in TINY.items():
            cell.source = cell.source.replace(stated, tiny)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
