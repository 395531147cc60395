"""Any sequence of operations leaves a gallery equal to a dictionary, whatever the backend."""

from collections import Counter
from dataclasses import dataclass, field, replace
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
BY = st.none() | st.sampled_from(["front door", "名"])


@dataclass
class Kept:
    """What a gallery should keep of a user."""

    first: datetime
    changed: datetime
    rows: list[np.ndarray] = field(default_factory=list)
    files: list[bytes | None] = field(default_factory=list)
    details: UserDetails = field(default_factory=UserDetails)
    erase_at: datetime | None = None  # removed, and can be restored until then


def score_of_mean(rows: list[np.ndarray], query: np.ndarray) -> float:
    mean = np.sum(rows, axis=0, dtype=np.float64)
    norm = np.linalg.norm(mean)
    return float(mean @ query / norm) if norm > 1e-6 else 0.0


class GalleryMachine(RuleBasedStateMachine):
    make_backend: type[Backend]
    best: int | None

    @initialize(seconds=st.sampled_from([0, 5]))
    def start(self, seconds: int) -> None:
        self.backend = self.make_backend()
        self.clock = self.backend.clock
        self.grace = timedelta(seconds=seconds)
        self.kept: dict[str, Kept] = {}
        self.removed: dict[str, Kept] = {}
        self.log: list[tuple[str, str | None, int, str | None]] = []
        self.num_copies = 0
        self.gallery = self.opened()

    def opened(self) -> Gallery:
        return self.backend.open(best=self.best, grace=self.grace, keep_recordings=self.backend.key is not None)

    def made(self, metadata: dict[str, str], consent: str | None, seconds: int | None) -> UserDetails:
        expires = None if seconds is None else self.clock.now + timedelta(seconds=seconds)
        return UserDetails(metadata, consent, expires)

    @rule(
        name=NAMES,
        vectors=ROWS,
        details=st.none() | DETAILS,
        files=st.booleans(),
        ago=st.none() | st.integers(0, 30),
        by=BY,
        elsewhere=st.booleans(),
    )
    def enrol(
        self,
        name: str,
        vectors: list[list[int]],
        details: tuple | None,
        files: bool,
        ago: int | None,
        by: str | None,
        elsewhere: bool,
    ) -> None:
        rows = np.array(vectors, np.float32)
        if name in self.removed:
            self.note("erase", name, len(self.removed.pop(name).rows), by)
        first = None if ago is None else self.clock.now - timedelta(seconds=ago)
        kept = self.kept.setdefault(name, Kept(self.clock.now if first is None else first, self.clock.now))
        kept.first, kept.changed = min(kept.first, first or self.clock.now), self.clock.now
        kept.rows.extend(rows / np.linalg.norm(rows, axis=1, keepdims=True))
        recordings = [f"{name} {row}".encode() for row in vectors] if files and self.backend.key else None
        kept.files.extend(recordings or [None] * len(rows))
        made = None if details is None else self.made(*details)
        if made is not None:
            kept.details = UserDetails(
                {**kept.details.metadata, **made.metadata},
                kept.details.consent if made.consent is None else made.consent,
                made.expires or kept.details.expires,
            )
        self.note("enrol" if first is None else "import", name, len(rows), by)
        gallery = self.opened() if elsewhere else self.gallery
        num = gallery.enrol(name, rows, details=made, recordings=recordings, enrolled=first, by=by)
        assert num == len(kept.rows)
        if elsewhere:
            gallery.close()

    @rule(name=NAMES, details=DETAILS, by=BY)
    def update(self, name: str, details: tuple, by: str | None) -> None:
        made = self.made(*details)
        assert self.gallery.update(name, made, by=by) == (name in self.kept)
        if name in self.kept:
            self.kept[name] = replace(self.kept[name], details=made, changed=self.clock.now)
            self.note("update", name, 0, by)

    @rule(name=NAMES, by=BY)
    def remove(self, name: str, by: str | None) -> None:
        assert self.gallery.remove(name, by=by) == (name in self.kept)
        if name in self.kept:
            gone = self.kept.pop(name)
            self.note("remove", name, len(gone.rows), by)
            if self.grace:
                self.removed[name] = replace(gone, erase_at=self.clock.now + self.grace)
            else:
                self.note("erase", name, len(gone.rows), by)

    @rule(name=NAMES, by=BY)
    def restore(self, name: str, by: str | None) -> None:
        assert self.gallery.restore(name, by=by) == (name in self.removed)
        if name in self.removed:
            self.kept[name] = replace(self.removed.pop(name), erase_at=None)
            self.note("restore", name, len(self.kept[name].rows), by)

    @rule(seconds=st.integers(1, 10))
    def time_passes(self, seconds: int) -> None:
        self.clock.advance(seconds)
        for held in (self.kept, self.removed):
            for name, kept in list(held.items()):
                ends = [(kept.details.expires, "expire"), (kept.erase_at, "erase")]
                over = [(end, what) for end, what in ends if end is not None and end <= self.clock.now]
                if over:
                    _, what = min(over, key=lambda pair: pair[0])  # the first of them, "expire" at a tie
                    self.note(what, name, len(held.pop(name).rows), None)

    def note(self, action: str, name: str | None, num: int, by: str | None) -> None:
        self.log.append((action, name, num, by))

    @rule(vectors=st.lists(VECTORS, min_size=1, max_size=4), limit=st.integers(1, 6))
    def search(self, vectors: list[list[int]], limit: int) -> None:
        queries = np.array(vectors, np.float32)
        together = self.gallery.search_many(queries, limit=limit)
        assert together == [self.gallery.search(query, limit=limit) for query in queries]
        for query, found in zip(queries / np.linalg.norm(queries, axis=1, keepdims=True), together, strict=True):
            expected = {name: self.score(kept.rows, query) for name, kept in self.kept.items()}
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
        assert self.gallery.users() == {name: len(kept.rows) for name, kept in self.kept.items()}

    @rule(name=NAMES)
    def look_at(self, name: str) -> None:
        shown = self.gallery.enrolled(name)
        rows, files = self.gallery.embeddings(name), self.gallery.recordings(name)
        if name not in self.kept:
            assert shown is None
            assert rows.shape == (0, 3)
            assert files == []
            return
        kept = self.kept[name]
        assert shown == (name, len(kept.rows), kept.first, kept.changed, kept.details)
        np.testing.assert_allclose(rows, kept.rows, atol=1e-6)
        assert files == kept.files

    @rule(name=NAMES, by=BY)
    def look_at_the_log(self, name: str, by: str | None) -> None:
        """After a write, so that whatever is overdue has been erased."""
        self.num_copies += 1
        self.gallery.record_copy(f"copy {self.num_copies}", by=by)
        self.note("copy", None, 0, by)
        events = self.gallery.events(limit=10**6)
        assert Counter((event.action, event.num_recordings, event.by) for event in events) == Counter(
            (action, num, maker) for action, _, num, maker in self.log
        )
        of_name = [(event.action, event.num_recordings, event.by) for event in self.gallery.events(user=name)]
        assert of_name == [(action, num, maker) for action, whose, num, maker in self.log if whose == name][::-1]
        copies = self.gallery.copies()
        assert [copy.description for copy in copies] == [f"copy {i}" for i in range(self.num_copies, 0, -1)]

    def teardown(self) -> None:
        if hasattr(self, "gallery"):
            self.gallery.close()
            self.backend.discard()


@pytest.mark.parametrize("best", [None, 2])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gallery_behaves_like_a_dictionary(backend: str, best: int | None) -> None:
    make = BACKENDS[backend]
    machine = type("Machine", (GalleryMachine,), {"make_backend": make, "best": best})
    told = settings(max_examples=make.num_examples, stateful_step_count=25, deadline=None)
    run_state_machine_as_test(machine, settings=told)
