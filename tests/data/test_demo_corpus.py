"""The demo's synthetic voices: who they are, how they are spoken, and when a corpus is built again."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from speaker_id.data import demo_corpus
from speaker_id.data.demo_corpus import CorpusSpec, DemoCorpus, _add_noise, _tilt, build_demo_corpus
from speaker_id.data.demo_voices import ACCENTS, VARIANTS, draw_sentences, draw_voices
from speaker_id.data.espeak import Espeak, Prosody
from speaker_id.data.lists import read_list
from speaker_id.errors import DataError

TINY = CorpusSpec(num_train_voices=2, num_test_voices=2, num_sentences=2)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> DemoCorpus:
    return build_demo_corpus(tmp_path_factory.mktemp("demo") / "corpus", TINY)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@given(st.integers(1, 300), st.integers(1, 90), st.integers(0, 2**32))
def test_no_variant_is_heard_in_training_and_test(num_train: int, num_test: int, seed: int) -> None:
    train, test = draw_voices(num_train, num_test, seed)
    assert (len(train), len(test)) == (num_train, num_test)
    assert not {voice.variant for voice in train} & {voice.variant for voice in test}
    names = [voice.name for voice in train + test]
    assert len(set(names)) == len(names)


def test_voices_of_one_variant_differ_by_more_than_four_per_cent_in_tract() -> None:
    train, test = draw_voices(CorpusSpec().num_train_voices, CorpusSpec().num_test_voices, 0)
    for variant in VARIANTS:
        tracts = np.sort([voice.tract for voice in train + test if voice.variant == variant])
        assert np.all(tracts[1:] / tracts[:-1] > 1.04)


@given(st.integers(1, 40), st.integers(0, 2**32))
def test_a_voice_never_says_a_sentence_twice(count: int, seed: int) -> None:
    sentences = draw_sentences(count, np.random.default_rng(seed))
    assert len(set(sentences)) == count
    assert all(7 <= len(sentence.split()) <= 17 for sentence in sentences)


def test_espeak_has_every_accent_and_every_variant() -> None:
    with Espeak() as espeak:
        for voice in [*ACCENTS, *(f"en+{variant}" for variant in VARIANTS)]:
            assert np.abs(espeak.speak("Good morning.", voice)).max() > 0.01, voice


def test_a_voice_that_does_not_exist_is_refused_by_name() -> None:
    with Espeak() as espeak:
        for voice in ("zz", "en+nobody", "en+"):
            with pytest.raises(DataError, match=f"no voice '{voice}'".replace("+", r"\+")):
                espeak.speak("Hello.", voice)


def test_the_rate_is_the_speed_of_speaking() -> None:
    text = "The old captain carried the heavy wooden box behind the school."
    with Espeak() as espeak:
        slow, fast = (len(espeak.speak(text, "en-us", Prosody(rate=rate))) for rate in (100, 200))
    assert 1.6 < slow / fast < 2.4


SPEAK = """
import hashlib, sys
from speaker_id.data.espeak import Espeak
with Espeak(seed=int(sys.argv[1])) as espeak:
    print(hashlib.sha256(espeak.speak("The quiet gardener.", "en-us+f3").tobytes()).hexdigest())
