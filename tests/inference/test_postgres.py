"""What a gallery in PostgreSQL promises beyond the contract: the database around it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import psycopg
import pytest

from inference.gallery_backends import Clock
from inference.postgres_server import new_url, server
from speaker_id.contracts import Match, UserDetails
from speaker_id.errors import GalleryError
from speaker_id.inference.galleries import GalleryOptions, open_gallery
from speaker_id.inference.postgres import database, schema
from speaker_id.inference.postgres.gallery import PostgresGallery

X, Y, Z = np.eye(3, dtype=np.float32)
MODEL = {"fingerprint": "f", "dim": 3}


@pytest.fixture
def url() -> str:
    return new_url()


@pytest.fixture
def gallery(url: str) -> Iterator[PostgresGallery]:
    with PostgresGallery.open(url, **MODEL) as opened:
        yield opened


def schema_of(url: str) -> str:
    return url.partition("gallery=")[2]


def test_the_scores_are_those_of_a_gallery_file_to_the_last_bit(url: str, tmp_path) -> None:
    rng = np.random.default_rng(0)
    voices = {f"user {i}": rng.standard_normal((1 + i % 3, 48)) for i in range(25)}
    queries = rng.standard_normal((5, 48))
    for best in (None, 2):
        options = GalleryOptions(best=best)
        found = []
        for place in (str(tmp_path / f"{best}.db"), f"{url}_{best or 0}"):
            opened = open_gallery(place, fingerprint="f", dim=48, options=options)
            for user, rows in voices.items():
                opened.enrol(user, rows)
            found.append(opened.search_many(queries, limit=7))
            opened.close()
        assert found[0] == found[1]


def test_galleries_of_one_database_know_nothing_of_each_other(url: str) -> None:
    with PostgresGallery.open(url, **MODEL) as one, PostgresGallery.open(f"{url}_b", fingerprint="g", dim=2) as other:
        one.enrol("Ada", X[None])
        assert other.users() == {}
        assert (other.fingerprint, other.dim) == ("g", 2)
        assert server().execute(f"SELECT count(*) FROM {schema_of(url)}.users") == [(1,)]


def test_without_a_model_nothing_is_created(url: str) -> None:
    with pytest.raises(GalleryError, match="there is no gallery at postgresql://ada@/postgres"):
        PostgresGallery.open(url)
    assert server().execute(f"SELECT to_regnamespace('{schema_of(url)}')") == [(None,)]


def test_embeddings_of_another_model_are_refused_naming_both(gallery: PostgresGallery, url: str) -> None:
    with pytest.raises(GalleryError, match=r"model f .*model bbbbbbbbbbbb .*another gallery \(\?gallery=NAME\)"):
        PostgresGallery.open(url, fingerprint="b" * 64, dim=3)
    with pytest.raises(GalleryError, match="3 numbers each"):
        PostgresGallery.open(url, fingerprint="f", dim=4)
    with PostgresGallery.open(url) as opened:
        assert (opened.fingerprint, opened.dim) == ("f", 3)


def test_a_schema_of_something_else_is_left_alone(url: str) -> None:
    name = schema_of(url)
    server().execute(f"CREATE SCHEMA {name}")
    server().execute(f"CREATE TABLE {name}.meta (version int)")
    with pytest.raises(GalleryError, match=rf"schema {name} .*something else.*\?gallery="):
        PostgresGallery.open(url, **MODEL)
    assert server().execute(f"SELECT count(*) FROM pg_tables WHERE schemaname = '{name}'") == [(1,)]


def test_an_empty_schema_made_by_the_administrator_becomes_a_gallery(url: str) -> None:
    server().execute(f"CREATE SCHEMA {schema_of(url)}")
    with PostgresGallery.open(url, **MODEL) as gallery:
        assert gallery.enrol("Ada", X[None]) == 1


def test_a_newer_gallery_is_refused(gallery: PostgresGallery, url: str) -> None:
    server().execute(f"UPDATE {schema_of(url)}.meta SET version = 99")
    with pytest.raises(GalleryError, match=r"format 99, this program reads 1: update"):
        PostgresGallery.open(url)


def test_an_older_gallery_takes_the_steps_it_lacks_all_or_none(
    gallery: PostgresGallery, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gallery.enrol("Ada", X[None])
    add = "ALTER TABLE users ADD COLUMN note text"
    monkeypatch.setattr(schema, "STEPS", (*schema.STEPS, (add, "ALTER TABLE nowhere ADD COLUMN note text")))
    with pytest.raises(GalleryError, match="nowhere"):
        PostgresGallery.open(url)
    held = f"SELECT column_name FROM information_schema.columns WHERE table_schema = '{schema_of(url)}'"
    assert ("note",) not in server().execute(held)
    monkeypatch.setattr(schema, "STEPS", (schema.VERSION_1, (add,)))
    with PostgresGallery.open(url) as opened:
        assert opened.users() == {"Ada": 1}
    assert ("note",) in server().execute(held)
    assert server().execute(f"SELECT version FROM {schema_of(url)}.meta") == [(2,)]


def test_many_may_create_one_gallery_at_once(url: str) -> None:
    def work(number: int) -> None:
        with PostgresGallery.open(url, **MODEL) as gallery:
            gallery.enrol(f"user {number}", X[None])

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))
    with PostgresGallery.open(url) as gallery:
        assert gallery.users() == {f"user {number}": 1 for number in range(6)}


NAMES = ["nul\0inside", "name'); DROP TABLE users; --", "%s %(now)s", "👩‍🚀 名前", "long" * 250_000]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:9]))
def test_any_text_is_a_name_and_comes_back_exactly(gallery: PostgresGallery, name: str) -> None:
    details = UserDetails({name: name}, name)
    gallery.enrol(name, X[None], details=details, by=name)
    gallery.enrol(name + "2", Y[None])
    gallery.record_copy(name)
    assert gallery.users() == {name: 1, name + "2": 1}
    assert gallery.search(X, limit=1) == [Match(name, 1.0)]
    shown = gallery.enrolled(name)
    assert shown is not None
    assert shown.details == details
    assert gallery.events(user=name)[0].by == gallery.copies()[0].description == name
    assert gallery.remove(name) is True
    assert gallery.users() == {name + "2": 1}


def test_damage_raises_instead_of_answering(gallery: PostgresGallery, url: str) -> None:
    gallery.enrol("Ada", X[None])
    server().execute(f"UPDATE {schema_of(url)}.embeddings SET vector = '\\x0000803f'")
    with pytest.raises(GalleryError, match="damaged"):
        gallery.search(X)


def test_a_closed_gallery_says_so_and_closing_twice_is_fine(gallery: PostgresGallery) -> None:
    gallery.close()
    gallery.close()
    with pytest.raises(GalleryError, match="is closed"):
        gallery.users()


def test_a_database_that_went_away_is_one_clear_error_and_its_return_is_noticed_at_once(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "WAIT_SECONDS", 0.3)
    with PostgresGallery.open(url, **MODEL) as gallery:
        gallery.enrol("Ada", X[None])
        assert gallery.search(X)
        server().stop()
        try:
            for call in (gallery.users, lambda: gallery.search(X), lambda: gallery.enrol("Bob", Y[None])):
                with pytest.raises(GalleryError, match="is the database running"):
                    call()
            with pytest.raises(GalleryError, match="No such file"):
                PostgresGallery.open(server().url())
        finally:
            server().start()
        assert gallery.search(X) == [Match("Ada", 1.0)]
        assert gallery.enrol("Bob", Y[None]) == 1


def test_a_connection_that_was_cut_is_replaced_without_a_word(gallery: PostgresGallery) -> None:
    gallery.enrol("Ada", X[None])
    query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'speaker-id'"
    assert (True,) in server().execute(query)
    assert gallery.users() == {"Ada": 1}


def test_a_writer_who_stalls_does_not_hold_others_up_for_ever(url: str) -> None:
    """With the patience of tests; the URL's own options have the last word."""
    with (
        PostgresGallery.open(f"{url}&options=-c%20lock_timeout%3D100ms", **MODEL) as gallery,
        psycopg.connect(server().url()) as stalled,
    ):
        gallery.enrol("Ada", X[None])
        stalled.execute(f"SELECT * FROM {schema_of(url)}.meta FOR UPDATE")
        with pytest.raises(GalleryError, match="another process has been writing"):
            gallery.enrol("Ada", Y[None])
        assert gallery.search(X) == [Match("Ada", 1.0)]  # reading waits for nobody
        stalled.rollback()
        assert gallery.enrol("Ada", Y[None]) == 2


