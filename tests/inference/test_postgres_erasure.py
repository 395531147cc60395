"""What is left of removed users in PostgreSQL's files, and what a key hides there."""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import psycopg
import pytest

from inference.gallery_backends import Clock
from inference.postgres_server import new_url, server
from speaker_id.contracts import FloatArray, UserDetails
from speaker_id.errors import GalleryError
from speaker_id.inference.galleries import GalleryOptions
from speaker_id.inference.postgres.gallery import PostgresGallery

DIM = 192
KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
SEALED = GalleryOptions(key=KEY, keep_recordings=True)


def voice(user: str) -> FloatArray:
    rows = np.random.default_rng(list(user.encode())).standard_normal((2, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def details(user: str) -> UserDetails:
    return UserDetails({"note": f"note on {user}"}, f"consent of {user}")


def traces_of(user: str, gallery: PostgresGallery) -> list[bytes]:
    words = [f"note on {user}".encode(), f"consent of {user}".encode()]
    return words + [row.tobytes()[:48] for row in gallery.embeddings(user)]


def opened(url: str, options: GalleryOptions = GalleryOptions(), **kwargs: object) -> PostgresGallery:  # noqa: B008
    return PostgresGallery.open(url, **{"fingerprint": "f", "dim": DIM, "options": options, **kwargs})


@pytest.fixture
def url() -> str:
    return new_url()


@pytest.fixture
def gallery(url: str) -> Iterator[PostgresGallery]:
    with opened(url) as made:
        yield made


def found(traces: list[bytes]) -> list[bytes]:
    content = server().files()
    return [trace for trace in traces if trace in content]


def test_erasing_leaves_no_dead_row_and_rewriting_no_byte(gallery: PostgresGallery) -> None:
    users = [f"<user-{number}>" for number in range(10, 22)]
    for user in users:
        gallery.enrol(user, voice(user), details=details(user))
    traces = {user: traces_of(user, gallery) for user in users}
    everything = [trace for user in users for trace in traces[user]]
    assert found(everything) == everything
    gallery.record_copy("backup on the shelf")
    report = gallery.erase(users[-1])  # the last one: nothing moves into its place
    assert report is not None
    assert (report.user, report.num_recordings, report.left) == (users[-1], 2, 0)
    assert [copy.description for copy in report.copies] == ["backup on the shelf"]
    assert gallery.erase(users[-1]) is None
    for user in users[::2]:
        assert gallery.remove(user)
    gallery.rewrite()
    gone = [*users[::2], users[-1]]
    assert found([trace for user in gone for trace in traces[user]]) == []
    staying = [trace for user in users if user not in gone for trace in traces[user]]
    assert found(staying) == staying
    assert set(gallery.users()) == set(users) - set(gone)


def test_rows_that_somebody_still_looks_at_are_reported_and_go_with_the_next_removal(
    gallery: PostgresGallery, url: str
) -> None:
    for user in ("Ada", "Bob"):
        gallery.enrol(user, voice(user))
    with psycopg.connect(server().url()) as reader:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute(f"SELECT * FROM {url.partition('gallery=')[2]}.users").fetchall()
        report = gallery.erase("Ada")
    assert report is not None
    assert report.left >= 3  # the user and two recordings
    again = gallery.erase("Bob")
    assert again is not None
    assert again.left == 0


def test_whose_time_is_over_is_vacuumed_too(url: str) -> None:
    clock = Clock()
    name = url.partition("gallery=")[2]
    with opened(url, GalleryOptions(grace=timedelta(seconds=5)), clock=clock) as gallery:
        gallery.enrol("Ada", voice("Ada"), details=UserDetails(expires=clock.now + timedelta(seconds=1)))
        gallery.enrol("Bob", voice("Bob"))
        gallery.remove("Bob")
        clock.advance(6)
        gallery.enrol("Cyd", voice("Cyd"))
    dead = f"SELECT n_dead_tup FROM pg_stat_user_tables WHERE schemaname = '{name}' AND relname = 'embeddings'"
    assert server().execute(dead) == [(0,)]
    assert server().execute(f"SELECT count(*) FROM {name}.embeddings") == [(2,)]


def test_a_removed_voice_leaves_the_memory_of_the_index(gallery: PostgresGallery) -> None:
    for user in ("Ada", "Bob"):
        gallery.enrol(user, voice(user)[:1])
    gallery.search(voice("Ada")[0])
    assert voice("Ada")[0].tobytes() in gallery._search._voices._index._rows.tobytes()
    gallery.remove("Ada")
    assert voice("Ada")[0].tobytes() not in gallery._search._voices._index._rows.tobytes()
    assert voice("Bob")[0].tobytes() in gallery._search._voices._index._rows.tobytes()


def test_removal_that_cannot_be_vacuumed_says_that_it_is_made(gallery: PostgresGallery, url: str) -> None:
    gallery.enrol("Ada", voice("Ada"))
    with psycopg.connect(server().url()) as other:
        other.execute(f"LOCK TABLE {url.partition('gallery=')[2]}.recordings IN SHARE UPDATE EXCLUSIVE MODE")
        with opened(f"{url}&options=-c%20lock_timeout%3D100ms") as impatient:
            with pytest.raises(GalleryError, match=r"the change is made.*vacuumed yet"):
                impatient.remove("Ada")
            assert impatient.users() == {}


def secrets_of(grace: str, gallery: PostgresGallery) -> list[bytes]:
    words = [template.format(grace).encode() for template in ("{}", "recording of {}", "copied for {}", "by {}")]
    return words + traces_of(grace, gallery)


def fill(gallery: PostgresGallery, grace: str) -> None:
    recordings = [f"recording of {grace}".encode(), b"another"] if gallery.keeps_recordings else None
    gallery.enrol(grace, voice(grace), details=details(grace), recordings=recordings, by=f"by {grace}")
    gallery.record_copy(f"copied for {grace}")


def check(gallery: PostgresGallery, grace: str) -> None:
    assert gallery.users() == {grace: 2}
    assert [match.user for match in gallery.search(voice(grace)[0])] == [grace]
    shown = gallery.enrolled(grace)
    assert shown is not None
    assert shown.details == details(grace)
    np.testing.assert_allclose(gallery.embeddings(grace), voice(grace), atol=1e-7)
    assert gallery.events(user=grace)[-1].by == f"by {grace}"
    assert [copy.description for copy in gallery.copies()] == [f"copied for {grace}"]


@pytest.fixture
def grace(url: str) -> str:
    """Somebody whose name and voice are in no other gallery of this server."""
    return "Grace of " + url.partition("gallery=")[2]


def test_nothing_of_a_user_is_readable_in_the_database_with_a_key(url: str, grace: str) -> None:
    with opened(url, SEALED) as gallery:
        fill(gallery, grace)
        secrets = secrets_of(grace, gallery)
        assert found(secrets) == []
        check(gallery, grace)
    with opened(f"{url}_plain") as gallery:
        fill(gallery, grace)
        assert found(secrets) == [secret for secret in secrets if b"recording" not in secret]  # this test can fail


@pytest.mark.parametrize("new", [OTHER, None], ids=["rotated", "decrypted"])
def test_another_key_takes_the_place_of_the_old_one(url: str, grace: str, new: bytes | None) -> None:
    with opened(url, SEALED) as gallery, opened(url, SEALED) as other:
        fill(gallery, grace)
        other.search(voice("Ada")[0])
        gallery.rotate_key(KEY, new, by="Ada")
        assert (gallery.events()[0].action, gallery.events()[0].by) == ("rotate key", "Ada")
        check(gallery, grace)
        assert gallery.recordings(grace) == [f"recording of {grace}".encode(), b"another"]
        for call in (other.users, lambda: other.search(voice("Ada")[0]), lambda: other.enrolled("Ada"), other.events):
            with pytest.raises(GalleryError, match=r"key .*was changed: open it again"):
                call()
    with pytest.raises(GalleryError, match=r"not the key|not encrypted"):
        opened(url, SEALED)
    with opened(url, GalleryOptions(key=new)) as gallery:
        check(gallery, grace)


def test_a_gallery_can_be_encrypted_later_and_nothing_readable_stays_in_its_tables(url: str, grace: str) -> None:
    with opened(url, GalleryOptions(hnsw=True)) as gallery:
        fill(gallery, grace)
        with pytest.raises(GalleryError, match="without hnsw first"):
            gallery.rotate_key(None, KEY)
    with opened(url) as gallery:
        secrets = secrets_of(grace, gallery)
        gallery.rotate_key(None, KEY)
        assert found(secrets) == []
        check(gallery, grace)
    refused = {None: "is encrypted: give its key", OTHER: "not the key"}
    for key, reason in refused.items():
        with pytest.raises(GalleryError, match=reason):
            opened(url, GalleryOptions(key=key))


def test_a_wrong_old_key_changes_nothing(url: str, grace: str) -> None:
    with opened(url, SEALED) as gallery:
        fill(gallery, grace)
        for old in (OTHER, None):
            with pytest.raises(GalleryError, match="old key"):
                gallery.rotate_key(old, OTHER)
        check(gallery, grace)


def test_records_that_were_moved_are_refused(url: str) -> None:
    name = url.partition("gallery=")[2]
    with opened(url, SEALED) as gallery:
        for user in ("Ada", "Bob"):
            gallery.enrol(user, voice(user)[:1], recordings=[b"recording of " + user.encode()])
        other = f"(SELECT vector FROM {name}.embeddings WHERE user_id = 2)"
        server().execute(f"UPDATE {name}.embeddings SET vector = {other}")
        server().execute(f"UPDATE {name}.recordings SET content = (SELECT max(content) FROM {name}.recordings)")
        with pytest.raises(GalleryError, match=r"embedding of user number 1 .*altered"):
            gallery.search(voice("Ada")[0])
        refused = 0
        for user in ("Ada", "Bob"):
            try:
                gallery.recordings(user)
            except GalleryError:
                refused += 1
        assert refused == 1


def test_recordings_need_a_key(url: str) -> None:
    with pytest.raises(GalleryError, match="give a key"):
        opened(url, GalleryOptions(keep_recordings=True))
