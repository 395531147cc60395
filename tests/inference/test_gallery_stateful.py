"""Any sequence of operations leaves the gallery equal to a dictionary."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from speaker_id.inference.gallery import SqliteGallery

NAMES = st.one_of(st.sampled_from(["a", "b", "c", "d"]), st.text(st.characters(codec="utf-8"), min_size=1, max_size=8))
VECTORS = st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any)


class GalleryMachine(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.kept: dict[str, list[np.ndarray]] = {}
        self.gallery = self.opened()

    def opened(self) -> SqliteGallery:
        return SqliteGallery.open(Path(self.folder.name) / "g.db", fingerprint="f", dim=3)

    @rule(name=NAMES, vectors=st.lists(VECTORS, min_size=1, max_size=3), elsewhere=st.booleans())
    def enrol(self, name: str, vectors: list[list[int]], elsewhere: bool) -> None:
        rows = np.array(vectors, np.float32)
        self.kept.setdefault(name, []).extend(rows / np.linalg.norm(rows, axis=1, keepdims=True))
        gallery = self.opened() if elsewhere else self.gallery
        assert gallery.enrol(name, rows) == len(self.kept[name])
        if elsewhere:
            gallery.close()

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        assert self.gallery.remove(name) == (self.kept.pop(name, None) is not None)

    @rule(vector=VECTORS, limit=st.integers(1, 6))
    def search(self, vector: list[int], limit: int) -> None:
        query = np.array(vector) / np.linalg.norm(vector)
        means = {name: np.sum(rows, axis=0, dtype=np.float64) for name, rows in self.kept.items()}
        expected = {
            name: mean @ query / np.linalg.norm(mean) if np.linalg.norm(mean) > 1e-6 else 0.0
            for name, mean in means.items()
        }
        found = self.gallery.search(np.array(vector, np.float32), limit=limit)
        assert len(found) == min(limit, len(expected))
        assert found == sorted(found, key=lambda match: (-match.score, match.user))
        best = sorted(expected.values(), reverse=True)
        for match, score in zip(found, best, strict=False):
            assert match.score == pytest.approx(score, abs=1e-6)
            assert match.score == pytest.approx(expected[match.user], abs=1e-6)

    @rule()
    def reopen(self) -> None:
        self.gallery.close()
        self.gallery = self.opened()

    @invariant()
    def the_users_are_those_kept(self) -> None:
        if hasattr(self, "gallery"):
            assert self.gallery.users() == {name: len(rows) for name, rows in self.kept.items()}

    def teardown(self) -> None:
        if hasattr(self, "gallery"):
            self.gallery.close()
            self.folder.cleanup()


TestGallery = GalleryMachine.TestCase
TestGallery.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
