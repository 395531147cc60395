"""Any sequence of operations leaves a gallery equal to a dictionary, whatever the backend."""

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from inference.gallery_backends import BACKENDS, Backend
from speaker_id.contracts import Gallery, UserDetails

NAMES = st.one_of(st.sampled_from(["a", "b", "c", "d"]), st.text(st.characters(codec="utf-8"), min_size=1, max_size=8))
VECTORS = st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any)
ROWS = st.lists(VECTORS, min_size=1, max_size=3)
TEXTS = st.text(max_size=5)
DETAILS = st.tuples(st.dictionaries(TEXTS, TEXTS, max_size=2), st.none() | TEXTS, st.none() | st.integers(1, 20))


def score_of_mean(rows: list[np.ndarray], query: np.ndarray) -> float:
    mean = np.sum(rows, axis=0, dtype=np.float64)
    norm = np.linalg.norm(mean)
    return float(mean @ query / norm) if norm > 1e-6 else 0.0


class GalleryMachine(RuleBasedStateMachine):
    make_backend: type[Backend]
    best: int | None

    @initialize()
    def start(self) -> None:
        self.backend = self.make_backend()
        self.clock = self.backend.clock
        self.rows: dict[str, list[np.ndarray]] = {}
        self.details: dict[str, UserDetails] = {}
        self.first: dict[str, datetime] = {}
        self.changed: dict[str, datetime] = {}
        self.gallery = self.opened()

    def opened(self) -> Gallery:
        return self.backend.open(best=self.best)

    def made(self, metadata: dict[str, str], consent: str | None, seconds: int | None) -> UserDetails:
        expires = None if seconds is None else self.clock.now + timedelta(seconds=seconds)
        return UserDetails(metadata, consent, expires)

    @rule(name=NAMES, vectors=ROWS, details=st.none() | DETAILS, elsewhere=st.booleans())
    def enrol(self, name: str, vectors: list[list[int]], details: tuple | None, elsewhere: bool) -> None:
        rows = np.array(vectors, np.float32)
        self.rows.setdefault(name, []).extend(rows / np.linalg.norm(rows, axis=1, keepdims=True))
        made = None if details is None else self.made(*details)
        self.details[name] = made or self.details.get(name, UserDetails())
        self.first.setdefault(name, self.clock.now)
        self.changed[name] = self.clock.now
        gallery = self.opened() if elsewhere else self.gallery
        assert gallery.enrol(name, rows, details=made) == len(self.rows[name])
        if elsewhere:
            gallery.close()

    @rule(name=NAMES, details=DETAILS)
    def update(self, name: str, details: tuple) -> None:
        made = self.made(*details)
        assert self.gallery.update(name, made) == (name in self.rows)
        if name in self.rows:
            self.details[name], self.changed[name] = made, self.clock.now

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        assert self.gallery.remove(name) == (name in self.rows)
        self.forget(name)

    @rule(seconds=st.integers(1, 10))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)
        for name in list(self.rows):
            expires = self.details[name].expires
            if expires is not None and expires <= self.clock.now:
                self.forget(name)

    def forget(self, name: str) -> None:
        for held in (self.rows, self.details, self.first, self.changed):
            held.pop(name, None)

    @rule(vectors=st.lists(VECTORS, min_size=1, max_size=4), limit=st.integers(1, 6))
    def search(self, vectors: list[list[int]], limit: int) -> None:
        queries = np.array(vectors, np.float32)
        together = self.gallery.search_many(queries, limit=limit)
        assert together == [self.gallery.search(query, limit=limit) for query in queries]
        for query, found in zip(queries / np.linalg.norm(queries, axis=1, keepdims=True), together, strict=True):
            expected = {name: self.score(rows, query) for name, rows in self.rows.items()}
            assert len({match.user for match in found}) == len(found) == min(limit, len(expected))
            assert found == sorted(found, key=lambda match: (-match.score, match.user))
            best = sorted(expected.values(), reverse=True)
            for match, score in zip(found, best, strict=False):
                assert match.score == pytest.approx(score, abs=1e-6)
                assert match.score == pytest.approx(expected[match.user], abs=1e-6)

    def score(self, rows: list[np.ndarray], query: np.ndarray) -> float:
        if self.best is None:
            return score_of_mean(rows, query)
        return float(np.mean(sorted((float(row @ query) for row in rows), reverse=True)[: self.best]))

    @rule()
    def reopen(self) -> None:
        self.gallery.close()
        self.gallery = self.opened()

    @rule(name=NAMES, vectors=ROWS)
    def crash(self, name: str, vectors: list[list[int]]) -> None:
        self.backend.crash(self.gallery, name, np.array(vectors, np.float32))
        self.gallery = self.opened()

    @precondition(lambda self: hasattr(self, "gallery"))
    @invariant()
    def the_users_are_those_kept(self) -> None:
        assert self.gallery.users() == {name: len(rows) for name, rows in self.rows.items()}

    @rule(name=NAMES)
    def look_at(self, name: str) -> None:
        shown = self.gallery.enrolled(name)
        rows = self.gallery.embeddings(name)
        if name not in self.rows:
            assert shown is None
            assert rows.shape == (0, 3)
            return
        assert shown is not None
        assert shown == (name, len(self.rows[name]), self.first[name], self.changed[name], self.details[name])
        np.testing.assert_allclose(rows, self.rows[name], atol=1e-6)

    def teardown(self) -> None:
        if hasattr(self, "gallery"):
            self.gallery.close()
            self.backend.discard()


@pytest.mark.parametrize("best", [None, 1, 2])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gallery_behaves_like_a_dictionary(backend: str, best: int | None) -> None:
    machine = type("Machine", (GalleryMachine,), {"make_backend": staticmethod(BACKENDS[backend]), "best": best})
    run_state_machine_as_test(machine, settings=settings(max_examples=15, stateful_step_count=25, deadline=None))
