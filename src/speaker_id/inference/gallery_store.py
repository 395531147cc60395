"""How the tables of a gallery file are read at one moment, and changed all or nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from speaker_id.errors import GalleryError
from speaker_id.inference.gallery_erasure import NOTHING, Proof, WrittenOver, compact, prove_erased
from speaker_id.inference.gallery_events import EventTable
from speaker_id.inference.gallery_file import GalleryFile, gallery_errors, num_free_pages, transaction, write_anew
from speaker_id.inference.gallery_listing import UserList
from speaker_id.inference.gallery_reader import VoiceReader
from speaker_id.inference.gallery_records import as_text
from speaker_id.inference.gallery_rotation import seal_anew
from speaker_id.inference.gallery_seal import Seal
from speaker_id.inference.gallery_users import Change, UserTable


class GalleryStore:
    """The tables, for the threads of one process; whoever uses them does so within `reading` or `writing`."""

    def __init__(self, file: GalleryFile, best: int | None, clock: Callable[[], datetime]) -> None:
        self.best = best
        self.clock = clock
        self._lock = threading.Lock()
        self._use(file)

    def _use(self, file: GalleryFile) -> None:
        self.file = file
        self.connection = file.connection
        self.voices = VoiceReader(file, self.best)
        self.users = UserTable(file)
        self.listing = UserList(file, self.users)
        self.log = EventTable(file)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other thread; errors of SQLite and the system become ours."""
        with self._lock, gallery_errors(self.file.path):
            yield

    @contextmanager
    def reading(self) -> Iterator[tuple[int, str]]:
        """One moment of the gallery; gives its revision and the time."""
        with self.alone(), transaction(self.connection, "DEFERRED"):
            yield self.revision(), as_text(self.clock())

    @contextmanager
    def writing(self) -> Iterator[Change]:
        """One transaction, which also erases those whose time is over; whatever leaves it early has changed nothing.

        What it has written over is in the file's log until it is proven gone: call `prove` with the change.
        """
        with self.alone(), transaction(self.connection):
            change = self._change()
            before, free_before = self.connection.total_changes, num_free_pages(self.connection)
            for user_id, action in self.users.overdue(change.now):
                self.erase(user_id, action, change)
            yield change
            if self.connection.total_changes > before:
                freed = num_free_pages(self.connection) - free_before
                written_over = sum(map(len, change.written.put))
                query = "UPDATE meta SET revision = ?, free_pages = free_pages + ?, written_over = written_over + ?"
                self.connection.execute(query, (change.revision, freed, written_over))
                if written_over:
                    compact(self.connection)

    def note(
        self, user_id: int, action: str, change: Change, *, num_recordings: int | None = None, by: str | None = None
    ) -> None:
        """Log what was done to a user: to so many recordings, None for all that are kept."""
        num = self.users.num_recordings(user_id) if num_recordings is None else num_recordings
        self.log.add(action, change, tag=self.users.tag(user_id), num_recordings=num, by=by)

    def erase(self, user_id: int, action: str, change: Change, by: str | None = None) -> None:
        """Write over whatever is kept of a user, and log it as `action`."""
        self.note(user_id, action, change, by=by)
        self.users.erase(user_id, change)

    def prove(self, change: Change) -> Proof:
        """Make sure that what a committed change wrote over is in no file, nor in the memory of the index."""
        if not change.written.gone:
            return NOTHING
        with self.alone():
            with transaction(self.connection, "DEFERRED"):
                self.voices.follow(self.revision())
            return prove_erased(self.file, change.written, self.users.held)

    def seal_anew(self, old: Seal, new: Seal, by: str | None) -> None:
        """Everything under another key, in a file written anew."""
        with self.alone():
            with transaction(self.connection):
                (key_check,) = self.connection.execute("SELECT key_check FROM meta").fetchone()
                if not old.fits(key_check):
                    raise GalleryError(f"the old key is not the one of {self.file.path}: nothing was changed")
                seal_anew(self.connection, old, new)
                file = self.file._replace(seal=new)
                EventTable(file).add("rotate key", Change(0, as_text(self.clock()), WrittenOver([], [])), by=by)
            self._use(file)
            write_anew(self.connection)

    def revision(self) -> int:
        """Which change was the last; raises GalleryError if that one took our key away."""
        revision, key_check = self.connection.execute("SELECT revision, key_check FROM meta").fetchone()
        if not self.file.seal.fits(key_check):
            raise GalleryError(f"the key of {self.file.path} was changed: open it again with the new one")
        return int(revision)

    def _change(self) -> Change:
        return Change(self.revision() + 1, as_text(self.clock()), WrittenOver([], []))
