import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from inference.tiny_model import recording, voice
from speaker_id import audio
from speaker_id.data.lists import read_list

SCRIPT = Path(__file__).parents[2] / "scripts" / "speaker_folders.py"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False)


def test_folders_become_a_list_that_can_be_read(tmp_path: Path) -> None:
    for corpus in ("a", "b"):
        for speaker in ("1", "2"):
            folder = tmp_path / corpus / "deep" / speaker
            folder.mkdir(parents=True)
            recording(folder / "x.wav", 150)
            (folder / "notes.txt").write_text("not sound")
    done = run(tmp_path / "a", tmp_path / "b", "--output", tmp_path / "lists.tsv")
    assert done.returncode == 0, done.stderr
    data = read_list(tmp_path / "lists.tsv")
    assert data.speakers == ["a/1", "a/2", "b/1", "b/2"]
    assert "4 recordings of 4 speakers" in done.stderr


def test_an_empty_folder_and_a_stray_recording_are_refused_and_write_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "stray").mkdir()
    recording(tmp_path / "stray" / "x.wav", 150)
    for folder in ("empty", "stray"):
        done = run(tmp_path / folder, "--output", tmp_path / "list.tsv")
        assert done.returncode != 0
        assert done.stderr.startswith("error:")
        assert not (tmp_path / "list.tsv").exists()


def corpus(folder: Path, *, speakers: int, recordings: int = 2) -> Path:
    for speaker in range(speakers):
        (folder / f"说话人 {speaker}").mkdir(parents=True)
        for number in range(recordings):
            recording(folder / f"说话人 {speaker}" / f"#{number} .wav", 100 + 20 * speaker + number)
    return folder


def test_two_lists_share_no_speaker_and_hold_everybody(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "voices", speakers=10)
    done = run(folder, "--output", tmp_path / "lists-train.tsv", "--test-output", tmp_path / "lists-test.tsv")
    assert done.returncode == 0, done.stderr
    train, test = (read_list(tmp_path / f"lists-{name}.tsv") for name in ("train", "test"))
    assert (len(train.speakers), len(test.speakers)) == (8, 2)
    assert sorted(train.speakers + test.speakers) == [f"voices/说话人 {number}" for number in range(10)]
    assert len(train.utterances) + len(test.utterances) == 20


def test_too_few_speakers_for_two_lists_write_none(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "voices", speakers=3)
    done = run(folder, "--output", tmp_path / "train.tsv", "--test-output", tmp_path / "test.tsv")
    assert (done.returncode, list(tmp_path.glob("*.tsv"))) == (1, [])
    assert done.stderr.startswith(f"error: {folder}: cannot hold 2 of 3 speakers out")


def test_what_cannot_be_used_is_named_with_its_reason_left_out_and_left_alone(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "voices", speakers=2)
    (folder / "说话人 0" / "text.wav").write_text("no sound")
    recording(folder / "说话人 0" / "short.wav", 100, seconds=0.3)
    soundfile.write(folder / "说话人 1" / "silent.wav", np.zeros(16_000), 16_000)
    (folder / "说话人 1" / "phone.m4a").write_bytes(b"....ftyp")
    before = {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    done = run(folder, "--output", tmp_path / "list.tsv", "--check")
    assert done.returncode == 0, done.stderr
    assert len(read_list(tmp_path / "list.tsv").utterances) == 4
    for name, reason in (
        ("text.wav", "is not audio in a known format"),
        ("short.wav", "lasts 0.30 s, at least 0.5 s are needed"),
        ("silent.wav", "is silent"),
        ("phone.m4a", "is truncated"),
    ):
        assert any(name in line and reason in line for line in done.stderr.splitlines()), (name, done.stderr)
    assert {path: path.stat().st_size for path in folder.rglob("*") if path.is_file()} == before


def test_a_name_that_no_list_can_hold_is_refused(tmp_path: Path) -> None:
    (tmp_path / "voices" / "ada\tlovelace").mkdir(parents=True)
    recording(tmp_path / "voices" / "ada\tlovelace" / "0.wav", 100)
    done = run(tmp_path / "voices", "--output", tmp_path / "list.tsv")
    assert done.returncode == 1
    assert "a list cannot hold a tab" in done.stderr
    assert not (tmp_path / "list.tsv").exists()


def test_copies_are_listed_and_sound_the_same(tmp_path: Path) -> None:
    for speaker in ("1", "2"):
        (tmp_path / "voices" / speaker).mkdir(parents=True)
        stereo = np.stack([voice(100, 0.8)] * 2, axis=1)
        soundfile.write(tmp_path / "voices" / speaker / "x.mp3", audio_at(44_100, stereo), 44_100)
        recording(tmp_path / "voices" / speaker / "x.wav", 150)
    done = run(tmp_path / "voices", "--output", tmp_path / "list.tsv", "--convert", tmp_path / "copies")
    assert done.returncode == 0, done.stderr
    data = read_list(tmp_path / "list.tsv")
    assert [utterance.name for utterance in data.utterances] == [
        f"copies/voices/{speaker}/x.{kind}.flac" for speaker in ("1", "2") for kind in ("mp3", "wav")
    ]
    for utterance in data.utterances:
        original = tmp_path / "voices" / utterance.label[-1] / Path(utterance.path).stem
        found, rate = soundfile.read(utterance.path, dtype="float32")
        assert rate == 16_000
        np.testing.assert_allclose(found, audio.load(original, 16_000), atol=1 / 32_000)


def audio_at(rate: int, stereo: np.ndarray) -> np.ndarray:
    return np.stack([audio.resample(channel, 16_000, rate) for channel in stereo.T.astype(np.float32)], axis=1)


def test_the_lists_folder_is_made_and_a_place_that_cannot_be_written_to_is_one_message(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "voices", speakers=2)
    assert run(folder, "--output", tmp_path / "new" / "list.tsv").returncode == 0
    assert read_list(tmp_path / "new" / "list.tsv").speakers == ["voices/说话人 0", "voices/说话人 1"]
    done = run(folder, "--output", folder / "说话人 0" / "#0 .wav" / "list.tsv")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "cannot write the data list: " in done.stderr
