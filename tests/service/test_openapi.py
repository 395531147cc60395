"""What OpenAPI promises, tried with what nobody would send.

The campaign: `SPEAKER_ID_FUZZ_EXAMPLES=2000 pytest tests/service/test_openapi.py`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.python import asgi
from schemathesis.specs.openapi import checks

from service.running import InThread, bearer, flac, keys_in, settings_in
from speaker_id.service import state
from speaker_id.service.app import create_app
from speaker_id.service.frame import HEADERS

EXAMPLES = int(os.environ.get("SPEAKER_ID_FUZZ_EXAMPLES", "10"))  # of each address
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]
OPERATIONS = {
    "GET /health", "GET /metrics", "POST /compare", "POST /identify", "PUT /users/{name}/recordings", "GET /users",
    "DELETE /users/{name}", "POST /embed", "GET /users/{name}", "PATCH /users/{name}", "POST /users/{name}/restore",
    "GET /events",
}  # fmt: skip


class Fuzzed:
    """One service for all requests, and the schema it serves."""

    def __init__(self, folder: Path) -> None:
        self.headers = bearer(keys_in(folder)["admin"])
        given = settings_in(folder, keys=folder / "keys.json", allow_embed=True, failures_per_minute=10**9)
        self.app = create_app(given)
        self.session = asgi.get_client(self.app)

    def ask(self, case: Any) -> None:
        given = {"base_url": "http://localhost", "session": self.session, "headers": self.headers}
        answer = case.call_and_validate(checks=CHECKS, **given)
        assert all(name.lower() in answer.headers for name in HEADERS)
        if isinstance(case.body, dict):  # the same with sound, so that it is heard
            sound = {name: flac() for name in ("a", "b", "recording") if name in case.body}
            if isinstance(case.body.get("recordings"), list):
                sound["recordings"] = [flac()]
            case.body = {**case.body, **sound}
            case.call_and_validate(checks=CHECKS[:5], **given)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "Decoders", InThread)
        fuzzed = Fuzzed(tmp_path_factory.mktemp("fuzzed"))
        with fuzzed.session:
            yield fuzzed


def test_every_operation_declares_what_it_may_answer(fuzzed: Fuzzed) -> None:
    declared = {
        f"{method.upper()} {path}": set(operation["responses"])
        for path, methods in fuzzed.app.openapi()["paths"].items()
        for method, operation in methods.items()
    }
    assert set(declared) == OPERATIONS
    for operation in OPERATIONS - {"GET /health"}:
        assert declared[operation] >= {"200", "400", "401", "403", "408", "413", "422", "429", "500", "503"}


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_no_request_brings_a_failure_or_an_answer_that_is_not_declared(operation: str, fuzzed: Fuzzed) -> None:
    method, path = operation.split()
    schema = schemathesis.openapi.from_dict(fuzzed.app.openapi())

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
    @given(schema[path][method].as_strategy())
    def ask(case: Any) -> None:
        fuzzed.ask(case)

    ask()
