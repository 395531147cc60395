"""A corpus of synthetic voices for the demo: espeak-ng speaks, a little room and noise is added.

Layout: `train.tsv`, `test.tsv` (`<relative path>\t<voice>`), `train/<voice>/<nn>.flac`, `test/...`, `corpus.json`.
Every test voice is unknown to training, and so is its espeak variant: nothing but the accents and the words is shared.
The corpus depends on its parameters alone, not on the number of processors (on one platform: espeak uses libc's rand).
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from speaker_id.contracts import FloatArray
from speaker_id.data.demo_voices import SENTENCE_PARTS, Voice, draw_sentences, draw_voices
from speaker_id.data.espeak import Espeak, Prosody, require_espeak
from speaker_id.errors import DataError

SAMPLE_RATE = 16000
_RECIPE = 1  # raise it when a voice no longer sounds the same
_STAMP = "corpus.json"
_ENTRIES = {"train", "test", "train.tsv", "test.tsv", _STAMP}
_NUM_PROCESSES = 2  # fixed, so that the corpus is the same on every machine: a process keeps espeak's state

Progress = Callable[[int, int], None]  # voices done, voices in all


@dataclass(frozen=True)
class CorpusSpec:
    """The parameters of a corpus; the same ones give the same corpus."""

    num_train_voices: int = 192
    num_test_voices: int = 40
    num_sentences: int = 12
    seed: int = 0


@dataclass(frozen=True)
class DemoCorpus:
    """Where a corpus lies, and whether this call has just built it."""

    folder: Path
    train_list: Path
    test_list: Path
    built: bool


def build_demo_corpus(
    folder: Path, spec: CorpusSpec = CorpusSpec(), *, rebuild: bool = False, progress: Progress = lambda *_: None
) -> DemoCorpus:
    """The corpus in `folder`, built when it is missing, unfinished, of other parameters, or `rebuild` is asked for.

    Raises DataError when `espeakng-loader` is missing, or `folder` holds files that no build of ours has made.
    """
    corpus = DemoCorpus(folder, folder / "train.tsv", folder / "test.tsv", built=rebuild or not _is_built(folder, spec))
    if corpus.built:
        require_espeak()
        _refuse_foreign(folder)
        _build(folder, spec, progress)
    return corpus


def _build(folder: Path, spec: CorpusSpec, progress: Progress) -> None:
    partial = _start_afresh(folder)
    train, test = draw_voices(spec.num_train_voices, spec.num_test_voices, spec.seed)
    homes = [(f"train/{voice.name}", voice) for voice in train] + [(f"test/{voice.name}", voice) for voice in test]
    _speak_all(partial, homes, spec, progress)
    for name, voices in (("train", train), ("test", test)):
        (partial / f"{name}.tsv").write_text("".join(_rows(name, voices, spec)), encoding="utf-8")
    (partial / _STAMP).write_text(_stamp(spec), encoding="utf-8")  # last: without it the corpus is unfinished
    partial.rename(folder)


def _start_afresh(folder: Path) -> Path:
    """An empty `<folder>.partial`; it takes the place of `folder` when all is written."""
    partial = folder.with_name(folder.name + ".partial")
    try:
        for old in (partial, folder):
            if old.exists():
                shutil.rmtree(old)
        partial.mkdir(parents=True)
    except OSError as error:
        raise DataError(f"cannot start a corpus in {folder}: {error}") from None
    return partial


def _speak_all(root: Path, homes: list[tuple[str, Voice]], spec: CorpusSpec, progress: Progress) -> None:
    """One fresh process a share: espeak is not thread-safe, and leaves traces of what it said before."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(_NUM_PROCESSES, mp_context=spawn, max_tasks_per_child=1) as pool:
        jobs: list[Future[None]] = [
            pool.submit(_speak_share, root, homes[first::_NUM_PROCESSES], spec) for first in range(_NUM_PROCESSES)
        ]
        pending = set(jobs)
        while pending:
            _, pending = wait(pending, timeout=0.25)
            progress(sum(1 for _ in root.glob("*/*/")), len(homes))
    for job in jobs:
        job.result()


def _speak_share(root: Path, homes: Sequence[tuple[str, Voice]], spec: CorpusSpec) -> None:
    with Espeak(seed=spec.seed) as espeak:
        for home, voice in homes:
            rng = np.random.default_rng([spec.seed, *home.encode()])
            recordings = [_record(espeak, voice, text, rng) for text in draw_sentences(spec.num_sentences, rng)]
            _write(root / home, recordings)


