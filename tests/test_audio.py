"""The door for sound: every way in gives the same samples, and what cannot be read says so."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from speaker_id import audio
from speaker_id.audio import soundfiles
from speaker_id.errors import AudioError

RATES = [8000, 11025, 22050, 44100, 48000, 96000]
FORMATS = [
    ("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("ogg", "VORBIS"), ("ogg", "OPUS"),
    ("mp3", "MPEG_LAYER_III"),
]  # fmt: skip


def chirp(rate: int, seconds: float = 1.5, channels: int = 1) -> NDArray[np.float32]:
    """(S,) or (S, C): a tone that rises from 100 Hz to 3 kHz, so that no two stretches are alike."""
    time = np.arange(int(rate * seconds)) / rate
    tone = 0.5 * np.sin(2 * np.pi * (100 + 1450 * time / seconds) * time)
    sound = tone if channels == 1 else np.stack([tone / (c + 1) for c in range(channels)], axis=1)
    return sound.astype(np.float32)


def write(path: Path, rate: int, subtype: str = "PCM_16", sound: NDArray[np.float32] | None = None) -> Path:
    soundfile.write(path, chirp(rate) if sound is None else sound, rate, subtype=subtype)
    return path


def test_path_bytes_file_and_array_give_the_same_samples(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 44100, sound=chirp(44100, channels=2))
    pcm, rate = soundfile.read(path, dtype="int16")
    expected = audio.load(path, 16000)
    with path.open("rb") as file:
        for source in (str(path), path.read_bytes(), file, (pcm, rate), (pcm.T, rate), (torch.from_numpy(pcm), rate)):
            np.testing.assert_array_equal(audio.load(source, 16000), expected)
    np.testing.assert_array_equal(audio.load(pcm, 16000, source_rate=rate), expected)


@pytest.mark.parametrize(("extension", "subtype"), FORMATS)
@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_a_crop_holds_the_same_samples_as_the_whole(tmp_path: Path, extension: str, subtype: str, rate: int) -> None:
    path = write(tmp_path / f"a.{extension}", rate, subtype)
    whole = audio.load(path, 16000)
    for start, num in ((0, 700), (4321, 8000), (len(whole) - 333, 333)):
        crop = audio.load(path, 16000, start=start, num=num)
        np.testing.assert_allclose(crop, whole[start : start + num], atol=0 if rate == 16000 else 2e-6)


@pytest.mark.parametrize("rate", RATES)
def test_a_resampled_crop_keeps_the_phase_of_the_whole(rate: int) -> None:
    source = (np.random.default_rng(0).uniform(-0.3, 0.3, rate).astype(np.float32), rate)
    whole = audio.load(source, 16000)
    for start in (0, 1, 2999, 8191, len(whole) - 500):
        np.testing.assert_allclose(
            audio.load(source, 16000, start=start, num=500), whole[start : start + 500], atol=2e-6
        )


@given(rate=st.sampled_from(RATES), num=st.integers(12, 3000))
def test_the_length_at_another_rate_is_known_from_the_header(rate: int, num: int) -> None:
    source = (np.zeros(num, np.int16), rate)
    length = audio.num_samples_at(audio.info(source), 16000)
    assert length == len(audio.load(source, 16000)) == len(soxr.resample(np.zeros(num, np.float32), rate, 16000))


def test_a_long_recording_is_put_together_from_its_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write(tmp_path / name, 16000) for name in ("a.wav", "a.flac")]
    paths.append(write(tmp_path / "a.mp3", 16000, "MPEG_LAYER_III"))
    wholes = [audio.load(path, 16000) for path in paths]
    monkeypatch.setattr(soundfiles, "BLOCK", 1000)
    for path, whole in zip(paths, wholes, strict=True):
        np.testing.assert_allclose(audio.load(path, 16000), whole, atol=1e-6)
        np.testing.assert_allclose(audio.load(path, 16000, start=1500, num=3000), whole[1500:4500], atol=1e-6)


@pytest.mark.parametrize(("extension", "subtype"), FORMATS)
def test_every_format_returns_the_tone_it_was_given(tmp_path: Path, extension: str, subtype: str) -> None:
    path = write(tmp_path / f"a.{extension}", 48000, subtype)
    assert audio.info(path) == (72000, 48000, 1)
    loaded = audio.load(path, 16000)
    assert loaded.shape == (24000,)
    assert np.sqrt(np.mean((loaded - chirp(16000)) ** 2)) < 0.02  # lossy codecs; the tone's own rms is 0.35


def test_a_96_khz_recording_loses_what_16_khz_cannot_hold() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 20000 * np.arange(96000) / 96000)
    assert np.abs(audio.load((tone, 96000), 16000)[1000:-1000]).max() < 1e-4


def test_channels_are_averaged_and_integers_divided_by_full_scale() -> None:
    stereo = np.array([[16384, 0], [-32768, -32768], [100, -100]], np.int16)
    expected = np.array([0.25, -1.0, 0.0], np.float32)
    np.testing.assert_array_equal(audio.load((stereo, 8000), 8000), expected)
    np.testing.assert_array_equal(audio.load((stereo.T.astype(np.int32) * 65536, 8000), 8000), expected)
    np.testing.assert_array_equal(audio.load((np.array([0, 128, 192], np.uint8), 8000), 8000), [-1.0, 0.0, 0.5])


def test_the_result_is_owned_and_the_source_unchanged(tmp_path: Path) -> None:
    array = chirp(16000)
    before = array.copy()
    loaded = audio.load((array, 16000), 16000)
    loaded[:] = 9.0
    np.testing.assert_array_equal(array, before)
    assert loaded.dtype == np.float32
    for source in (array, array[::2], np.stack([array, array])):
        for rate in (16000, 8000):
            result = audio.load((source, rate), 16000, start=10, num=100)
            assert result.flags.owndata
            assert result.flags.c_contiguous
    path = write(tmp_path / "a.flac", 16000)
    with path.open("rb") as file:
        file.seek(17)
        audio.load(file, 16000)
        assert file.tell() == 17


def test_a_peak_over_full_scale_is_clipped() -> None:
    np.testing.assert_array_equal(audio.load((np.array([0.5, 1.5, -3.0]), 8000), 8000), [0.5, 1.0, -1.0])


def test_only_the_needed_frames_are_read(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.flac", 16000, sound=chirp(16000, seconds=20)).read_bytes()

    class Counting(io.BytesIO):
        taken = 0

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            self.taken += len(buffer)
            return super().readinto(buffer)

        def read(self, size: int | None = -1) -> bytes:
            data = super().read(size)
            self.taken += len(data)
            return data

    file = Counting(whole)
    audio.load(file, 16000, start=160000, num=16000)
    assert 0 < file.taken < len(whole) / 2


def test_a_wav_written_into_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    piped = bytearray(write(tmp_path / "a.wav", 16000).read_bytes())
    piped[4:8] = piped[40:44] = b"\xff\xff\xff\xff"  # the sizes ffmpeg leaves when it cannot seek back
    assert len(audio.load(bytes(piped), 16000)) == 24000


@pytest.mark.parametrize("extension", ["wav", "flac", "mp3", "aiff", "au", "w64"])
def test_a_file_cut_short_is_refused(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a.{extension}"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 48000), 16000)
    path.write_bytes(path.read_bytes()[:-9000])
    with pytest.raises(AudioError, match=rf"a\.{extension} is .*truncated"):
        audio.load(path, 16000)


def hole(rate: int) -> NDArray[np.float32]:
    sound = chirp(rate)
    sound[77] = np.nan
    return sound


def soundfile_of(path: Path, rows: list[list[float]]) -> Path:
    return write(path, 8000, "FLOAT", np.array(rows, np.float32))


BAD: list[tuple[Callable[[Path], object], str]] = [
    (lambda d: d / "none.wav", r"none\.wav cannot be opened: No such file"),
    (lambda d: d, "cannot be opened"),
    (lambda d: text(d / "a.wav", b"not sound at all"), r"a\.wav is not audio .*ffmpeg"),
    (lambda d: text(d / "a.raw", bytes(800)), r"a\.raw is not audio"),
    (lambda d: text(d / "a.wav", b""), "empty file"),
    (lambda _: io.BytesIO(b"nothing of the kind"), "<file> is not audio"),
    (lambda _: io.StringIO("text"), "cannot read sound from StringIO"),
    (lambda _: 42, "cannot read sound from int"),
    (lambda d: write(d / "a.wav", 8000, sound=np.zeros(0, np.float32)), "holds no sound"),
    (lambda d: write(d / "a.wav", 8000, "FLOAT", hole(8000)), r"a\.wav holds samples that are NaN"),
    (lambda d: write(d / "a.wav", 1), "cannot have a sample rate of 1 Hz"),
    (lambda _: (np.array([0.0, np.inf]), 8000), "<array> holds samples that are NaN or infinite"),
    (lambda _: (np.array([0.0, 1e300]), 8000), "NaN or infinite"),
    (lambda _: (np.array([0.0, 12000.0]), 8000), "reaches 12000"),
    (lambda _: np.zeros(100), "without its sample rate"),
    (lambda _: (8000, np.zeros(100)), "in this order"),
    (lambda _: (np.zeros(100), 0), "sample rate of 0 Hz"),
    (lambda d: write(d / "a.wav", 1), "a.wav cannot have a sample rate of 1 Hz"),  # 16000 samples for each of its own
    (lambda _: (np.zeros(100), 2**31 - 1), "sample rate of 2147483647 Hz"),
    (lambda d: soundfile_of(d / "a.wav", [[np.inf, -np.inf]] * 9), "NaN or infinite"),
    (lambda _: (np.zeros((5, 5)), 8000), "cannot be told apart"),
    (lambda _: (np.zeros((64, 400)), 8000), "not one recording"),
    (lambda _: (np.zeros((1, 2, 400)), 8000), "not one recording"),
    (lambda _: (np.zeros(100, np.int64), 8000), "int64 has no agreed full scale"),
    (lambda _: (np.zeros(100, np.uint16), 8000), "uint16 has no agreed full scale"),
    (lambda _: (np.zeros(100, np.complex64), 8000), "complex64 has no agreed full scale"),
]


def text(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(("make", "message"), BAD)
def test_what_cannot_be_read_says_what_and_where(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    with pytest.raises(AudioError, match=message):
        audio.load(make(tmp_path), 16000)  # type: ignore[arg-type]


@pytest.mark.parametrize(("start", "num"), [(-1, 5), (0, 0), (0, 101), (100, None), (90, 11)])
def test_a_stretch_outside_the_recording_is_refused(start: int, num: int | None) -> None:
    with pytest.raises(AudioError, match="has 100 samples at 8000 Hz"):
        audio.load((np.zeros(100), 8000), 8000, start=start, num=num)


def test_a_source_rate_beside_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="source_rate is for bare arrays"):
        audio.load(write(tmp_path / "a.wav", 8000), 8000, source_rate=8000)


def test_a_header_that_leads_before_the_beginning_fails_in_our_words_alone() -> None:
    """libsndfile looks for the sound that is missing at -1; what Python said to that was printed over it."""
    file = io.BytesIO()
    soundfile.write(file, chirp(16000), 16000, format="AIFF")
    without_sound = file.getvalue().partition(b"SSND")[0]
    for source in (without_sound, io.BytesIO(without_sound)):
        with pytest.raises(AudioError):
            audio.load(source, 16000)


def test_silence_loads_and_is_recognised() -> None:
    quiet = audio.load((np.full(100, 0.9 * audio.SILENCE_PEAK), 8000), 8000)
    assert audio.is_silent(quiet)
    assert audio.is_silent(quiet[:0])
    assert not audio.is_silent(np.array([0.0, -1.1 * audio.SILENCE_PEAK], np.float32))
