"""The newest pages of a gallery file, out of its write-ahead log (sqlite.org/fileformat2.html#the_write_ahead_log)."""

from __future__ import annotations

import struct
from pathlib import Path

HEADER = struct.Struct(">8I")  # magic, version, page size, checkpoints, two salts, two checksums
FRAME = struct.Struct(">6I")  # page number, pages of the file after a commit or 0, two salts, two checksums
MAGIC = (0x377F0682, 0x377F0683)


def committed_pages(path: Path) -> dict[int, bytes]:
    """Page number -> its last committed content, of the pages in the log of a gallery; none where there is no log.

    Unlike the file beside it, which must never be opened a second time, the log may be: SQLite's locks are on the file
    and on its shared memory, not on the log. Somebody who empties it meanwhile is the caller's to notice.
    """
    try:
        log = Path(f"{path}-wal").read_bytes()
    except FileNotFoundError:
        return {}
    if len(log) < HEADER.size:
        return {}
    magic, _, page_size, _, *salts, _, _ = HEADER.unpack_from(log)
    pages: dict[int, bytes] = {}
    begun: dict[int, bytes] = {}
    step = FRAME.size + page_size
    for start in range(HEADER.size, len(log) - step + 1 if magic in MAGIC else 0, step):
        number, num_pages, *frame_salts, _, _ = FRAME.unpack_from(log, start)
        if frame_salts != salts:  # left over from before the log began anew
            break
        begun[number] = log[start + FRAME.size : start + step]
        if num_pages:
            pages |= begun
            begun = {}
    return pages
