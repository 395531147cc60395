import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from speaker_id.errors import ConfigError
from speaker_id.service.keys import Key, Keyring, new_key, read_keys, remove_key


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "keys.json"


def test_the_file_holds_no_token_and_nobody_else_may_read_it(file: Path) -> None:
    token = new_key(file, "door", "verify")
    assert token.startswith("sid_")
    assert len(token) > 40
    assert token not in file.read_text()
    assert token.removeprefix("sid_") not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


def test_a_token_finds_its_key_and_nothing_else_does(file: Path) -> None:
    tokens = {name: new_key(file, name, "enrol") for name in ("a", "b")}
    keyring = Keyring(file)
    for name, token in tokens.items():
        found = keyring.find(token)
        assert found is not None
        assert found.name == name
    for wrong in ("", "sid_", tokens["a"][:-1], tokens["a"] + "x", "ключ"):
        assert keyring.find(wrong) is None


def test_a_running_keyring_sees_keys_come_and_go(file: Path) -> None:
    first = new_key(file, "a", "verify")
    keyring = Keyring(file)
    second = new_key(file, "b", "verify")
    assert keyring.find(second) is not None
    remove_key(file, "a")
    assert keyring.find(first) is None
    assert keyring.find(second) is not None


def test_a_change_of_equal_length_under_the_old_date_is_seen(file: Path) -> None:
    old = new_key(file, "a", "verify")
    keyring = Keyring(file)
    before = file.stat()
    remove_key(file, "a")
    new = new_key(file, "a", "verify")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert keyring.find(old) is None
    assert keyring.find(new) is not None


def test_each_role_may_what_those_before_it_may() -> None:
    rights = {role: [Key("k", role, "").may(asked) for asked in ("verify", "enrol", "admin")]
              for role in ("verify", "enrol", "admin")}  # fmt: skip
    assert rights == {
        "verify": [True, False, False], "enrol": [True, True, False], "admin": [True, True, True],
    }  # fmt: skip


@pytest.mark.parametrize(("name", "role"), [("a", "root"), ("", "verify"), ("a b", "verify"), ("a\n", "verify")])
def test_a_key_that_would_confuse_the_log_is_not_made(file: Path, name: str, role: str) -> None:
    with pytest.raises(ConfigError):
        new_key(file, name, role)  # type: ignore[arg-type]
    assert not file.exists()


def test_a_name_is_given_once(file: Path) -> None:
    new_key(file, "a", "verify")
    with pytest.raises(ConfigError, match="already"):
        new_key(file, "a", "admin")
    assert [key.role for key in read_keys(file)] == ["verify"]


def test_keys_that_are_made_at_the_same_time_are_all_there(file: Path) -> None:
    names = [f"key-{number}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: new_key(file, name, "verify"), names))
    assert {key.name for key in read_keys(file)} == set(names)
    assert [left.name for left in file.parent.iterdir()] == ["keys.json"]


def test_a_key_is_not_taken_from_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keys add"):
        remove_key(tmp_path / "folder" / "keys.json", "a")
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"keys": 1}', '{"keys": [{}]}', '{"keys": [{"name": "a", "role": ["verify"], "sha256": ""}]}',
     json.dumps({"keys": [{"name": "a", "role": "root", "sha256": "0" * 64}]}),
     json.dumps({"keys": [{"name": "a", "role": "admin", "sha256": "é"}]}),
     json.dumps({"keys": [{"name": "a", "role": "admin", "sha256": ""}]})],
)  # fmt: skip
def test_a_file_that_is_no_file_of_keys_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "keys.json").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"keys\.json"):
        Keyring(tmp_path / "keys.json")


def test_removing_a_key_that_is_not_there_says_which_are(file: Path) -> None:
    new_key(file, "a", "verify")
    with pytest.raises(ConfigError, match="it holds: a"):
        remove_key(file, "b")
