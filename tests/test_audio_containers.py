"""What phones, browsers and cameras record, by the same door: the same promises as for wav."""

import io
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from containers import KINDS, Kind, encode, write_video
from speaker_id import audio
from speaker_id.audio import containers
from speaker_id.errors import AudioError

SECONDS = 1.5


def chirp(rate: int, seconds: float = SECONDS) -> NDArray[np.float32]:
    """(S,): a tone that rises from 100 Hz to 3 kHz, so that no two stretches are alike."""
    time = np.arange(int(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * (100 + 1450 * time / seconds) * time)).astype(np.float32)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {name: encode(kind, chirp(kind.rate)) for name, kind in KINDS.items()}


@pytest.mark.parametrize("name", KINDS)
def test_the_sound_comes_back_as_it_was_coded(files: dict[str, bytes], name: str) -> None:
    kind = KINDS[name]
    given, loaded = chirp(kind.rate), audio.load(files[name], kind.rate)
    assert audio.info(files[name]) == (len(loaded), kind.rate, 1)
    early, late = max(0, -kind.delay), max(0, kind.delay)
    loaded, given = loaded[late:], given[early:]
    shared = min(len(loaded), len(given))
    edge = kind.rate // 10  # what codecs do to a sudden beginning and end is theirs
    error = (loaded[:shared] - given[:shared])[edge:-edge]
    assert np.sqrt(np.mean(error**2)) < kind.loss * 0.35


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.exact])
def test_what_the_encoder_added_is_taken_away(files: dict[str, bytes], name: str) -> None:
    assert audio.info(files[name]).num_samples == round(KINDS[name].rate * SECONDS)
    assert len(audio.load(files[name], 16000)) == round(16000 * SECONDS)


@pytest.mark.parametrize("name", KINDS)
def test_a_crop_holds_the_same_samples_as_the_whole(
    files: dict[str, bytes], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = KINDS[name].rate
    for rate, tolerance in ((own, 0), (16000, 0 if own == 16000 else 2e-6)):
        whole = audio.load(files[name], rate)
        for kept in (1 << 24, 5000):  # the second is decoded again, for being too long to keep
            monkeypatch.setattr(containers, "_KEPT", kept)
            np.testing.assert_allclose(audio.load(files[name], rate), whole, atol=tolerance)
            for start, num in ((0, 700), (4321, 6000), (len(whole) - 333, 333)):
                crop = audio.load(files[name], rate, start=start, num=num)
                np.testing.assert_allclose(crop, whole[start : start + num], atol=tolerance)
                assert crop.flags.owndata


def test_path_bytes_and_file_give_the_same_samples(files: dict[str, bytes], tmp_path: Path) -> None:
    content = files["m4a"]
    path = tmp_path / "voice.wav"  # the content says what it is, not the name
    path.write_bytes(content)
    expected = audio.load(content, 16000)
    np.testing.assert_array_equal(audio.load(path, 16000), expected)
    file = io.BytesIO(content)
    file.seek(17)
    np.testing.assert_array_equal(audio.load(file, 16000), expected)
    assert file.tell() == 17


@pytest.mark.parametrize("name", ["m4a, lossless", "avi, pcm"])  # channel by channel, and all of them in turns
def test_channels_are_averaged(name: str) -> None:
    kind = KINDS[name]
    mono = chirp(kind.rate)
    content = encode(kind, np.stack([mono, 0.5 * mono]))
    assert audio.info(content).num_channels == 2
    np.testing.assert_allclose(audio.load(content, kind.rate), 0.75 * mono, atol=1e-4)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("cut", [1, 7, 300, 0.5])
def test_a_file_cut_short_is_refused(files: dict[str, bytes], name: str, cut: float) -> None:
    content = files[name]
    left = content[: int(len(content) * (1 - cut))] if cut < 1 else content[: -int(cut)]
    with pytest.raises(AudioError, match=r"^<bytes> is .*truncated"):
        audio.load(left, 16000)


def test_a_file_cut_short_is_refused_where_its_last_part_states_no_size() -> None:
    kind = Kind("mov", "pcm_s16le", 44100, options=(("movflags", "faststart"),))
    content = encode(kind, chirp(kind.rate))
    size, name = content.index(b"mdat") - 4, content.index(b"mdat")
    endless = content[:size] + bytes(4) + content[name:]  # "up to the end of the file"
    assert len(audio.load(endless, 44100)) == round(44100 * SECONDS)
    with pytest.raises(AudioError, match="damaged or truncated"):
        audio.load(endless[:-1000], 44100)


def test_a_video_without_sound_says_so() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        write_video(container, 1.0)
    with pytest.raises(AudioError, match=r"WebM/Matroska without a sound track"):
        audio.load(file.getvalue(), 16000)


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
        b"RTSP/1.0 200 OK\n",
        b"\x89PNG\r\n\x1a\n" + bytes(99),
        b"file:/etc/passwd",
    ],
)
def test_lists_of_other_files_are_not_followed(content: bytes) -> None:
    with pytest.raises(AudioError, match=r"^<bytes> is not audio in a known format"):
        audio.load(content, 16000)


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"\0\0\0\x20ftypM4A " + bytes(99), "MP4/M4A"), (b"\x1aE\xdf\xa3" + bytes(99), "WebM/Matroska")],
)
def test_what_begins_like_a_container_and_is_none_is_damaged(content: bytes, kind: str) -> None:
    with pytest.raises(AudioError, match=rf"<bytes> is {kind}, but damaged"):
        audio.load(content, 16000)


