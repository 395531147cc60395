"""Lists and recordings that cannot be used: one message that says where, and everything stays as it was."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from commands.running import Corpus, Finished, contents, run_here, tiny
from inference.tiny_model import RATE, voice
from speaker_id import audio

pytestmark = pytest.mark.slow


def one_message(finished: Finished, *parts: str) -> None:
    assert finished.status == 1, finished.out
    errors = [line for line in finished.out.splitlines() if " INFO " not in line and not line.startswith("embedding")]
    assert len(errors) == 1, finished.out
    assert " ERROR " in errors[0]
    for part in parts:
        assert part in errors[0]


LISTS = {
    "no tab": ("{0}\tada\n{1} ada\n", "bad.tsv:2: no tab in "),
    "empty": ("", "bad.tsv: no utterance in it"),
    "one speaker": ("{0}\tada\n{1}\tada\n", "1 speaker ('ada') in it, at least 2 are needed"),
    "no such file": ("{0}\tada\nnowhere.wav\tben\n", "bad.tsv:2: no such file: "),
}


@pytest.mark.parametrize("kind", LISTS)
def test_a_list_that_cannot_be_used_is_one_message(kind: str, corpus: Corpus, tmp_path: Path) -> None:
    text, message = LISTS[kind]
    bad = tmp_path / "bad.tsv"
    bad.write_text(text.format(corpus.folder / "ada-0.wav", corpus.folder / "ada-2.wav"))
    before = contents(corpus.folder)
    arguments = [f"data.train_list={bad}", f"data.val_list={corpus.val}", *tiny()]
    one_message(run_here("train", *arguments, f"hydra.run.dir={tmp_path}/run"), message)
    assert contents(corpus.folder) == before
    assert bad.read_text() == text.format(corpus.folder / "ada-0.wav", corpus.folder / "ada-2.wav")


def cut_flac(path: Path) -> Path:
    soundfile.write(path.with_suffix(".flac"), voice(120), RATE)
    path.with_suffix(".flac").write_bytes(path.with_suffix(".flac").read_bytes()[:3000])
    return path.with_suffix(".flac")


def cut_wav(path: Path) -> Path:
    soundfile.write(path, voice(120), RATE)
    path.write_bytes(path.read_bytes()[:3000])
    return path


def samples(*, value: float, number: int = RATE) -> Callable[[Path], Path]:
    def write(path: Path) -> Path:
        soundfile.write(path, np.full(number, value, np.float32), RATE, subtype="FLOAT")
        return path

    return write


def text(path: Path) -> Path:
    path.write_text("These are words, not sound.\n")
    return path


RECORDINGS = {
    "cut flac": (cut_flac, "truncated"),
    "cut wav": (cut_wav, "truncated"),
    "no sample": (samples(value=0.0, number=0), "lasts 0.00 s, at least 0.5 s are needed"),
    "not a number": (samples(value=float("nan")), "NaN or infinite"),
    "text": (text, "is not audio in a known format"),
    "silence": (samples(value=0.0), "silent"),
}
CASES = [
    pytest.param(kind, marks=case.marks) if hasattr(case, "marks") else kind  # type: ignore[attr-defined]
    for kind, case in RECORDINGS.items()
]


@pytest.fixture
def bad(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path, str]:
    """A list whose second row cannot be used, that recording, and what is to be said of it."""
    case = RECORDINGS[request.param]
    write, message = case.values if hasattr(case, "values") else case
    recording = write(tmp_path / "bad.wav")
    for number in range(3):  # of nobody whom the model was trained on
        soundfile.write(tmp_path / f"{number}.wav", voice(100 + 30 * number), RATE)
    listed = tmp_path / "list.tsv"
    listed.write_text(f"0.wav\tgil\n{recording.name}\thal\n1.wav\tgil\n2.wav\thal\n")
    return listed, recording, message


@pytest.mark.parametrize("bad", CASES, indirect=True)
def test_a_recording_that_cannot_be_evaluated_is_one_message(
    bad: tuple[Path, Path, str], two_epochs: Path, tmp_path: Path
) -> None:
    listed, recording, message = bad
    before = recording.read_bytes()
    arguments = [f"checkpoint={two_epochs}", f"data.test_list={listed}", "data.num_workers=0", "interval_draws=0"]
    finished = run_here("eval", *arguments, f"hydra.run.dir={tmp_path}/out")
    one_message(finished, f"{listed}, utterance 2 ({recording.name})", message)
    assert recording.read_bytes() == before
    assert not (tmp_path / "out" / "metrics.json").exists()


@pytest.mark.parametrize("bad", ["not a number"], indirect=True)
def test_an_error_in_a_data_worker_is_one_message_too(
    bad: tuple[Path, Path, str], corpus: Corpus, tmp_path: Path
) -> None:
    listed, recording, message = bad
    arguments = [f"data.train_list={listed}", f"data.val_list={corpus.val}", *tiny(), "data.num_workers=1"]
    finished = run_here("train", *arguments, f"hydra.run.dir={tmp_path}/run")
    one_message(finished, f"{listed}, utterance 2 ({recording.name})", message)


def test_a_silent_recording_does_not_disturb_training(corpus: Corpus, tmp_path: Path) -> None:
    samples(value=0.0)(tmp_path / "silent.wav")
    rows = [f"{corpus.folder}/{row}\n" for row in corpus.train.read_text().splitlines()]
    (tmp_path / "list.tsv").write_text("".join(["silent.wav\tada\n", *rows]))
    arguments = [f"data.train_list={tmp_path}/list.tsv", f"data.val_list={corpus.val}", *tiny()]
    finished = run_here("train", *arguments, "augmentation=room", f"hydra.run.dir={tmp_path}/run")
    assert finished.status == 0, finished.out
    assert "nan" not in finished.out


def test_every_usual_kind_of_file_trains_and_evaluates_as_it_is(tmp_path: Path) -> None:
    def write(name: str, rate: int, channels: int = 1, subtype: str | None = None) -> None:
        mono = audio.resample(voice(120, 0.8), RATE, rate)
        soundfile.write(tmp_path / name, np.stack([mono] * channels, axis=1), rate, subtype=subtype)

    write("phone.wav", 8000)
    write("stereo.wav", RATE, channels=2)
    write("studio.wav", 96000, subtype="PCM_24")
    write("lossy.mp3", RATE)
    write("lossy.ogg", RATE)
    write("float.flac", RATE)
    names = sorted(path.name for path in tmp_path.iterdir())
    (tmp_path / "list.tsv").write_text("".join(f"{name}\t{number % 2}\n" for number, name in enumerate(names)))
    both = [f"data.train_list={tmp_path}/list.tsv", f"data.val_list={tmp_path}/list.tsv"]
    finished = run_here("train", *both, *tiny(), f"hydra.run.dir={tmp_path}/run")
    assert finished.status == 0, finished.out
    assert f"validation: {len(names)} utterances of 2 speakers" in finished.out
