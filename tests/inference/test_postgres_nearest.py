"""Approximate search in PostgreSQL, through the HNSW graph of pgvector."""

from datetime import timedelta

import numpy as np
import psycopg
import pytest

from inference.gallery_backends import Clock
from inference.postgres_server import new_url, server
from speaker_id.contracts import FloatArray, Match, UserDetails
from speaker_id.errors import ConfigError, GalleryError
from speaker_id.inference.galleries import GalleryOptions
from speaker_id.inference.postgres.gallery import PostgresGallery
from speaker_id.inference.postgres.nearest import NearestSearch

HNSW = GalleryOptions(hnsw=True)
DIM = 16


def voices(num: int, seed: int = 0) -> FloatArray:
    rows = np.random.default_rng(seed).standard_normal((num, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def opened(url: str, options: GalleryOptions = HNSW, **kwargs: object) -> PostgresGallery:
    return PostgresGallery.open(url, **{"fingerprint": "f", "dim": DIM, "options": options, **kwargs})


@pytest.fixture
def url() -> str:
    return new_url()


@pytest.fixture(scope="module")
def crowd() -> str:
    """The URL of 3000 users, whose graph was made when they were all there, with one who is expired."""
    url = new_url()
    clock = Clock()
    with opened(url, GalleryOptions(), clock=clock) as gallery:
        gallery.enrol("first", voices(1, seed=9), details=UserDetails(expires=clock.now + timedelta(seconds=1)))
        with gallery._store.database.connection() as connection:  # as `enrol` does, in one transaction
            name = url.partition("gallery=")[2]
            connection.execute(
                f"""INSERT INTO {name}.users (tag, name, created, changed, revision)
                    SELECT sha256(n::text::bytea), ('user ' || n)::bytea, now(), now(), 1
                    FROM generate_series(0, 2999) n"""
            )
            rows = [(b"user %d" % number, row.tobytes()) for number, row in enumerate(voices(3000))]
            connection.cursor().executemany(
                f"""INSERT INTO {name}.embeddings (user_id, vector, created)
                    SELECT id, %s, now() FROM {name}.users WHERE name = %s""",
                [(row, user) for user, row in rows],
            )
    opened(url, clock=clock).close()
    server().execute(f"VACUUM ANALYZE {name}.means, {name}.users")
    return url


def names(matches: list[Match]) -> list[str]:
    return [match.user for match in matches]


def test_the_graph_is_used_and_finds_what_an_exact_search_finds(crowd: str) -> None:
    clock = Clock()
    clock.advance(2)  # "first" is expired, and not yet erased
    queries = voices(40, seed=1)
    with opened(crowd, GalleryOptions(), clock=clock) as exact, opened(crowd, clock=clock) as nearest:
        expected, found = exact.search_many(queries), nearest.search_many(queries)
        assert [len(each) for each in found] == [5] * 40
        assert [each[0] for each in found] == [each[0] for each in expected]  # to the last bit of the score
        shared = sum(len(set(names(a)) & set(names(b))) for a, b in zip(expected, found, strict=True))
        assert shared / 200 > 0.97
        assert "first" not in names(nearest.search(voices(1, seed=9)[0], limit=1000))
        with nearest._store.database.connection() as connection:
            plan = connection.execute(
                """EXPLAIN SELECT name, direction FROM means JOIN users ON id = user_id WHERE erase_at IS NULL
                   ORDER BY direction OPERATOR(public.<#>) (SELECT direction FROM means LIMIT 1) LIMIT 5"""
            ).fetchall()
    assert any("means_nearest" in line for (line,) in plan), plan


def test_looking_at_more_neighbours_finds_more(crowd: str) -> None:
    queries = voices(100, seed=2)
    with opened(crowd, GalleryOptions()) as exact:
        best = [names(each) for each in exact.search_many(queries)]
    found = []
    for ef_search in (5, 400):
        with opened(f"{crowd}&ef_search={ef_search}") as nearest:
            each = [names(matches) for matches in nearest.search_many(queries)]
        found.append(sum(len(set(a) & set(b)) for a, b in zip(best, each, strict=True)) / 500)
    assert found[0] < found[1]
    assert found[1] > 0.99


def test_more_than_the_graph_looks_at_once_may_be_asked_for(crowd: str) -> None:
    with opened(f"{crowd}&ef_search=10") as nearest:
        assert len(nearest.search(voices(1)[0], limit=300)) == 300


def test_the_graph_follows_every_change_of_everybody(url: str) -> None:
    x, y, z = np.eye(DIM, dtype=np.float32)[:3]
    clock = Clock()
    grace = HNSW._replace(grace=timedelta(hours=1))
    with opened(url, grace, clock=clock) as nearest, opened(url, GalleryOptions(), clock=clock) as exact:
        nearest.enrol("Ada", x[None])
        exact.enrol("Bob", y[None])  # one who searches exactly keeps the graph too
        assert nearest.search(x) == exact.search(x) == [Match("Ada", 1.0), Match("Bob", 0.0)]
        exact.enrol("Ada", np.stack([y, y]))  # the mean is (1, 2, 0) / sqrt(5) now
        [ada, bob] = nearest.search(x)
        assert (ada.user, bob) == ("Ada", Match("Bob", 0.0))
        assert ada.score == pytest.approx(1 / np.sqrt(5), abs=1e-7)
        nearest.remove("Ada")
        assert nearest.search(x) == [Match("Bob", 0.0)]
        nearest.restore("Ada")
        assert names(nearest.search(x)) == ["Ada", "Bob"]
        exact.remove("Ada")  # erased
        nearest.enrol("Cyd", np.stack([z, -z]), details=UserDetails(expires=clock.now + timedelta(seconds=5)))
        assert nearest.search(z) == [Match("Bob", 0.0), Match("Cyd", 0.0)]
        clock.advance(5)
        assert nearest.search(z) == [Match("Bob", 0.0)]
        assert nearest.search_many(np.stack([y, -y])) == [[Match("Bob", 1.0)], [Match("Bob", -1.0)]]


@pytest.mark.parametrize(
    ("options", "dim", "reason"),
    [
        (HNSW._replace(key=bytes(32)), DIM, "cannot be used with a key"),
        (HNSW._replace(best=2), DIM, "best=2"),
        (HNSW, 2001, "at most 2000"),
    ],
    ids=["key", "best", "dim"],
)
def test_what_the_graph_cannot_do_is_refused_with_the_reason(
    url: str, options: GalleryOptions, dim: int, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        opened(url, options, dim=dim)


def test_an_exact_gallery_needs_no_pgvector_and_an_approximate_one_says_what_is_missing(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = url.partition("gallery=")[2]
    server().execute(f"CREATE DATABASE {name}")
    server().execute(f"CREATE ROLE {name}_owner LOGIN")
    elsewhere = url.replace("/postgres?", f"/{name}?")
    with psycopg.connect(elsewhere.partition("&gallery")[0], autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name} AUTHORIZATION {name}_owner")
    for_owner = elsewhere.replace("ada@", f"{name}_owner@")
    with opened(for_owner, GalleryOptions()) as gallery:
        gallery.enrol("Ada", voices(1))
    with pytest.raises(GalleryError, match=r"this role may not add it.*CREATE EXTENSION vector"):
        opened(for_owner)
    control = next(server().programs.rglob("vector.control"))
    control.rename(control.with_suffix(".away"))
    try:
        with pytest.raises(GalleryError, match="not installed on the server"):
            opened(elsewhere)
    finally:
        control.with_suffix(".away").rename(control)
    with opened(f"{elsewhere}&hnsw=on", GalleryOptions()) as gallery:
        assert isinstance(gallery._search, NearestSearch)
        assert names(gallery.search(voices(1)[0])) == ["Ada"]
