"""The ladder of imports: a module knows only what lies on lower rungs, or in its own package."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import speaker_id

PACKAGE = Path(speaker_id.__file__).parent
ROOT = "speaker_id"

# Half rungs: what computes on numbers (1a) lies under what learns (1b). Siblings never meet.
LADDER: list[set[str]] = [
    {"contracts", "errors"},  # 0
    {"audio", "metrics", "scoring", "calibration"},  # 1a
    {"feature", "vad", "augmentation", "model", "pooling", "loss"},  # 1b
    {"data", "build"},  # 2
    {"checkpoint"},  # 3a: the file format, which training writes
    {"training", "report", "commandline", "pretrained"},  # 3b
    {"inference", "export"},  # 4
    {"service", "evaluation"},  # 5
    {"train", "eval", "calibrate", "extract", "sweep", "cli", "demo", "__main__"},  # 6
]
RUNG = {module: rung for rung, modules in enumerate(LADDER) for module in modules}

# What shows another module's face, and adds nothing: `python -m speaker_id` is the command, whose demo lies apart.
FACADES = {("__main__", "cli"), ("cli", "demo")}

FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = sorted({path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES} - {"__init__"})

CHEAP = """
import sys
{statement}
print("\\n".join(sorted(sys.modules)))
"""


def owner(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything a file imports, within functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            parent = "." * node.level + (node.module or "")
            for alias in node.names:
                yield node.lineno, f"{parent}.{alias.name}"


def loaded_by(statement: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", CHEAP.format(statement=statement)], check=True, capture_output=True, text=True
    )
    return set(run.stdout.split())


def test_every_module_has_a_place_on_the_ladder() -> None:
    homeless = [name for name in NAMES if name not in RUNG]
    assert not homeless, f"{homeless} stand on no rung: add them to LADDER here and to the ladder in the docs"


def may_import(importer: str, target: str) -> bool:
    return importer == target or RUNG[target] < RUNG[importer] or (importer, target) in FACADES


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_lead_down_the_ladder(path: Path) -> None:
    importer = owner(path)
    if importer == "__init__":
        return  # the public face shows what lies below, late
    for line, name in imported(path):
        assert not name.startswith("."), f"{path.name}:{line}: relative import {name}; write it out"
        parts = name.split(".")
        if parts[0] != ROOT or name == f"{ROOT}.__version__":
            continue
        target = parts[1] if len(parts) > 1 else "__init__"
        assert target in RUNG, f"{path.name}:{line}: {name} goes through the package's face; name the module itself"
        assert may_import(importer, target), (
            f"{path.name}:{line}: {importer} (rung {RUNG[importer]}) imports {target} (rung {RUNG[target]})"
        )


def test_the_ladder_itself_refuses_siblings_and_upward_imports() -> None:
    assert may_import("training", "data")
    assert may_import("augmentation", "audio")
    assert may_import("model", "model")
    assert not may_import("audio", "metrics")
    assert not may_import("model", "pooling")
    assert not may_import("audio", "augmentation")
    assert not may_import("build", "data")
    assert not may_import("inference", "train")
    assert not may_import("cli", "train")


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("pytorch_lightning", {"training", "train"}),  # costs seconds to import
        ("hydra", {"build", "commandline", *LADDER[-1]}),  # config is read at the door
        ("typer", {"cli", "demo", "__main__"}),
        ("sqlite3", {"inference"}),
        ("psycopg", {"inference"}),
        ("psycopg_pool", {"inference"}),
        ("pgvector", {"inference"}),
    ],
)
def test_a_library_lives_where_the_design_puts_it(library: str, homes: set[str]) -> None:
    users = {owner(path) for path in FILES if any(name.split(".")[0] == library for _, name in imported(path))}
    assert users <= homes


@pytest.mark.parametrize("module", sorted({"metrics", "scoring", "calibration"} & set(NAMES)))
def test_numbers_are_computed_without_torch(module: str) -> None:
    for path in (path for path in FILES if owner(path) == module):
        assert not [name for _, name in imported(path) if name.split(".")[0] in {"torch", "torchaudio"}]


@pytest.mark.parametrize("statement", ["import speaker_id.inference", "import speaker_id.inference.recognizer"])
def test_recognising_pays_neither_for_lightning_nor_for_hydras_application(statement: str) -> None:
    dear = {"pytorch_lightning", "lightning", "hydra.main", "hydra._internal.hydra", "tensorboard", "matplotlib"}
    assert not loaded_by(statement) & dear


def test_the_bare_package_does_not_import_torch() -> None:
    loaded = loaded_by("import speaker_id")
    assert "speaker_id" in loaded
    assert not loaded & {"torch", "numpy", "hydra", "omegaconf"}


@pytest.mark.parametrize("module", ["audio", "service.decoding", "inference.gallery", "inference.audio_folder", "cli"])
def test_what_needs_no_model_does_not_import_torch(module: str) -> None:
    loaded = loaded_by(f"import speaker_id.{module}")
    assert f"speaker_id.{module}" in loaded
    assert not loaded & {"torch", "torchaudio", "scipy", "pytorch_lightning", "hydra"}


@pytest.mark.parametrize("module", ["audio", "service.decoding"])
def test_reading_sound_loads_neither_the_web_nor_ffmpeg(module: str) -> None:
    assert not loaded_by(f"import speaker_id.{module}") & {"http.client", "ssl", "av"}


def test_no_file_is_a_drawer_for_anything() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for path in PACKAGE.rglob("*") if path.stem in drawers]


def test_nothing_is_pickled() -> None:
    pickles = {"pickle", "cPickle", "dill", "joblib", "shelve", "cloudpickle"}
    refusal = "pickle.UnpicklingError"  # what torch.load raises when it refuses
    for path in FILES:
        assert not [name for _, name in imported(path) if name.split(".")[0] in pickles and name != refusal], path