def _write(folder: Path, recordings: Sequence[FloatArray]) -> None:
    try:
        folder.mkdir(parents=True)
        for number, recording in enumerate(recordings):
            soundfile.write(folder / f"{number:02d}.flac", recording, SAMPLE_RATE, subtype="PCM_16")
    except (OSError, soundfile.LibsndfileError) as error:
        raise DataError(f"could not write {folder}: {error}; the corpus needs about 250 MB") from None


def _record(espeak: Espeak, voice: Voice, text: str, rng: np.random.Generator) -> FloatArray:
    """One sentence of one voice: said a little differently each time, into a microphone in a room of its own."""
    prosody = Prosody(
        pitch=round(voice.pitch + rng.uniform(-6, 6)),
        pitch_range=round(voice.pitch_range + rng.uniform(-8, 8)),
        rate=round(voice.rate * rng.uniform(0.92, 1.08)),
    )
    dry = espeak.speak(text, f"{voice.accent}+{voice.variant}", prosody)
    # Played faster by 1 / tract: what a shorter vocal tract does to the formants.
    sized = soxr.resample(dry, espeak.sample_rate / voice.tract, SAMPLE_RATE)
    shaped = _tilt(sized, voice.tilt_db + rng.uniform(-1, 1))  # the voice's own tilt, and the microphone's
    return _finish(_add_noise(_reverberate(shaped, rng), rng), rng)


def _tilt(waveform: FloatArray, tilt_db: float) -> FloatArray:
    """A straight line of `tilt_db` an octave through 0 dB at 1 kHz, level below 125 Hz."""
    size = next_fast_len(len(waveform), real=True)
    octaves = np.log2(np.maximum(rfftfreq(size, 1 / SAMPLE_RATE), 125.0) / 1000)
    gains = (10 ** (tilt_db * octaves / 20)).astype(np.float32)
    return _float(irfft(rfft(waveform, size) * gains, size)[: len(waveform)])


def _reverberate(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Exponentially decaying noise as room: 0.1 to 0.4 s to -60 dB, 5 to 20 dB under the direct sound."""
    decay, level_db = rng.uniform(0.1, 0.4), rng.uniform(-20, -5)
    times = np.arange(int(decay * SAMPLE_RATE)) / SAMPLE_RATE
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / decay)
    tail *= 10 ** (level_db / 20) / np.linalg.norm(tail)
    tail[0] = 1.0
    size = next_fast_len(len(waveform) + len(tail), real=True)
    return _float(irfft(rfft(waveform, size) * rfft(_float(tail), size), size)[: len(waveform)])


def _add_noise(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Noise between white and pink, 15 to 30 dB under the speech."""
    snr_db, slope = rng.uniform(15, 30), rng.uniform(0, 0.5)
    size = next_fast_len(len(waveform), real=True)
    spectrum = rfft(rng.standard_normal(size, dtype=np.float32))
    noise = irfft(spectrum * np.maximum(np.arange(len(spectrum)), 1) ** -slope, size)[: len(waveform)]
    gain = np.sqrt(np.mean(waveform**2) / np.mean(noise**2)) * 10 ** (-snr_db / 20)
    return _float(waveform + gain * noise)


def _float(samples: NDArray[np.floating]) -> FloatArray:
    return samples.astype(np.float32, copy=False)


def _finish(waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
    peak_db = rng.uniform(-15, -1)
    return waveform * np.float32(10 ** (peak_db / 20) / np.abs(waveform).max())


def _rows(name: str, voices: Sequence[Voice], spec: CorpusSpec) -> list[str]:
    return [f"{name}/{voice.name}/{n:02d}.flac\t{voice.name}\n" for voice in voices for n in range(spec.num_sentences)]


def _stamp(spec: CorpusSpec) -> str:
    """What the corpus is made of, as text; the hash covers the voices and sentences too."""
    drawn = (_RECIPE, draw_voices(spec.num_train_voices, spec.num_test_voices, spec.seed), SENTENCE_PARTS)
    digest = hashlib.sha256(repr(drawn).encode()).hexdigest()
    return json.dumps({**asdict(spec), "recipe": digest}, indent=2) + "\n"


def _is_built(folder: Path, spec: CorpusSpec) -> bool:
    stamp = folder / _STAMP
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _stamp(spec)


def _refuse_foreign(folder: Path) -> None:
    foreign = sorted({path.name for path in folder.iterdir()} - _ENTRIES) if folder.is_dir() else []
    if foreign:
        raise DataError(f"{folder} holds {foreign[0]!r}, which is no part of a demo corpus: choose another folder")