@pytest.mark.parametrize("name", ["concat:a.m4a|b.m4a", "http://127.0.0.1:9/a.m4a", "pipe:0"])
def test_a_path_that_ffmpeg_would_take_for_an_address_is_a_path(
    files: dict[str, bytes], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(files["m4a"])
    assert len(audio.load(path, 16000)) == 24000


@pytest.mark.parametrize("name", KINDS)
def test_mutated_files_give_sound_or_our_error(files: dict[str, bytes], name: str) -> None:
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(25):
        content = np.frombuffer(files[name], np.uint8).copy()
        where = rng.integers(0, rng.choice([64, 700, len(content)]), rng.integers(1, 8))
        content[where] = rng.integers(0, 256, len(where))
        try:
            loaded = audio.load(content.tobytes(), 16000)
        except AudioError:
            outcomes.add("error")
        else:
            assert np.isfinite(loaded).all()
            assert np.abs(loaded).max() <= 1
            outcomes.add("sound")
    assert "error" in outcomes or name in {"aac", "webm, live", "avi, video", "amr", "wma"}


def test_without_pyav_the_extra_is_named(files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "a.m4a").write_bytes(files["m4a"])
    (tmp_path / "a.webm").write_bytes(files["webm"])
    code = """
import sys
sys.modules["av"] = None  # as if it were not installed
from speaker_id import audio
from speaker_id.errors import AudioError
for path in sys.argv[1:]:
    try:
        audio.load(path, 16000)
    except AudioError as error:
        print(error)
"""
    paths = [str(tmp_path / "a.m4a"), str(tmp_path / "a.webm")]
    run = subprocess.run([sys.executable, "-c", code, *paths], check=True, capture_output=True, text=True)
    for line, kind in zip(run.stdout.splitlines(), ("MP4/M4A", "WebM/Matroska"), strict=True):
        assert f"is {kind}, which is read with PyAV only: pip install 'speaker-id[formats]', or convert it" in line


def test_a_wav_does_not_import_pyav() -> None:
    code = """
import sys
import numpy as np
from speaker_id import audio
audio.load((np.zeros(100), 8000), 16000)
try:
    audio.load(b"RIFF", 16000)
except audio.AudioError:
    pass
print("av" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout == "False\n"


def test_sizes_that_lead_before_the_beginning_are_damage_in_a_file_and_in_memory(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    damaged = bytearray(files["wma"])
    damaged[53] = 0x45  # the highest byte of the first inner object's size
    path = tmp_path / "a.wma"
    path.write_bytes(damaged)
    for source in (path, bytes(damaged)):
        with pytest.raises(AudioError, match="damaged or truncated"):
            audio.load(source, 16000)
