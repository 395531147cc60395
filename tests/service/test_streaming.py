import json
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from inference.tiny_model import RATE, voice
from service.running import ADA, BOB, bearer, enrol, flac, keys_in, running, state_of
from speaker_id.inference.quality import QualityLimits
from speaker_id.service.logs import JsonLines


def pcm(pitch: float, seconds: float) -> bytes:
    return (voice(pitch, seconds) * 32767).astype("<i2").tobytes()


def second(pitch: float, number: int) -> bytes:
    return pcm(pitch, number + 1.0)[number * 2 * RATE : (number + 1) * 2 * RATE]


def opened(client: TestClient, **options: Any) -> WebSocketTestSession:
    return client.websocket_connect("ws://localhost/stream", **options)


@pytest.fixture(scope="module", autouse=True)
def ada(client: TestClient) -> None:
    enrol(client, "Ada", flac(ADA, 3.0))


def test_the_answer_runs_with_the_sound_and_ends_with_what_identify_says(client: TestClient) -> None:
    with opened(client) as socket:
        assert socket.receive_json() == {"sample_rate": RATE}
        for number in range(2):
            socket.send_bytes(second(BOB, number))
            running_answer = socket.receive_json()
            assert (running_answer["seconds"], running_answer["final"]) == (number + 1, False)
        socket.send_text("end")
        last = socket.receive_json()
    whole = client.post("/identify", files={"recording": flac(BOB, 2.0)}).json()
    assert last.pop("final")
    assert last.pop("seconds") == 2.0
    assert last["score"] == pytest.approx(whole["score"], abs=1e-3)
    for field in ("user", "threshold", "prior", "calibrated", "margin", "threshold_source"):
        assert last[field] == whole[field]
    assert last["quality"][0]["seconds"] == 2.0


def test_samples_may_be_cut_anywhere(client: TestClient) -> None:
    content = pcm(ADA, 0.9)
    with opened(client) as socket:
        socket.receive_json()
        for start in range(0, len(content), 4001):
            socket.send_bytes(content[start : start + 4001])
        socket.send_text("end")
        assert socket.receive_json()["score"] > 0.98