def test_a_statement_that_takes_too_long_is_given_up(url: str) -> None:
    with PostgresGallery.open(f"{url}&options=-c%20statement_timeout%3D50ms", **MODEL) as gallery:
        with pytest.raises(GalleryError, match="statement timeout"), gallery._store.database.connection() as connection:
            connection.execute("SELECT pg_sleep(5)")
        assert gallery.users() == {}


def test_more_threads_than_connections_take_turns(url: str) -> None:
    with PostgresGallery.open(f"{url}&connections=1", **MODEL) as gallery, ThreadPoolExecutor(5) as threads:
        list(threads.map(lambda number: gallery.enrol(f"user {number}", X[None]), range(15)))
        assert len(gallery.search(X, limit=99)) == 15
        gallery.remove("user 3")
        assert gallery.num_users() == 14


def test_acknowledged_means_on_the_disk_whatever_the_database_is_used_to(url: str) -> None:
    for given, held in {"off": "on", "remote_write": "remote_write"}.items():
        with (
            PostgresGallery.open(f"{url}&options=-c%20synchronous_commit%3D{given}", **MODEL) as gallery,
            gallery._store.database.connection() as connection,
        ):
            assert connection.execute("SHOW synchronous_commit").fetchall() == [(held,)]


def test_a_role_that_may_only_read_can_search_and_not_write(gallery: PostgresGallery, url: str) -> None:
    gallery.enrol("Ada", X[None])
    name = schema_of(url)
    server().execute(f"CREATE ROLE {name} LOGIN")
    server().execute(f"GRANT USAGE ON SCHEMA {name} TO {name}")
    server().execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {name} TO {name}")
    with PostgresGallery.open(url.replace("ada@", f"{name}@"), **MODEL) as reader:
        assert reader.search(X) == [Match("Ada", 1.0)]
        assert reader.users() == {"Ada": 1}
        with pytest.raises(GalleryError, match="permission denied"):
            reader.enrol("Bob", Y[None])
    with pytest.raises(GalleryError, match="permission denied"):
        PostgresGallery.open(f"{url}_new".replace("ada@", f"{name}@"), **MODEL)


def test_times_do_not_depend_on_the_servers_time_zone(url: str) -> None:
    clock = Clock()
    with PostgresGallery.open(f"{url}&options=-c%20timezone%3DAsia/Tokyo", **MODEL, clock=clock) as gallery:
        gallery.enrol("Ada", X[None], details=UserDetails(expires=clock.now + timedelta(hours=1)))
        shown = gallery.enrolled("Ada")
        assert shown is not None
        assert str(shown.enrolled) == "2030-01-01 00:00:00+00:00"
        assert str(shown.details.expires) == "2030-01-01 01:00:00+00:00"
        clock.advance(3600)
        assert gallery.search(X) == []


def test_what_was_removed_from_a_restored_backup_is_read_anew(gallery: PostgresGallery, url: str) -> None:
    gallery.enrol("Ada", X[None])
    gallery.enrol("Bob", Y[None])
    assert len(gallery.search(X)) == 2
    name = schema_of(url)  # as after bringing back yesterday's tables
    server().execute(f"DELETE FROM {name}.users WHERE id = 2; UPDATE {name}.meta SET revision = 1")
    assert gallery.search(X) == [Match("Ada", 1.0)]
