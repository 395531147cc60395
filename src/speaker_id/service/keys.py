"""API keys: random tokens that only their holders know, with a role each. The file keeps digests alone."""

import hashlib
import hmac
import json
import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from speaker_id.errors import ConfigError
from speaker_id.inference.private_file import write_private

Role = Literal["verify", "enrol", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)  # each may do what those before it may
TOKEN_BYTES = 32  # of randomness: nothing to guess, so that one round of SHA-256 protects it
PREFIX = "sid_"  # lets people and secret scanners recognise a key


class Key(NamedTuple):
    name: str  # whom it was given to, for logs
    role: Role
    digest: str  # SHA-256 of the token, hex

    def may(self, role: Role) -> bool:
        return ROLES.index(self.role) >= ROLES.index(role)


class Keyring:
    """The keys of one file, read again when it changes: a key that is taken back stops working at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, ...] | None = None
        self._keys: list[Key] = []
        self._read_again()

    def find(self, token: str) -> Key | None:
        """The key of a token; every key is compared, so that the time taken tells nothing. Raises ConfigError."""
        self._read_again()
        digest = _digest(token)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _read_again(self) -> None:
        stat = _stat(self._path)
        stamp = (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino)
        if stamp != self._stamp:
            self._keys = read_keys(self._path)
            self._stamp = stamp


def new_key(path: Path, name: str, role: Role) -> str:
    """Add a key to the file and return its token, which is shown this once. Raises ConfigError."""
    if role not in ROLES:
        raise ConfigError(f"there is no role {role!r}; there are: {', '.join(ROLES)}")
    if not re.fullmatch(r"[\w.@-]{1,64}", name):
        raise ConfigError(f"the key's name {name!r} must be 1 to 64 letters, digits or . @ - _")
    token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    with _alone(path):
        keys = read_keys(path) if path.exists() else []
        if name in {key.name for key in keys}:
            raise ConfigError(f"{path} holds a key called {name!r} already: remove it first, or choose another name")
        _write(path, [*keys, Key(name, role, _digest(token))])
    return token


def remove_key(path: Path, name: str) -> None:
    """Take a key back. Raises ConfigError when there is none of that name."""
    _stat(path)
    with _alone(path):
        keys = read_keys(path)
        kept = [key for key in keys if key.name != name]
        if len(kept) == len(keys):
            others = ", ".join(key.name for key in keys) or "none"
            raise ConfigError(f"{path} holds no key called {name!r}; it holds: {others}")
        _write(path, kept)


def read_keys(path: Path) -> list[Key]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the keys {path}: {error.strerror}; `speaker-id keys add` makes one") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no file of keys: {error}") from error
    try:
        keys = [Key(str(entry["name"]), entry["role"], str(entry["sha256"])) for entry in content["keys"]]
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{path} is no file of keys: every one needs name, role and sha256") from error
    for key in keys:
        if key.role not in ROLES:
            raise ConfigError(f"{path}: the key {key.name!r} has the role {key.role!r}; there are: {', '.join(ROLES)}")
        if not re.fullmatch("[0-9a-f]{64}", key.digest):
            raise ConfigError(f"{path}: the key {key.name!r} has no SHA-256 digest: remove it and make another")
    return keys


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise ConfigError(f"cannot read the keys {path}: {error.strerror}; `speaker-id keys add` makes one") from error


def _write(path: Path, keys: list[Key]) -> None:
    entries = [{"name": key.name, "role": key.role, "sha256": key.digest} for key in keys]
    content = json.dumps({"keys": entries}, indent=2, ensure_ascii=False) + "\n"
    write_private(path, content.encode(), replace=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else changes the keys meanwhile: of two who read the same keys and add one each, one would be lost."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if sys.platform == "win32":  # a folder cannot be locked there
            yield
            return
        folder = os.open(path.parent, os.O_RDONLY)
    except OSError as error:
        raise ConfigError(f"cannot write the keys {path}: {error.strerror}") from error
    import fcntl

    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)  # which also unlocks it


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