def test_a_clear_answer_comes_early_and_ends_it(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speaker_id.service.streaming.CLEAR_MARGIN", 0.0)
    with opened(client) as socket:
        socket.receive_json()
        finals = []
        for number in range(3):
            socket.send_bytes(second(ADA, number))
            finals.append(socket.receive_json()["final"])
        assert finals == [False, False, True]
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 1000


def test_an_answer_near_the_threshold_is_not_early(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speaker_id.service.streaming.CLEAR_MARGIN", 2.0)
    with opened(client) as socket:
        socket.receive_json()
        for number in range(4):
            socket.send_bytes(second(ADA, number))
            assert not socket.receive_json()["final"]


def test_silence_is_said_to_be_so_and_speech_may_follow(client: TestClient) -> None:
    with opened(client) as socket:
        socket.receive_json()
        socket.send_bytes(bytes(2 * RATE))
        answer = socket.receive_json()
        assert (answer["error"], answer["final"]) == ("NoSpeech", False)
        socket.send_bytes(pcm(ADA, 1.0))
        assert "score" in socket.receive_json()


def test_a_stream_keeps_the_services_limits_of_quality(tmp_path: Path) -> None:
    with running(tmp_path, quality=QualityLimits(min_speech_seconds=1.5)) as client, opened(client) as socket:
        socket.receive_json()
        socket.send_bytes(second(ADA, 0))
        assert socket.receive_json()["error"] == "TooShort"
        socket.send_bytes(second(ADA, 1))
        assert "score" in socket.receive_json()


def test_a_stream_of_two_voices_is_refused_where_the_service_refuses_them(tmp_path: Path) -> None:
    two = np.concatenate([voice(ADA, 5.0), voice(BOB, 5.0)])
    for limits, field in ((QualityLimits(second_voice="refuse"), "error"), (QualityLimits(), "score")):
        with running(tmp_path, quality=limits, requests_per_minute=1) as client, opened(client) as socket:
            socket.receive_json()
            socket.send_bytes((two * 32767).astype("<i2").tobytes())
            socket.send_text("end")
            assert field in socket.receive_json()


def test_what_is_longer_than_allowed_is_answered_as_far_as_allowed(tmp_path: Path) -> None:
    with running(tmp_path, max_seconds=2.0) as client, opened(client) as socket:
        socket.receive_json()
        socket.send_bytes(pcm(ADA, 5.0))
        answer = socket.receive_json()
        assert (answer["seconds"], answer["final"]) == (2.0, True)


@pytest.mark.parametrize("text", ["", "END", "{}", json.dumps({"key": 1})])
def test_what_is_no_sound_ends_it(client: TestClient, text: str) -> None:
    with opened(client) as socket:
        socket.receive_json()
        socket.send_text(text)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 1008


def test_whoever_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    with running(tmp_path, upload_seconds=0.05) as client, opened(client) as socket:
        socket.receive_json()
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()
        assert state_of(client).room.free == state_of(client).settings.max_waiting


def test_whoever_says_nothing_again_and_again_does_not_keep_the_place(tmp_path: Path) -> None:
    with running(tmp_path, max_seconds=0.3, upload_seconds=0.3) as client, opened(client) as socket:
        socket.receive_json()
        until = time.monotonic() + 10
        while state_of(client).room.free == 63 and time.monotonic() < until:
            socket.send_bytes(b"")
            time.sleep(0.02)
        assert state_of(client).room.free == 64
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 1008


def test_a_gallery_that_fails_is_no_answer_and_keeps_its_path_to_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path) as client, opened(client) as socket:
        socket.receive_json()
        state_of(client).gallery.close()
        socket.send_bytes(pcm(ADA, 0.9))
        socket.send_text("end")
        answer = socket.receive_json()
    assert answer["error"] == "Unavailable"
    assert str(tmp_path) not in json.dumps(answer)
    assert "gallery.db" in caplog.text


def test_streams_are_logged_and_counted_by_how_they_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tokens = keys_in(tmp_path)
    with running(tmp_path, keys=tmp_path / "keys.json") as client:
        with pytest.raises(WebSocketDisconnect), opened(client):
            pass
        for text in ("end", "wrong"):
            with opened(client, headers=bearer(tokens["verify"])) as socket:
                socket.receive_json()
                socket.send_text(text)
                with pytest.raises(WebSocketDisconnect):
                    [socket.receive_json() for _ in range(2)]
        counted = client.get("/metrics", headers=bearer(tokens["verify"])).text
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records if record.msg == "request"]
    streams = [(line["status"], line["caller"]) for line in lines if line["method"] == "WEBSOCKET"]
    assert streams == [(403, None), (1000, "verify-key"), (1008, "verify-key")]
    for status in (403, 1000, 1008):
        assert f'{{method="WEBSOCKET",route="/stream",status="{status}"}} 1.0' in counted


def test_a_key_is_needed_and_is_not_sent_back(tmp_path: Path) -> None:
    tokens = keys_in(tmp_path)
    with running(tmp_path, keys=tmp_path / "keys.json") as client:
        for options in ({}, {"headers": bearer("sid_wrong")}, {"subprotocols": ["speaker-id", "key.sid_wrong"]}):
            with pytest.raises(WebSocketDisconnect), opened(client, **options):
                pass
        with opened(client, headers=bearer(tokens["verify"])) as socket:
            assert socket.accepted_subprotocol is None
        with opened(client, subprotocols=["speaker-id", f"key.{tokens['verify']}"]) as socket:
            assert socket.accepted_subprotocol == "speaker-id"


def test_pages_of_other_sites_may_not_listen_without_keys(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect), opened(client, headers={"Origin": "https://evil.example"}):
        pass


def test_callers_above_their_rate_get_the_last_answer_only(tmp_path: Path) -> None:
    with running(tmp_path, requests_per_minute=2) as client:
        state_of(client).clock = lambda: 0.0
        with opened(client) as socket:  # the first of two
            socket.receive_json()
            for number in range(3):
                socket.send_bytes(second(ADA, number))
            socket.send_text("end")
            answers = [socket.receive_json(), socket.receive_json()]
    assert [(one["seconds"], one["final"]) for one in answers] == [(1.0, False), (3.0, True)]


def test_a_full_service_takes_no_stream_and_a_stream_gives_its_place_back(tmp_path: Path) -> None:
    with running(tmp_path, max_waiting=1) as client:
        with opened(client) as socket:
            socket.receive_json()
            with pytest.raises(WebSocketDisconnect), opened(client):
                pass
            assert np.equal(state_of(client).room.free, 0)
        with opened(client) as socket:
            assert socket.receive_json() == {"sample_rate": RATE}
