import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient

from inference.tiny_model import voice
from service.running import ADA, BOB, bearer, encoded, enrol, flac, keys_in, running, state_of
from speaker_id.inference.galleries import GalleryOptions


@pytest.fixture
def graced(tmp_path: Path) -> Iterator[TestClient]:
    """A service where a removal can be undone for an hour, and who asks has a key."""
    tokens = keys_in(tmp_path)
    options = GalleryOptions(grace=timedelta(hours=1))
    with running(tmp_path, keys=tmp_path / "keys.json", gallery_options=options) as client:
        client.headers.update(bearer(tokens["admin"]))
        yield client


# --- enrolment: the same doubts as the library's ----------------------------------------------------------------------


def test_doubts_about_who_speaks_are_told_and_strict_keeps_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        assert not doubts(enrol(client, "Ada", flac(ADA, 2.0), strict="true").json()["warnings"])
        (twice,) = doubts(enrol(client, "Eve", flac(ADA, 2.0)).json()["warnings"])
        assert twice.startswith("Ada is already enrolled and as alike as the same person")
        two = doubts(enrol(client, "Two", flac(BOB, 2.0), flac(ADA, 2.0)).json()["warnings"])
        assert two[0].startswith("the recordings are not alike: recording 1 against recording 2")
        refused = enrol(client, "Mal", flac(ADA, 2.0), strict="true")
        assert (refused.status_code, refused.json()["error"]) == (409, "DoubtfulEnrolment")
        assert "Mal is not enrolled, nothing is kept" in refused.json()["message"]
        assert client.get("/users/Mal").status_code == 404


def test_two_voices_in_one_recording_are_told(tmp_path: Path) -> None:
    halves = encoded(np.concatenate([voice(ADA, 5.0), voice(BOB, 5.0)]), "FLAC")
    with running(tmp_path) as client:
        (found,) = doubts(enrol(client, "Both", halves).json()["warnings"])
        assert re.match(r"recording 1 seems to hold two voices, one of them in (4\d|50)% of it \(score", found)


def doubts(warnings: list[str]) -> list[str]:
    return [one for one in warnings if "alike" in one or "two voices" in one]


def test_recordings_are_stored_where_the_operator_keeps_them_and_answers_say_so(tmp_path: Path) -> None:
    options = GalleryOptions(key=bytes(range(32)), keep_recordings=True)
    with running(tmp_path, gallery_options=options) as client:
        assert client.get("/health").json()["keeps_recordings"]
        assert enrol(client, "Ada", flac(ADA), flac(ADA, 2.0)).json()["keeps_recordings"]
        kept = state_of(client).gallery.recordings("Ada")
    sounds = [soundfile.read(io.BytesIO(file or b""))[0] for file in kept]
    for sound, seconds in zip(sounds, (1.0, 2.0), strict=True):
        np.testing.assert_allclose(sound, voice(ADA, seconds), atol=2**-15)


# --- details ----------------------------------------------------------------------------------------------------------


def test_details_are_kept_and_shown(client: TestClient) -> None:
    enrol(client, "detailed", flac(), consent="signed", metadata='{"site": "B"}', expires="2999-01-01T00:00:00")
    kept = state_of(client).gallery.enrolled("detailed")
    assert kept is not None
    assert kept.details == ({"site": "B"}, "signed", datetime(2999, 1, 1, tzinfo=UTC))
    (shown,) = [one for one in client.get("/users").json()["users"] if one["user"] == "detailed"]
    assert datetime.fromisoformat(shown["expires"]) == kept.details.expires
    assert datetime.fromisoformat(shown["enrolled"]) == kept.enrolled


@pytest.mark.parametrize(
    "fields",
    [{"metadata": "["}, {"metadata": "[" * 9_000}, {"metadata": '{"a": 1}'}, {"metadata": "[]"},
     {"expires": "2001-01-01T00:00:00Z"}, {"expires": "9999-12-31T23:59:59-14:00"}, {"expires": "soon"},
     {"consent": "c" * 2001}],
)  # fmt: skip
def test_details_that_cannot_be_kept_are_refused(client: TestClient, fields: dict[str, str]) -> None:
    answer = enrol(client, "wrong", flac(), **fields)
    assert (answer.status_code, answer.json()["error"]) == (422, "Malformed")
    assert client.delete("/users/wrong").status_code == 404


def test_what_is_enrolled_later_is_merged_into_the_details(tmp_path: Path) -> None:
    with running(tmp_path) as client:
        enrol(client, "Ada", flac(), consent="signed", metadata='{"site": "B", "floor": "2"}', expires="2999-01-01")
        enrol(client, "Ada", flac(), metadata='{"floor": "3"}')
        found = client.get("/users/Ada").json()
        assert (found["consent"], found["metadata"]) == ("signed", {"site": "B", "floor": "3"})
        assert found["expires"].startswith("2999-01-01")
        enrol(client, "Ada", flac(), consent="signed anew")
        assert client.get("/users/Ada").json()["metadata"] == {"site": "B", "floor": "3"}


def test_a_user_is_shown_with_what_is_kept_besides_the_voice(client: TestClient) -> None:
    enrol(client, "shown", flac(), flac(), consent="signed", metadata='{"site": "B"}')
    found = client.get("/users/shown").json()
    kept = state_of(client).gallery.enrolled("shown")
    assert kept is not None
    assert (found.pop("enrolled"), found.pop("changed")) == tuple(
        moment.isoformat().replace("+00:00", "Z") for moment in (kept.enrolled, kept.changed)
    )
    assert found == {
        "user": "shown", "num_recordings": 2, "expires": None, "consent": "signed", "metadata": {"site": "B"},
    }  # fmt: skip
    assert client.get("/users/nobody").status_code == 404