"""  # f3 breathes: it has noise of its own


def say_in_a_fresh_process(seed: int) -> bytes:
    return subprocess.run([sys.executable, "-c", SPEAK, str(seed)], check=True, capture_output=True).stdout


def test_fresh_processes_with_one_seed_say_the_same_samples() -> None:
    first = say_in_a_fresh_process(5)
    time.sleep(1.1)  # espeak's own seed would be the time in seconds
    assert say_in_a_fresh_process(5) == first
    assert say_in_a_fresh_process(6) != first


def test_only_one_espeak_may_be_open() -> None:
    with Espeak(), pytest.raises(DataError, match="already open"):
        Espeak()


def test_a_missing_espeak_names_the_package_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)  # what Python does for a package that is not there
    with pytest.raises(DataError, match=r"pip install 'speaker-id\[demo\]'"):
        build_demo_corpus(tmp_path / "corpus", TINY)
    assert not list(tmp_path.iterdir())


def test_every_listed_recording_is_there_at_16_khz_and_not_silent(corpus: DemoCorpus) -> None:
    listed = [row for path in (corpus.train_list, corpus.test_list) for row in read_list(path).utterances]
    assert len(listed) == 8
    for row in listed:
        waveform, sample_rate = soundfile.read(row.path)
        assert sample_rate == 16000
        assert waveform.ndim == 1
        assert 1.0 < len(waveform) / sample_rate < 9.0
        assert 0.1 < np.abs(waveform).max() < 1.0  # -15 to -1 dB at the peak
        assert len(np.unique(waveform)) > 1000


def test_training_and_test_lists_share_no_voice(corpus: DemoCorpus) -> None:
    train, test = (set(read_list(path).speakers) for path in (corpus.train_list, corpus.test_list))
    assert len(train) == len(test) == 2
    assert not train & test


def test_a_finished_corpus_is_used_again(corpus: DemoCorpus) -> None:
    before = {path: path.stat().st_mtime_ns for path in corpus.folder.rglob("*")}
    assert corpus.built
    assert not build_demo_corpus(corpus.folder, TINY).built
    assert {path: path.stat().st_mtime_ns for path in corpus.folder.rglob("*")} == before


def test_an_unfinished_corpus_is_built_again_with_the_same_bytes(corpus: DemoCorpus, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    shutil.copytree(corpus.folder, folder)
    (folder / "corpus.json").unlink()
    (folder / "train.tsv").write_text("")
    (tmp_path / "corpus.partial" / "train").mkdir(parents=True)  # what a killed build leaves
    told: list[tuple[int, int]] = []
    assert build_demo_corpus(folder, TINY, progress=lambda done, total: told.append((done, total))).built
    assert files(folder) == files(corpus.folder)
    assert told[-1] == (4, 4)
    assert not (tmp_path / "corpus.partial").exists()


def test_other_parameters_are_another_corpus(corpus: DemoCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(folder: Path, *_: object) -> None:
        built.append(folder)

    built: list[Path] = []
    monkeypatch.setattr(demo_corpus, "_build", build)
    build_demo_corpus(corpus.folder, TINY)
    assert built == []
    build_demo_corpus(corpus.folder, replace(TINY, seed=1))
    build_demo_corpus(corpus.folder, TINY, rebuild=True)
    assert built == [corpus.folder, corpus.folder]


def test_the_stamp_tells_the_parameters(corpus: DemoCorpus) -> None:
    stamp = json.loads((corpus.folder / "corpus.json").read_text())
    assert (stamp["num_train_voices"], stamp["num_sentences"], stamp["seed"]) == (2, 2, 0)


def test_a_folder_with_other_files_is_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match=r"holds 'thesis\.tex'"):
        build_demo_corpus(tmp_path, TINY, rebuild=True)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_tilt_of_3_db_lifts_4_khz_by_6_db_and_lowers_500_hz_by_3_db() -> None:
    times = np.arange(16000) / 16000
    for frequency, expected_db in ((4000, 6.0), (1000, 0.0), (500, -3.0), (50, -9.0)):
        tone = np.sin(2 * np.pi * frequency * times).astype(np.float32)
        gain_db = 20 * np.log10(np.std(_tilt(tone, 3.0)) / np.std(tone))
        assert gain_db == pytest.approx(expected_db, abs=0.05)


def test_added_noise_lies_15_to_30_db_under_the_speech() -> None:
    speech = np.sin(np.arange(16000, dtype=np.float32))
    for seed in range(20):
        noise = _add_noise(speech, np.random.default_rng(seed)) - speech
        assert 14.99 < 20 * np.log10(np.std(speech) / np.std(noise)) < 30.01
