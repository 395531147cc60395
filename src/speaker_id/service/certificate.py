"""The operator's TLS certificate, tried before anything starts."""

import ssl
from pathlib import Path

from speaker_id.errors import ConfigError


def check_certificate(certificate: Path, private_key: Path) -> None:
    """Whether a server can use them. Raises ConfigError that says which of both is wrong, and never asks anybody."""
    if b"-BEGIN CERTIFICATE-" not in _read(certificate):
        raise ConfigError(f"{certificate} holds no certificate in PEM format: give the certificate, and those after it")
    held = _read(private_key)
    if b"PRIVATE KEY-" not in held:
        raise ConfigError(f"{private_key} holds no private key in PEM format: give the key of {certificate}")
    if b"ENCRYPTED" in held:
        raise ConfigError(
            f"{private_key} is protected by a passphrase, which nobody could type when the service starts again: "
            "give a key without one that only the service may read (openssl pkey -in KEY -out PLAIN)"
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, private_key)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(
                f"{private_key} is not the key of {certificate}: give the two that were made together"
            ) from error
        raise ConfigError(f"{certificate} or {private_key} is damaged: {error.reason or error}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}; give certificate and private key as PEM files"
        ) from error
