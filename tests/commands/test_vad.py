"""Pauses cut from training to decision, as a user runs it: one front end."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from commands.running import Corpus, contents, run_here, sway, tiny
from inference.tiny_model import RATE
from speaker_id import audio, checkpoint
from speaker_id.contracts import FloatArray
from speaker_id.errors import NoSpeech
from speaker_id.inference.embedder import ModelEmbedder
from speaker_id.inference.recognizer import Recognizer
from speaker_id.vad.energy import Energy
from speaker_id.vad.stretches import cut

pytestmark = pytest.mark.slow

PITCHES = {"ada": 90, "ben": 120, "cho": 155, "dov": 200}


def with_pauses(pitch: float, rng: np.random.Generator) -> FloatArray:
    """Two utterances in 2.6 s, of which at least 1.2 s are silence with a little hiss."""
    parts = [sway(pitch, rng.uniform(0.6, 0.7), rng) for _ in range(2)]
    pauses = [1e-3 * rng.standard_normal(round(seconds * RATE)) for seconds in (0.3, 0.6, 0.3)]
    return np.concatenate([pauses[0], parts[0], pauses[1], parts[1], pauses[2]]).astype(np.float32)


@pytest.fixture(scope="module")
def paused(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder, rng = tmp_path_factory.mktemp("paused"), np.random.default_rng(0)
    rows = []
    for speaker, pitch in PITCHES.items():
        for number in range(4):
            name = f"{speaker}-{number}.flac"
            soundfile.write(folder / name, with_pauses(pitch * rng.uniform(0.95, 1.05), rng), RATE)
            rows.append(f"{name}\t{speaker}\n")
    (folder / "train.tsv").write_text("".join(rows[:8]))
    (folder / "val.tsv").write_text("".join(rows[8:]))
    return Corpus(folder, folder / "train.tsv", folder / "val.tsv")


@pytest.fixture(scope="module")
def run(paused: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    finished = run_here("train", "vad=energy", *paused.lists, *tiny(), f"hydra.run.dir={folder}")
    assert finished.status == 0, finished.out
    assert "looking for speech in 8 recordings (energy 1 " in finished.out
    return folder


def test_evaluation_extraction_and_recognition_embed_the_same_speech(run: Path, paused: Corpus, tmp_path: Path) -> None:
    given = [f"checkpoint={run}", "data.num_workers=0", "device=cpu"]
    evaluated = run_here(
        "eval", *given, f"data.test_list={paused.val}", "interval_draws=0", f"hydra.run.dir={tmp_path}/e"
    )
    assert evaluated.status == 0, evaluated.out
    assert "looking for speech" not in evaluated.out  # the training has listened
    extracted = run_here("extract", *given, f"data.list={paused.val}", "normalise=true", f"output={tmp_path}/x")
    assert extracted.status == 0, extracted.out
    table = np.load(tmp_path / "x" / "embeddings.npy")
    loaded, files = (
        checkpoint.load(run),
        [paused.folder / line.split("\t")[0] for line in paused.val.read_text().splitlines()],
    )
    with Recognizer.load(run) as recognizer:
        heard = np.stack([recognizer.embed(file) for file in files])
    np.testing.assert_allclose(table, heard, atol=1e-5)
    by_hand = ModelEmbedder(loaded._replace(vad=None))
    assert isinstance(loaded.vad, Energy)
    waveforms = [audio.load(file, RATE) for file in files]
    np.testing.assert_allclose(by_hand([cut(each, loaded.vad(each, RATE)) for each in waveforms]), heard, atol=1e-5)
    assert np.abs(by_hand(waveforms) - heard).max() > 0.01  # the pauses would have been heard
    scores = [float(line.split("\t")[2]) for line in (tmp_path / "e" / "scores.tsv").read_text().splitlines()[1:]]
    np.testing.assert_allclose(scores, (heard @ heard.T)[np.triu_indices(len(heard), 1)], atol=1e-4)


def test_a_run_goes_on_with_its_own_detector_only(run: Path, paused: Corpus, tmp_path: Path) -> None:
    options = [*paused.lists, *tiny(), f"ckpt_path={run}", f"hydra.run.dir={tmp_path}/run", "trainer.max_epochs=2"]
    refused = run_here("train", *options)
    assert refused.status == 1
    assert "trained with another vad ({'_target_': 'speaker_id.vad.energy.Energy'" in refused.out
    assert run_here("train", "vad=energy", "vad.pad_seconds=0.2", *options).status == 1
    finished = run_here("train", "vad=energy", *options)
    assert finished.status == 0, finished.out


def test_a_recording_without_speech_stops_each_command_by_name(run: Path, paused: Corpus, tmp_path: Path) -> None:
    hiss = tmp_path / "hiss.wav"
    soundfile.write(hiss, 0.05 * np.random.default_rng(0).standard_normal(2 * RATE), RATE)
    rows = [f"{paused.folder}/{line}" for line in paused.val.read_text().splitlines()]
    (tmp_path / "list.tsv").write_text("\n".join([*rows, f"{hiss}\tdov"]) + "\n")
    before = contents(tmp_path)
    message = f"list.tsv, utterance 9 ({hiss}): {hiss} holds no speech"
    given = [f"checkpoint={run}", "data.num_workers=0", "device=cpu"]
    evaluated = run_here("eval", *given, f"data.test_list={tmp_path}/list.tsv", f"hydra.run.dir={tmp_path}/e")
    extracted = run_here("extract", *given, f"data.list={tmp_path}/list.tsv", f"output={tmp_path}/x")
    trained = run_here(
        "train",
        "vad=energy",
        f"data.train_list={tmp_path}/list.tsv",
        f"data.val_list={paused.val}",
        *tiny(),
        f"hydra.run.dir={tmp_path}/t",
    )
    for finished in (evaluated, extracted, trained):
        assert finished.status == 1
        assert message in finished.out
    assert before.items() <= contents(tmp_path).items()
    with Recognizer.load(run) as recognizer, pytest.raises(NoSpeech, match=r"hiss\.wav holds no speech"):
        recognizer.embed(hiss)
