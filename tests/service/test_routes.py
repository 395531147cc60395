import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from inference.tiny_model import RATE, tiny_model
from service.running import ADA, BOB, POINT, encoded, enrol, flac, running, state_of
from speaker_id import audio
from speaker_id.inference.embedder import ModelEmbedder
from speaker_id.inference.quality import QualityLimits
from speaker_id.inference.recognizer import Recognizer


def compare(client: TestClient, a: bytes, b: bytes, **query: float) -> httpx.Response:
    return client.post("/compare", files={"a": a, "b": b}, params=query)


def identify(client: TestClient, recording: bytes, **query: float) -> httpx.Response:
    return client.post("/identify", files={"recording": recording}, params=query)


def removed(name: str) -> dict[str, object]:
    return {"user": name, "removed": True, "restorable_until": None, "copies": []}


def test_compare_answers_what_the_library_answers(client: TestClient) -> None:
    library = Recognizer(ModelEmbedder(tiny_model()), operating_point=POINT)
    a, b = flac(ADA), flac(BOB)
    answer = compare(client, a, b, prior=0.2).json()
    expected = library.compare(a, b, prior=0.2)
    for field in ("score", "llr", "probability", "prior", "threshold"):
        assert answer[field] == pytest.approx(getattr(expected, field), rel=1e-4)
    for field in ("accepted", "calibrated", "reason", "threshold_source"):
        assert answer[field] == getattr(expected, field)


def test_a_threshold_holds_for_one_request_alone(client: TestClient) -> None:
    a, b = flac(ADA), flac(BOB)
    assert compare(client, a, b, threshold=-1).json()["accepted"]
    assert not compare(client, a, b, threshold=1).json()["accepted"]
    assert compare(client, a, b).json()["threshold"] == POINT.threshold


