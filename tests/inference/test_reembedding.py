"""Users moved to another model, from kept recordings or from a folder."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from inference.tiny_model import RATE, recording, voice
from speaker_id import audio
from speaker_id.contracts import FloatArray, UserDetails
from speaker_id.errors import GalleryError, NoSpeech
from speaker_id.inference.audio_folder import find_recordings
from speaker_id.inference.gallery import SqliteGallery
from speaker_id.inference.gallery_import import Outcome
from speaker_id.inference.kept_recordings import as_flac, files_to_keep
from speaker_id.inference.recognizer import Recognizer
from speaker_id.inference.reembedding import reembed

KEY = bytes(range(32))
LAST_YEAR = datetime(2025, 1, 1, tzinfo=UTC)
DETAILS = UserDetails({"department": "B"}, "signed", datetime(2999, 1, 1, tzinfo=UTC))


class Spectrum:
    """A recording's first bands: something that another model would make of it."""

    sample_rate = RATE
    dim = 8

    def __init__(self, fingerprint: str, first: int) -> None:
        self.fingerprint = fingerprint
        self.first = first

    def __call__(self, waveforms: list[FloatArray], *, names: Sequence[str] | None = None) -> FloatArray:
        bands = [np.abs(np.fft.rfft(waveform, 4096))[: 60 * (self.dim + 1)] for waveform in waveforms]
        rows = np.stack([band[self.first :][: 60 * self.dim].reshape(self.dim, 60).mean(axis=1) for band in bands])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def embed_parts(self, waveforms: list[FloatArray]) -> FloatArray:
        return self(waveforms)


OLD, NEW = Spectrum("old model", 0), Spectrum("new model", 31)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[SqliteGallery]:
    with SqliteGallery.open(
        tmp_path / "old.db", fingerprint="old model", dim=8, key=KEY, keep_recordings=True
    ) as opened:
        yield opened


@pytest.fixture
def new(tmp_path: Path) -> Iterator[SqliteGallery]:
    with SqliteGallery.open(
        tmp_path / "new.db", fingerprint="new model", dim=8, key=KEY, keep_recordings=True
    ) as opened:
        yield opened


def test_kept_recordings_become_embeddings_of_the_new_model_with_details_and_times(
    old: SqliteGallery, new: SqliteGallery
) -> None:
    recognizer = Recognizer(OLD, gallery=old)
    recognizer.enrol("Ada", (voice(100), RATE), (voice(110), RATE), details=DETAILS)
    recognizer.enrol("Bob", (voice(250), RATE))
    old.enrol("Bob", OLD([voice(260)]), recordings=files_to_keep(old, [voice(260)], RATE), enrolled=LAST_YEAR)
    assert list(reembed(old, new, NEW, by="night job")) == [
        Outcome("Ada", "imported", 2),
        Outcome("Bob", "imported", 2),
    ]
    for user in ("Ada", "Bob"):
        before, after = old.enrolled(user), new.enrolled(user)
        assert before is not None
        assert after is not None
        assert (after.num_recordings, after.enrolled, after.details) == (2, before.enrolled, before.details)
        heard = [audio.load(file, RATE) for file in old.recordings(user) if file is not None]
        np.testing.assert_allclose(new.embeddings(user), NEW(heard), atol=1e-6)
        assert new.recordings(user) == old.recordings(user)  # FLAC made of the same samples again
    assert (bob := new.enrolled("Bob")) is not None
    assert bob.enrolled == LAST_YEAR
    assert [(event.action, event.by) for event in new.events()] == [("import", "night job")] * 2
    # A second run has nothing to do.
    assert [outcome.verdict for outcome in reembed(old, new, NEW)] == ["already enrolled"] * 2


def test_a_folder_stands_in_for_recordings_that_were_not_kept(
    old: SqliteGallery, new: SqliteGallery, tmp_path: Path
) -> None:
    for name in ("Ada/0", "Ada/1", "Bob/0", "Eve/0"):
        (tmp_path / "audio_db" / name).parent.mkdir(parents=True, exist_ok=True)
        recording(tmp_path / "audio_db" / f"{name}.wav", 120)
    (tmp_path / "audio_db" / "Eve" / "1.wav").write_bytes(b"no sound")
    for user in ("Ada", "Bob", "Cyd", "Eve"):
        old.enrol(user, OLD([voice(100), voice(120)]))
    old.enrol("Dan", OLD([voice(100), voice(120)]), recordings=[as_flac(voice(100), RATE), None])
    folder = find_recordings(tmp_path / "audio_db").recordings
    found = {outcome.user: outcome for outcome in reembed(old, new, NEW, folder=folder)}
    assert found["Ada"] == Outcome("Ada", "imported", 2)
    assert found["Bob"] == Outcome("Bob", "imported", 1, warnings=("2 recordings before, 1 now",))
    assert found["Cyd"].reasons == ("no recordings were kept, and the folder has none of that name",)
    assert found["Dan"].reasons == ("1 of 2 recordings were kept, and the folder has none of that name",)
    assert found["Eve"].verdict == "refused"  # one of hers cannot be used, so none is
    assert "1.wav" in found["Eve"].reasons[0]
    assert new.users() == {"Ada": 2, "Bob": 1}
    assert len(found) == 5


def test_what_the_new_model_cannot_use_keeps_its_user_out_and_nobody_else(
    old: SqliteGallery, new: SqliteGallery
) -> None:
    for user, waveform in (("Ada", voice(100)[:-1]), ("Bob", voice(100))):
        old.enrol(user, OLD([waveform]), recordings=[as_flac(waveform, RATE)])

    class Choosy(Spectrum):
        def __call__(self, waveforms: list[FloatArray], *, names: Sequence[str] | None = None) -> FloatArray:
            if len(waveforms[0]) < len(voice(100)):
                raise NoSpeech(f"{names} holds nothing for it")
            return super().__call__(waveforms)

    found = list(reembed(old, new, Choosy("new model", 31)))
    assert [outcome.verdict for outcome in found] == ["refused", "imported"]
    assert "recording 1 of 1" in found[0].reasons[0]
    assert new.users() == {"Bob": 1}


def test_galleries_that_do_not_fit_are_refused(old: SqliteGallery, new: SqliteGallery) -> None:
    with pytest.raises(GalleryError, match="nothing to embed again"):
        list(reembed(old, old, OLD))
    with pytest.raises(GalleryError, match="not of the new model"):
        list(reembed(old, new, OLD))


def test_a_kept_recording_comes_back_sample_by_sample(old: SqliteGallery) -> None:
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 20_000).astype(np.float32) / 2**15
    np.testing.assert_array_equal(audio.load(as_flac(samples, RATE), RATE), samples)
    assert files_to_keep(old, [samples, samples], RATE) == [as_flac(samples, RATE)] * 2


def test_a_gallery_that_keeps_none_is_given_none(tmp_path: Path) -> None:
    with SqliteGallery.open(tmp_path / "plain.db", fingerprint="old model", dim=8) as plain:
        assert files_to_keep(plain, [voice(100)], RATE) is None
        Recognizer(OLD, gallery=plain).enrol("Ada", (voice(100), RATE))
        assert plain.recordings("Ada") == [None]
