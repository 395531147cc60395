"""A gallery in PostgreSQL: query, enrolment, opening and memory, exact and by HNSW; how much HNSW misses.

    python benchmarks/gallery_postgres.py 'postgresql://you@host/scratch' [--sizes 1000 10000 100000] [--exact-only]

One recording of 192 numbers a user, p50 of what one call takes (of a query also the least), beside a SQLite file with
the same users in the same run. Schemas `bench_*` of the database are made and dropped. Recall is how many of the truly
best 1 and best 5 the graph finds, for queries that are users in another recording: among voices at random, and among
voices in groups (one for every 100 users), as accents and sexes group them.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import psycopg
from contest import processor
from gallery import DIM, MODEL, fill, p50, queries_of, rows_of

from speaker_id.contracts import Gallery
from speaker_id.inference.galleries import GalleryOptions, open_gallery
from speaker_id.inference.gallery_records import unit_rows
from speaker_id.inference.postgres.gallery import PostgresGallery

HNSW = GalleryOptions(hnsw=True)
EF_SEARCH = (40, 100, 400)


def grouped_voices(num: int) -> np.ndarray:
    centres = rows_of(max(1, num // 100), seed=7)
    return unit_rows(centres[np.arange(num) % len(centres)] + rows_of(num), DIM)


def fill_database(url: str, rows: np.ndarray) -> None:
    """What `enrol` would write, in one transaction."""
    with PostgresGallery.open(url, **MODEL) as gallery, gallery._store.database.writing() as connection:
        connection.execute("SET LOCAL statement_timeout = 0")
        query = "COPY users (tag, name, created, changed, revision) FROM STDIN"
        with connection.cursor().copy(query) as copy:
            for i in range(len(rows)):
                copy.write_row((f"{i}".encode(), f"user {i:07}".encode(), "now", "now", 1))
        query = "COPY embeddings (user_id, vector, created) FROM STDIN"
        with connection.cursor().copy(query) as copy:
            for i, row in enumerate(rows, start=1):
                copy.write_row((i, row.tobytes(), "now"))
        connection.execute("UPDATE meta SET revision = 1")


@contextmanager
def scratch(url: str, name: str, rows: np.ndarray) -> Iterator[str]:
    """The URL of a filled gallery, which is gone afterwards."""
    place = f"{url}{'&' if '?' in url else '?'}gallery=bench_{name}"
    drop = f"DROP SCHEMA IF EXISTS bench_{name} CASCADE"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(drop)
        try:
            fill_database(place, rows)
            connection.execute(f"ANALYZE bench_{name}.users, bench_{name}.embeddings")
            yield place
        finally:
            connection.execute(drop)


def measured(opened: Callable[[], Gallery], rows: np.ndarray) -> dict[str, float]:
    start = time.perf_counter()
    gallery = opened()
    found = {"open": time.perf_counter() - start}
    gallery.search(rows[0])
    found["first"] = time.perf_counter() - start
    found |= query_times(gallery, rows)
    many = queries_of(rows, 64)
    found["each of 64"] = p50(lambda: gallery.search_many(many), 5) / len(many)
    new, names, gone = iter(rows_of(60, seed=4)), map("new {}".format, count()), map("new {}".format, count())
    found["enrol"] = p50(lambda: gallery.enrol(next(names), next(new)[None]), 50)
    found["remove"] = p50(lambda: gallery.remove(next(gone)), 5)
    gallery.close()
    return found


def query_times(gallery: Gallery, rows: np.ndarray) -> dict[str, float]:
    times = []
    for query in queries_of(rows, 100):
        start = time.perf_counter()
        gallery.search(query)
        times.append(time.perf_counter() - start)
    return {"query": statistics.median(times), "at least": min(times)}


def recall(exact: Gallery, nearest: Gallery, rows: np.ndarray) -> tuple[float, float]:
    """Of the best user and of the five best ones."""
    queries = queries_of(rows, 200)
    pairs = list(zip(exact.search_many(queries), nearest.search_many(queries), strict=True))
    first = sum(a[0].user == b[0].user for a, b in pairs)
    five = sum(len({match.user for match in a} & {match.user for match in b}) for a, b in pairs)
    return first / len(pairs), five / (5 * len(pairs))


def show(title: str, found: dict[str, float]) -> None:
    shown = [f"{name} {1000 * value:.2f} ms" for name, value in found.items()]
    print(f"  {title:<14} {', '.join(shown)}", flush=True)


def show_recall(url: str, name: str, rows: np.ndarray) -> None:
    with scratch(url, name, rows) as place, PostgresGallery.open(place, **MODEL) as exact:
        exact.search(rows[0])
        start = time.perf_counter()
        PostgresGallery.open(place, **MODEL, options=HNSW).close()
        print(f"  graph of {name} voices made in {time.perf_counter() - start:.0f} s", flush=True)
        for ef_search in EF_SEARCH:
            with PostgresGallery.open(f"{place}&ef_search={ef_search}", **MODEL, options=HNSW) as nearest:
                first, five = recall(exact, nearest, rows)
                show(f"ef_search {ef_search}", query_times(nearest, rows))
            print(f"      finds {first:.1%} of the best and {five:.1%} of the five best", flush=True)
        show("hnsw", measured(lambda: PostgresGallery.open(place, **MODEL, options=HNSW), rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="of a database to work in")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--exact-only", action="store_true")
    given = parser.parse_args()
    print(f"{processor()}, {os.cpu_count()} cores")
    for num in given.sizes:
        print(f"{num:,} users")
        rows = rows_of(num)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "gallery.db"
            fill(path, num, None)
            show("SQLite", measured(lambda: open_gallery(path, **MODEL), rows))  # noqa: B023 (called at once)
        with scratch(given.url, "exact", rows) as place:
            show("PostgreSQL", measured(lambda: PostgresGallery.open(place, **MODEL), rows))
        if not given.exact_only:
            show_recall(given.url, "random", rows)
            show_recall(given.url, "grouped", grouped_voices(num))


if __name__ == "__main__":
    main()