def test_a_voice_is_enrolled_identified_listed_and_removed(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        assert identify(client, flac(ADA)).json()["reason"] == "nobody is enrolled"
        first = enrol(client, "Ada", flac(ADA), flac(ADA, 2.0)).json()
        assert [one["seconds"] for one in first.pop("quality")] == [1.0, 2.0]
        assert "recording 1: little speech: 1.0 s without the pauses" in first.pop("warnings")
        assert first == {"user": "Ada", "num_recordings_added": 2, "num_recordings": 2, "keeps_recordings": False}
        assert enrol(client, "Ada", flac(ADA, 1.5)).json()["num_recordings"] == 3
        enrol(client, "Bob", flac(BOB))
        found = identify(client, flac(BOB), limit=1).json()
        assert found["user"] == "Bob"
        assert [one["user"] for one in found["candidates"]] == ["Bob"]
        assert found["margin"] > 0
        assert identify(client, flac(BOB, 1.7), threshold=1).json()["user"] is None
        listed = client.get("/users").json()
        assert [(one["user"], one["num_recordings"]) for one in listed["users"]] == [("Ada", 3), ("Bob", 1)]
        assert client.delete("/users/Bob").json() == removed("Bob")
        assert client.delete("/users/Bob").status_code == 404
        assert identify(client, flac(BOB)).json()["candidates"][0]["user"] == "Ada"


def test_a_margin_may_be_asked_for_and_holds_for_one_request_alone(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        enrol(client, "Ada", flac(ADA))
        enrol(client, "Bob", flac(BOB))
        margin = identify(client, flac(ADA)).json()["margin"]
        close = identify(client, flac(ADA), min_margin=margin + 0.001).json()
        assert close["user"] is None
        assert close["reason"].startswith("two users are too close: Ada ")
        assert identify(client, flac(ADA), min_margin=margin - 0.001).json()["user"] == "Ada"
        assert identify(client, flac(ADA)).json()["user"] == "Ada"
        assert identify(client, flac(ADA), min_margin=2.1).status_code == 422


def test_the_threshold_is_raised_for_the_number_of_users_where_that_is_asked_for(tmp_path: Path) -> None:
    """By Bayes' rule without a false-accept rate: log(2) / llr_scale = 0.0693 for two users."""
    with running(tmp_path) as client:
        enrol(client, "Ada", flac(ADA))
        enrol(client, "Bob", flac(BOB))
        raised = identify(client, flac(ADA), gallery_size_rule=True).json()
        assert raised["threshold"] == pytest.approx(POINT.threshold + math.log(2) / 10)
        assert identify(client, flac(ADA)).json()["threshold"] == POINT.threshold


def test_recordings_that_keep_not_the_services_limits_of_quality_are_refused(tmp_path: Path) -> None:
    with running(tmp_path, quality=QualityLimits(min_speech_seconds=1.5)) as client:
        answer = enrol(client, "Ada", flac(ADA, 1.0))
        assert (answer.status_code, answer.json()["error"]) == (422, "TooShort")
        assert "at least 1.5 s" in answer.json()["message"]
        assert enrol(client, "Ada", flac(ADA, 2.0)).status_code == 200


def test_embed_gives_the_embedders_row(client: TestClient) -> None:
    answer = client.post("/embed", files={"recording": flac()}).json()
    (row,) = ModelEmbedder(tiny_model())([audio.load(flac(), RATE)])
    np.testing.assert_allclose(answer["embedding"], row, atol=1e-6)
    assert answer["fingerprint"] == state_of(client).embedder.fingerprint


def test_embed_is_refused_unless_the_operator_allows_it(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        answer = client.post("/embed", files={"recording": flac()})
        assert (answer.status_code, answer.json()["error"]) == (403, "NotAllowed")


@pytest.mark.parametrize(
    "name",
    ["a/b", "/", "../../etc/passwd", "Zoë", "名字", "a b", "line\nbreak", "\x00", "x/recordings", "?q#f",
     "'; DROP TABLE users", "<script>", "\u202e", "n" * 200],
)  # fmt: skip
def test_a_name_is_data_whatever_it_looks_like(client: TestClient, name: str) -> None:
    assert enrol(client, quote(name, safe=""), flac()).json()["user"] == name
    assert name in [one["user"] for one in client.get("/users").json()["users"]]
    assert client.delete(f"/users/{quote(name, safe='')}").json() == removed(name)


@pytest.mark.parametrize("raw", ["", "%FF", "a%C3", "n" * 201])
def test_a_name_that_cannot_be_kept_as_it_is_is_refused(client: TestClient, raw: str) -> None:
    before = client.get("/users").json()
    answer = enrol(client, raw, flac())
    assert (answer.status_code, answer.json()["error"]) == (422, "Malformed")
    assert client.get("/users").json() == before


def test_enrolling_is_all_or_nothing_and_says_which_recording_is_wrong(client: TestClient) -> None:
    answer = enrol(client, "half", flac(), b"no sound at all")
    assert answer.status_code == 422
    assert answer.json()["message"].startswith("recording 2 of 2 is not audio")
    assert client.delete("/users/half").status_code == 404


def test_too_many_recordings_are_refused(tmp_path: Path) -> None:
    with running(tmp_path, max_recordings=2) as client:
        assert enrol(client, "Ada", *[flac()] * 3).status_code == 422
        assert enrol(client, "Ada", *[flac()] * 2).status_code == 200


def test_requests_at_the_same_time_get_their_own_answers(client: TestClient) -> None:
    recordings = [flac(100.0 + 10 * number) for number in range(16)]

    def embed(recording: bytes) -> list[float]:
        answer = client.post("/embed", files={"recording": recording})
        assert answer.status_code == 200
        found: list[float] = answer.json()["embedding"]
        return found

    alone = [embed(recording) for recording in recordings]
    with ThreadPoolExecutor(8) as pool:
        np.testing.assert_allclose(list(pool.map(embed, recordings)), alone, atol=1e-5)


def test_users_come_in_pages(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        for name in ("b", "a", "c"):
            enrol(client, name, flac())
        first = client.get("/users", params={"limit": 2}).json()
        assert (first["total"], [one["user"] for one in first["users"]]) == (3, ["a", "b"])
        rest = client.get("/users", params={"limit": 2, "after": "b"}).json()
        assert [one["user"] for one in rest["users"]] == ["c"]


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"", "AudioError"), (b"text", "AudioError"), (flac()[:60], "AudioError"), (flac()[:-900], "AudioError"),
     (flac(seconds=0.3), "TooShort"), (encoded(np.zeros(RATE, np.float32), "WAV"), "NoSpeech"),
     (flac(seconds=3.0), "AudioError")],
)  # fmt: skip
def test_a_recording_that_cannot_be_used_is_422_and_never_a_score(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, error: str
) -> None:
    with running(tmp_path_factory.mktemp("short"), max_seconds=2.5) as client:
        answer = identify(client, content)
    assert (answer.status_code, answer.json()["error"]) == (422, error)
    assert "<bytes>" not in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("GET", "/static/nothing.js", 404), ("POST", "/health", 405), ("POST", "/compare", 422),
     ("POST", "/identify?limit=0", 422), ("GET", "/users?limit=x", 422), ("DELETE", "/users/nobody", 404)],
)  # fmt: skip
def test_every_error_has_the_same_shape(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert sorted(answer.json()) == ["error", "message"]


def test_health_says_what_runs(client: TestClient) -> None:
    answer = client.get("/health").json()
    assert (answer["status"], answer["calibrated"], answer["keeps_recordings"]) == ("ok", True, False)
    assert answer["model"] == state_of(client).embedder.fingerprint


def test_a_gallery_that_fails_is_not_the_callers_fault_and_keeps_its_path_to_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path) as client:
        state_of(client).gallery.close()
        answer = client.get("/users")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert str(tmp_path) not in answer.text
        assert "gallery.db" in caplog.text
