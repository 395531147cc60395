"""What a gallery writes to the disk, readable or sealed: AES-256-GCM under a key of the operator's."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, TypeAlias

from speaker_id.errors import GalleryError

KEY_BYTES = 32
NONCE_BYTES = 12
KEY_CHECK = b"speaker-id gallery"  # sealed once a gallery: tells a wrong key from damage

# 32 bytes; the path of a file that holds them, raw or as hex or base64; or "env:NAME" of a variable with the text.
KeySource: TypeAlias = bytes | str | os.PathLike[str]


class Seal(Protocol):
    """Bytes as they are stored. `column` and user number are bound to a sealed value: it fits nowhere else."""

    def close(self, value: bytes, user_id: int, column: str) -> bytes: ...
    def open(self, stored: bytes, user_id: int, column: str) -> bytes: ...
    def open_all(self, stored: Sequence[bytes], user_ids: Sequence[int], column: str) -> Sequence[bytes]: ...
    def key_check(self) -> bytes | None: ...
    def fits(self, key_check: bytes | None) -> bool: ...


class Plain:
    """Nothing is sealed."""

    def close(self, value: bytes, user_id: int, column: str) -> bytes:
        return value

    def open(self, stored: bytes, user_id: int, column: str) -> bytes:
        return stored

    def open_all(self, stored: Sequence[bytes], user_ids: Sequence[int], column: str) -> Sequence[bytes]:
        return stored

    def key_check(self) -> bytes | None:
        return None

    def fits(self, key_check: bytes | None) -> bool:
        return key_check is None


class AesGcm:
    """AES-256-GCM with a random nonce a value.

    Random nonces are good for 2**32 values under one key (NIST SP 800-38D, 8.3): rotate it long before.
    """

    def __init__(self, key: bytes) -> None:
        try:
            from cryptography.exceptions import InvalidTag
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise GalleryError("an encrypted gallery needs cryptography: pip install 'speaker-id[secure]'") from error
        self._invalid = InvalidTag
        self._cipher = AESGCM(_subkey(key, b"seal"))

    def close(self, value: bytes, user_id: int, column: str) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, value, _context(user_id, column))

    def open(self, stored: bytes, user_id: int, column: str) -> bytes:
        try:
            return self._cipher.decrypt(stored[:NONCE_BYTES], stored[NONCE_BYTES:], _context(user_id, column))
        except (self._invalid, ValueError) as error:
            raise GalleryError(
                f"the {column} of user number {user_id} is damaged, or somebody altered it: restore a backup"
            ) from error

    def open_all(self, stored: Sequence[bytes], user_ids: Sequence[int], column: str) -> Sequence[bytes]:
        return [self.open(value, user_id, column) for value, user_id in zip(stored, user_ids, strict=True)]

    def key_check(self) -> bytes | None:
        return self.close(KEY_CHECK, 0, "key check")

    def fits(self, key_check: bytes | None) -> bool:
        if key_check is None:
            return False
        try:
            return self.open(key_check, 0, "key check") == KEY_CHECK
        except GalleryError:
            return False


def open_seal(source: KeySource | None) -> Seal:
    """The seal of a key, or none without one. Raises GalleryError for what is no key of 32 bytes."""
    return Plain() if source is None else AesGcm(read_key(source))


def read_key(source: KeySource) -> bytes:
    """32 bytes, from themselves, from a file or from `env:NAME`; the key itself is in no message."""
    if isinstance(source, bytes):
        return _checked(source, "the given bytes")
    text = os.fspath(source)
    if text.startswith("env:"):
        held = os.environ.get(text[4:])
        if held is None:
            raise GalleryError(f"there is no environment variable {text[4:]}, which should hold the gallery's key")
        return _decoded(held.encode(), f"the environment variable {text[4:]}")
    try:
        return _decoded(Path(text).expanduser().read_bytes(), text)
    except OSError as error:
        raise GalleryError(f"cannot read the gallery's key: {error}") from error


def _decoded(held: bytes, where: str) -> bytes:
    if len(held) == KEY_BYTES:
        return held
    text = held.strip()
    try:
        return _checked(bytes.fromhex(text.decode()) if len(text) == 2 * KEY_BYTES else _base64(text), where)
    except ValueError as error:
        raise _no_key(where) from error


def _base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, altchars=b"-_" if b"-" in text or b"_" in text else None, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _checked(key: bytes, where: str) -> bytes:
    if len(key) != KEY_BYTES:
        raise _no_key(where)
    return key


def _no_key(where: str) -> GalleryError:
    return GalleryError(
        f"{where} does not hold a key: 32 random bytes, raw, as 64 hex digits or as base64 (openssl rand -hex 32)"
    )


def _subkey(key: bytes, purpose: bytes) -> bytes:
    """HKDF-Expand (RFC 5869) to one block; the key is random already, so there is nothing to extract."""
    return hmac.digest(key, b"speaker-id gallery: " + purpose + b"\x01", hashlib.sha256)


def _context(user_id: int, column: str) -> bytes:
    return f"{column}:{user_id}".encode()
