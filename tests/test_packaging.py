"""The wheel: it carries the config tree, and runs from an empty folder without the checkout."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import speaker_id

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-x", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_carries_the_whole_config_tree_and_the_types_mark(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    leaves = {f"speaker_id/{path.relative_to(ROOT)}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert leaves
    assert leaves <= inside
    assert "speaker_id/py.typed" in inside
    assert not [name for name in inside if name.startswith(("tests/", "benchmarks/", "notebooks/"))]


def test_the_version_is_the_same_everywhere(wheel: Path) -> None:
    assert speaker_id.__version__ == PROJECT["version"]
    assert wheel.name.startswith(f"speaker_id-{PROJECT['version']}-")


def test_an_installed_wheel_prints_its_own_config_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True, capture_output=True)
    # The checkout is on the path by its editable install: PYTHONPATH goes first, and `where` shows that it won.
    code = (
        "import speaker_id, sys; from speaker_id import build, train; print(speaker_id.__file__, build.CONF_DIR, "
        "file=sys.stderr); sys.argv = ['train', '--cfg', 'job', 'data.train_list=x', 'model=xvector']; train.main()"
    )
    env = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=empty, env=env, capture_output=True, text=True, check=True)
    assert done.stderr == f"{site}/speaker_id/__init__.py {site}/speaker_id/conf\n"
    config = yaml.safe_load(done.stdout)
    assert config["data"]["train_list"] == "x"
    assert config["model"]["backbone"]["_target_"] == "speaker_id.model.xvector.XVector"
    assert list(empty.iterdir()) == []