def test_details_are_changed_one_by_one_and_taken_away_by_null(client: TestClient) -> None:
    enrol(client, "changed", flac(), consent="signed", metadata='{"site": "B"}')

    def changed(**fields: object) -> dict[str, object]:
        answer = client.patch("/users/changed", json=fields)
        assert answer.status_code == 200
        assert answer.json() == client.get("/users/changed").json()
        return {name: answer.json()[name] for name in ("consent", "metadata", "expires")}

    first = {"consent": "signed", "metadata": {"site": "B"}, "expires": "2999-01-01T00:00:00Z"}
    assert changed(expires="2999-01-01T00:00:00") == first
    assert changed(metadata={"floor": "3"}) == {**first, "metadata": {"floor": "3"}}
    assert changed(consent=None, metadata=None) == {**first, "consent": None, "metadata": {}}
    assert changed(expires=None) == {"consent": None, "metadata": {}, "expires": None}
    assert changed() == {"consent": None, "metadata": {}, "expires": None}


@pytest.mark.parametrize(
    "wrong",
    [{"expires": "2001-01-01T00:00:00Z"}, {"metadata": {"a": 1}}, {"metadata": []}, {"consent": "c" * 2001},
     {"metadata": {"a": "b" * 10_001}}, {"user": "x"}, {"consent": 1}, []],
)  # fmt: skip
def test_details_that_cannot_be_kept_change_nothing(client: TestClient, wrong: object) -> None:
    enrol(client, "kept", flac(), consent="signed")
    before = client.get("/users/kept").json()["consent"]
    answer = client.patch("/users/kept", json=wrong)
    assert (answer.status_code, answer.json()["error"]) == (422, "Malformed")
    assert client.get("/users/kept").json()["consent"] == before
    assert client.patch("/users/nobody", json={"consent": "x"}).status_code == 404


@pytest.mark.parametrize("text", ["\\ud800", "a\\udfffb"])
def test_text_that_is_no_unicode_is_refused(client: TestClient, text: str) -> None:
    answer = enrol(client, "surrogate", flac(), metadata=f'{{"a": "{text}"}}')
    assert (answer.status_code, answer.json()["error"]) == (422, "Malformed")
    enrol(client, "surrogate", flac())
    headers = {"Content-Type": "application/json"}
    for body in (f'{{"consent": "{text}"}}', f'{{"metadata": {{"{text}": "b"}}}}'):
        assert client.patch("/users/surrogate", content=body, headers=headers).status_code == 422


# --- removal, undo and the audit log ----------------------------------------------------------------------------------


def test_a_removal_can_be_undone_while_its_grace_lasts(graced: TestClient) -> None:
    enrol(graced, "Ada", flac(ADA), consent="signed")
    before = graced.get("/users/Ada").json()
    answer = graced.delete("/users/Ada").json()
    until = datetime.fromisoformat(answer["restorable_until"])
    assert timedelta(minutes=59) < until - datetime.now(UTC) <= timedelta(hours=1)
    assert graced.get("/users").json()["users"] == []
    assert graced.get("/users").json()["grace_seconds"] == 3600
    assert graced.post("/identify", files={"recording": flac(ADA)}).json()["reason"] == "nobody is enrolled"
    assert graced.post("/users/Ada/restore").json() == {"user": "Ada", "restored": True}
    assert {**graced.get("/users/Ada").json(), "changed": None} == {**before, "changed": None}
    assert graced.post("/users/Ada/restore").status_code == 404


def test_without_a_grace_time_a_removal_is_final(client: TestClient) -> None:
    enrol(client, "gone", flac())
    assert client.delete("/users/gone").json()["restorable_until"] is None
    answer = client.post("/users/gone/restore")
    assert (answer.status_code, answer.json()["error"]) == (404, "UnknownUser")
    assert client.get("/users").json()["grace_seconds"] == 0


def test_whoever_removes_somebody_is_told_of_the_copies(client: TestClient) -> None:
    enrol(client, "copied", flac())
    state_of(client).gallery.record_copy("backup on the shelf")
    (copy,) = client.delete("/users/copied").json()["copies"]
    assert copy["description"] == "backup on the shelf"
    assert datetime.fromisoformat(copy["time"]).tzinfo is not None


def test_the_audit_log_says_what_was_done_by_which_key_and_names_nobody(graced: TestClient) -> None:
    enrol(graced, "Ada", flac(), flac())
    graced.patch("/users/Ada", json={"consent": "signed"})
    graced.delete("/users/Ada")
    graced.post("/users/Ada/restore")
    enrol(graced, "Bob", flac(BOB))
    everything = graced.get("/events").json()["events"]
    assert [(one["action"], one["by"]) for one in everything] == [
        ("enrol", "key admin-key"), ("restore", "key admin-key"), ("remove", "key admin-key"),
        ("update", "key admin-key"), ("enrol", "key admin-key"),
    ]  # fmt: skip
    assert "Ada" not in str(everything)
    of_ada = graced.get("/events", params={"user": "Ada"}).json()["events"]
    assert of_ada == everything[1:]
    assert graced.get("/events", params={"limit": 1}).json()["events"] == everything[:1]
    assert graced.get("/events", params={"user": ""}).status_code == 422


def test_without_keys_the_audit_log_says_so(client: TestClient) -> None:
    enrol(client, "keyless", flac())
    assert client.get("/events", params={"user": "keyless"}).json()["events"][0]["by"] == "no key"


def test_asking_leaves_no_trace_in_the_audit_log(client: TestClient) -> None:
    before = client.get("/events").json()
    client.get("/users")
    client.get("/users/nobody")
    client.post("/identify", files={"recording": flac()})
    client.delete("/users/nobody")
    assert client.get("/events").json() == before
