import hashlib
import io
import itertools
from collections import Counter

import numpy as np
import pytest
import soundfile

from hostile import mutations
from hostile.containers import chunks, with_ogg_checksums
from hostile.mutations import MUTATIONS, mutated
from hostile.sounds import Original, originals
from speaker_id import audio
from speaker_id.errors import AudioError

FLAT = {"wav", "flac", "ogg", "opus", "aiff", "caf", "w64"}  # a row of chunks, all of which are found
NESTED = {"m4a", "mp4", "mov", "3gp", "webm", "mkv", "wma", "avi"}
EXTENSIONS = FLAT | NESTED | {"mp3", "au", "aac", "amr"}


def test_the_originals_are_sound_of_every_format() -> None:
    assert {one.extension for one in originals()} == EXTENSIONS
    for original in originals():
        samples = len(audio.load(original.content, 16_000))
        assert samples == pytest.approx(12_800, abs=1500)  # codecs fill their last block, and some begin early


def test_a_number_means_the_same_file_every_time() -> None:
    assert [mutated(3, number) for number in range(50)] == [mutated(3, number) for number in range(50)]
    assert len({mutated(seed, 0).content for seed in range(50)}) > 40


def test_what_is_drawn_is_the_same_on_every_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutations, "originals", lambda: (Original("wav", bytes(range(256)) * 4),))  # encoders differ
    drawn = b"".join(mutated(0, number).content for number in range(40))
    assert hashlib.sha256(drawn).hexdigest()[:16] == "13b4e6e89d3075b9"


def test_every_format_comes_as_often_as_the_next_and_most_files_are_changed() -> None:
    drawn = [mutated(0, number) for number in range(900)]
    counts = Counter(one.extension for one in drawn)
    assert set(counts) == EXTENSIONS
    assert min(counts.values()) > 25
    known = {one.content for one in originals()}
    assert sum(one.content not in known for one in drawn) > 850


def test_some_mutated_files_are_still_sound_and_some_are_not() -> None:
    outcomes = Counter(loads(mutated(0, number).content) for number in range(200))
    assert min(outcomes[True], outcomes[False]) > 30


def loads(content: bytes) -> bool:
    try:
        return bool(len(audio.load(content, 16_000)))
    except AudioError:
        return False


@pytest.mark.parametrize("mutation", sorted(set(MUTATIONS), key=lambda one: one.__name__))
def test_every_mutation_changes_every_format_and_survives_what_others_left(mutation: mutations.Mutation) -> None:
    rng = mutations.random.Random(0)
    for original in originals():
        assert any(mutation(original.content, rng) != original.content for _ in range(8))
    for remains in (
        b"",
        b"R",
        b"RIFF",
        b"fLaC\x80",
        b"OggS" + bytes(23),
        b"OggS" + bytes(22) + b"\xff",
        b"caff" + bytes(12),
    ):
        for _ in range(20):
            mutation(remains, rng)


def test_the_chunks_of_a_wav_are_those_that_its_header_names() -> None:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(101, np.int16), 8000, format="WAV", subtype="PCM_U8")
    fmt, data = chunks(file.getvalue())
    assert (fmt.start, fmt.size_at, fmt.body, fmt.end) == (12, 16, 20, 36)
    assert (data.start, data.size_at, data.body, data.end) == (36, 40, 44, 146)  # 101 bytes and one of padding


@pytest.mark.parametrize("original", [one for one in originals() if one.extension in FLAT])
def test_the_chunks_of_a_whole_file_lie_side_by_side_up_to_its_end(original: Original) -> None:
    found = chunks(original.content)
    assert len(found) >= 2
    assert len(original.content) - 1 <= found[-1].end <= len(original.content)  # ALAC's padding has no chunk
    for one, following in itertools.pairwise(found):
        assert one.start <= one.size_at <= one.body <= one.end == following.start


@pytest.mark.parametrize("original", [one for one in originals() if one.extension in NESTED])
def test_the_chunks_of_a_nested_file_lie_within_each_other_and_reach_its_end(original: Original) -> None:
    found = chunks(original.content)
    assert len(found) >= 2
    assert max(one.end for one in found) == len(original.content)
    starts = [one.start for one in found]
    assert starts == sorted(starts)
    for one, following in itertools.pairwise(found):
        assert following.start == one.end or one.body <= following.start <= one.body + 4 < one.end


def test_a_pages_checksum_is_the_one_that_encoders_write() -> None:
    for original in originals():
        if original.extension in ("ogg", "opus"):
            broken = bytearray(original.content)
            for page in chunks(original.content):
                broken[page.start + 22] ^= 0xFF
            assert with_ogg_checksums(bytes(broken)) == original.content
