"""Start the service: one process, or several that share the gallery."""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from speaker_id.errors import ConfigError
from speaker_id.service.certificate import check_certificate
from speaker_id.service.settings import Settings, is_loopback, settings_as_json, settings_from_json

GRACE_SECONDS = 20  # what was accepted is answered before the service stops
VARIABLE = "SPEAKER_ID_SERVICE"  # how settings reach the worker processes
MAX_MESSAGE = 2**20  # bytes of one WebSocket message: half a minute of sound


def serve(
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    certificate: Path | None = None,
    private_key: Path | None = None,
    proxy: str | None = None,
) -> None:
    """Run until stopped.

    `proxy` is the address of a reverse proxy whose X-Forwarded-For and -Proto are believed; nobody's are otherwise.
    Raises ConfigError for what would be unsafe (strangers without keys, half a certificate) and all errors of ours
    that opening the model, the gallery and the keys raises.
    """
    _check_reach(settings, host, certificate, private_key)
    try:
        import uvicorn

        from speaker_id.service import app as _  # noqa: F401
        from speaker_id.service.counters import SHARED_FOLDER
        from speaker_id.service.logs import log_config
        from speaker_id.service.state import check
    except ImportError as error:
        raise ConfigError(f"the service needs {error.name}: pip install 'speaker-id[serve]'") from error
    given = settings_as_json(settings)
    check(settings)
    os.environ[VARIABLE] = given
    options: dict[str, Any] = {"ssl_certfile": certificate, "ssl_keyfile": private_key} if certificate else {}
    with ExitStack() as stack:
        if workers > 1:  # one alone ends by the very signal that it was sent, and would leave the folder behind
            os.environ[SHARED_FOLDER] = stack.enter_context(tempfile.TemporaryDirectory(prefix="speaker-id-metrics-"))
        uvicorn.run(
            "speaker_id.service.run:app", factory=True, host=host, port=port, workers=workers, server_header=False,
            access_log=False, log_config=log_config(), timeout_graceful_shutdown=GRACE_SECONDS, ws_max_size=MAX_MESSAGE,
            proxy_headers=proxy is not None, forwarded_allow_ips=proxy or "", **options,
        )  # fmt: skip


def app() -> Any:
    """What each worker process runs."""
    from speaker_id.service.app import create_app

    return create_app(settings_from_json(os.environ[VARIABLE]))


def _check_reach(settings: Settings, host: str, certificate: Path | None, private_key: Path | None) -> None:
    if (certificate is None) != (private_key is None):
        raise ConfigError("TLS needs both the certificate and its private key: give --certificate and --private-key")
    if certificate is not None and private_key is not None:
        check_certificate(certificate, private_key)
    if settings.keys is None and not is_loopback(host):
        raise ConfigError(
            f"the service would let everybody who reaches {host} enrol and remove users: give --keys FILE "
            "(`speaker-id keys add` makes one), or listen on 127.0.0.1"
        )
