"""Noise and babble: the ratio asked for is the ratio measured, and folders are read as they are."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from speaker_id import audio
from speaker_id.augmentation.babble import Babble, SyllabicNoise
from speaker_id.augmentation.mixing import below_full_scale, noise_at_snr, power
from speaker_id.augmentation.noise import AddNoise, ColouredNoise
from speaker_id.augmentation.sound_folder import SoundFolder
from speaker_id.contracts import FloatArray
from speaker_id.errors import AudioError, ConfigError, DataError

RATE = 16000


def speech(num: int = 16000) -> FloatArray:
    return (0.05 * np.random.default_rng(1).standard_normal(num)).astype(np.float32)


def tone(hz: float, rate: int, num: int) -> NDArray[np.float64]:
    return 0.3 * np.sin(2 * np.pi * hz * np.arange(num) / rate)


def snr_db(clean: FloatArray, mixed: FloatArray) -> float:
    """Independent of the code: noise by difference, power in double precision."""
    noise = mixed.astype(np.float64) - clean
    return float(10 * np.log10(np.sum(clean.astype(np.float64) ** 2) / np.sum(noise**2)))


def peak_hz(waveform: FloatArray, rate: int) -> float:
    return float(np.abs(np.fft.rfft(waveform)).argmax() * rate / len(waveform))


def add_noise(folder: Path | None, asked: float = 10.0, layers: int = 1) -> AddNoise:
    return AddNoise(prob=1, min_snr_db=asked, max_snr_db=asked, max_layers=layers, sample_rate=RATE, folder=folder)


@pytest.mark.parametrize("asked", [-3.0, 0.0, 12.5, 30.0])
@pytest.mark.parametrize("num_noise", [1000, 16000, 50000])
def test_the_measured_ratio_is_the_asked_ratio(tmp_path: Path, asked: float, num_noise: int) -> None:
    soundfile.write(tmp_path / "n.wav", 0.01 * np.random.default_rng(2).standard_normal(num_noise), RATE)
    for folder in (tmp_path, None):
        mixed = add_noise(folder, asked)(speech(), np.random.default_rng(3))
        assert snr_db(speech(), mixed) == pytest.approx(asked, abs=0.01)


def test_ratios_are_drawn_between_the_bounds() -> None:
    augmentation = AddNoise(prob=1, min_snr_db=5, max_snr_db=15, max_layers=1, sample_rate=RATE, folder=None)
    ratios = [snr_db(speech(), augmentation(speech(), np.random.default_rng(seed))) for seed in range(40)]
    assert 4.99 < min(ratios) < 7
    assert 13 < max(ratios) < 15.01


def test_layers_add_their_powers() -> None:
    ratios = [snr_db(speech(), add_noise(None, 10, layers=4)(speech(), np.random.default_rng(s))) for s in range(30)]
    numbers = [round(10 ** ((10 - ratio) / 10)) for ratio in ratios]  # k equal independent noises: k times the power
    assert set(numbers) == {1, 2, 3, 4}


def test_probability_is_the_part_that_is_changed() -> None:
    augmentation = AddNoise(prob=0.3, min_snr_db=5, max_snr_db=5, max_layers=1, sample_rate=RATE, folder=None)
    rng = np.random.default_rng(0)
    changed = [not np.array_equal(augmentation(speech(200), rng), speech(200)) for _ in range(500)]
    assert 0.24 < np.mean(changed) < 0.36


def test_a_short_noise_is_repeated_to_the_length(tmp_path: Path) -> None:
    sound = np.random.default_rng(4).uniform(-0.5, 0.5, 700).astype(np.float32)
    soundfile.write(tmp_path / "n.wav", sound, RATE, subtype="FLOAT")
    drawn = SoundFolder(tmp_path, RATE, instead="").draw(2000, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn[:1300], drawn[700:])
    np.testing.assert_array_equal(np.sort(drawn[:700]), np.sort(sound))


def test_a_long_noise_is_cut_at_random(tmp_path: Path) -> None:
    ramp = np.linspace(-0.9, 0.9, 9000).astype(np.float32)
    soundfile.write(tmp_path / "n.wav", ramp, RATE, subtype="FLOAT")
    sounds = SoundFolder(tmp_path, RATE, instead="")
    starts = set()
    for seed in range(20):
        drawn = sounds.draw(1000, np.random.default_rng(seed))
        start = int(np.searchsorted(ramp, drawn[0]))
        np.testing.assert_array_equal(drawn, ramp[start : start + 1000])
        starts.add(start)
    assert len(starts) > 15


@pytest.mark.parametrize("rate", [8000, 44100])
def test_noise_at_another_rate_keeps_its_pitch(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "n.flac", tone(1000, rate, rate * 2), rate)
    mixed = add_noise(tmp_path)(speech(), np.random.default_rng(0))
    assert peak_hz(mixed - speech(), RATE) == pytest.approx(1000, abs=2)


def test_files_are_found_in_subfolders_and_other_files_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    soundfile.write(tmp_path / "a" / "b" / "x.FLAC", tone(500, RATE, 100), RATE)
    soundfile.write(tmp_path / "y.mp3", tone(500, RATE, 3000), RATE)
    (tmp_path / "README.txt").write_text("not sound")
    (tmp_path / "._y.wav").write_bytes(b"what macOS leaves behind")
    names = [Path(path).name for path in SoundFolder(tmp_path, RATE, instead="").paths]
    assert names == ["x.FLAC", "y.mp3"]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_sounds_is_refused_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=rf"{name} .*augmentation\.waveform\.noise\.folder=null.*augmentation=none"):
        add_noise(tmp_path / name)


def test_a_corrupt_noise_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF, but nothing else")
    with pytest.raises(AudioError, match=r"broken\.wav"):
        add_noise(tmp_path)(speech(), np.random.default_rng(0))


def test_silent_stretches_are_drawn_again_but_not_for_ever(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(30000), RATE)
    with pytest.raises(AudioError, match="all silent"):
        add_noise(tmp_path)(speech(), np.random.default_rng(0))
    soundfile.write(tmp_path / "tone.wav", tone(700, RATE, 30000), RATE)
    for seed in range(20):
        mixed = add_noise(tmp_path)(speech(), np.random.default_rng(seed))
        assert peak_hz(mixed - speech(), RATE) == pytest.approx(700, abs=2)


def test_generated_noise_ranges_from_white_to_brown() -> None:
    slopes = []
    for seed in range(60):
        spectrum = np.abs(np.fft.rfft(ColouredNoise(RATE).draw(32000, np.random.default_rng(seed)))) ** 2
        low, high = spectrum[200:400].mean(), spectrum[6400:12800].mean()  # 100 to 200 Hz, 3.2 to 6.4 kHz: 5 octaves
        slopes.append(np.log2(low / high) / 5)
    assert -0.1 < min(slopes) < 0.2
    assert 1.8 < max(slopes) < 2.1


def test_a_mix_over_full_scale_is_scaled_down_as_a_whole() -> None:
    mix = np.array([0.5, -2.0, 1.0], np.float32)
    np.testing.assert_array_equal(below_full_scale(mix), [0.25, -1.0, 0.5])
    np.testing.assert_array_equal(below_full_scale(mix / 4), mix / 4)


def test_scaling_to_a_ratio_by_hand() -> None:
    loud, noise = np.array([2.0, -2.0], np.float32), np.array([1.0, 0.0], np.float32)
    assert power(noise_at_snr(loud, noise, 10)) == pytest.approx(0.4)  # 4 / 10
    assert power(noise_at_snr(loud, noise, 0)) == pytest.approx(4.0)


def test_babble_holds_the_asked_number_of_equal_talkers_at_the_asked_ratio(tmp_path: Path) -> None:
    pitches = [300, 500, 700, 1100, 1300]
    for index, hz in enumerate(pitches):
        soundfile.write(tmp_path / f"{hz}.wav", tone(hz, RATE, 30000) / (index + 1), RATE, subtype="FLOAT")
    augmentation = Babble(
        prob=1, min_snr_db=15, max_snr_db=15, min_talkers=3, max_talkers=3, sample_rate=RATE, folder=tmp_path
    )
    for seed in range(30):
        mixed = augmentation(speech(), np.random.default_rng(seed))
        assert snr_db(speech(), mixed) == pytest.approx(15, abs=0.01)
        lines = np.abs(np.fft.rfft(mixed - speech()))[pitches]  # 1 s: one bin a hertz
        heard = lines[lines > 0.01 * lines.max()]
        assert len(heard) <= 3
        if len(heard) == 3:  # no recording was drawn twice
            np.testing.assert_allclose(heard, heard[0], rtol=0.01)
            break
    else:
        pytest.fail("never three different talkers")


def test_babble_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="any folder of speech"):
        Babble(
            prob=1, min_snr_db=1, max_snr_db=2, min_talkers=3, max_talkers=7, sample_rate=RATE, folder=tmp_path / "no"
        )


def test_only_the_drawn_stretch_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "n.wav", tone(500, RATE, 50000), RATE)
    asked: list[int | None] = []
    load = audio.load

    def spy(source: str, sample_rate: int, *, start: int = 0, num: int | None = None) -> FloatArray:
        asked.append(num)
        return load(source, sample_rate, start=start, num=num)

    monkeypatch.setattr(audio, "load", spy)
    add_noise(tmp_path)(speech(4000), np.random.default_rng(0))
    assert asked == [4000]


def test_every_layer_is_at_its_own_asked_ratio(tmp_path: Path) -> None:
    pitches = [500, 1500, 2500, 3500]
    for hz in pitches:
        soundfile.write(tmp_path / f"{hz}.wav", tone(hz, RATE, 20000) * hz / 3500, RATE, subtype="FLOAT")
    augmentation = AddNoise(prob=1, min_snr_db=5, max_snr_db=15, max_layers=2, sample_rate=RATE, folder=tmp_path)
    ratios, seen = [], 0
    for seed in range(40):
        added = augmentation(speech(), np.random.default_rng(seed)).astype(np.float64) - speech()
        lines = np.abs(np.fft.rfft(added))[pitches] / RATE * 2  # 1 s: the amplitude of each tone
        heard = lines[lines > 1e-4]
        if len(heard) == 2:  # two layers, of two recordings
            ratios += (10 * np.log10(power(speech()) / (heard**2 / 2))).tolist()
            seen += 1
    assert seen > 10
    assert 4.9 < min(ratios) < 7
    assert 13 < max(ratios) < 15.1


@pytest.fixture
def noises(tmp_path: Path) -> Path:
    (tmp_path / "deeper").mkdir()
    for name, num in (("a.wav", 3000), ("deeper/b.wav", 40000), ("c.wav", 30000)):
        soundfile.write(tmp_path / name, 0.1 * np.random.default_rng(num).standard_normal(num), RATE)
    return tmp_path


def test_a_list_names_its_files_with_labels_or_without(noises: Path) -> None:
    source = noises / "list.tsv"
    source.write_text(f"# noises\na.wav\n\n{noises}/c.wav\ttraffic\ndeeper/b.wav\n", encoding="utf-8")
    sounds = SoundFolder(source, RATE, instead="")
    assert [str(Path(path).relative_to(noises)) for path in sounds.paths] == ["a.wav", "c.wav", "deeper/b.wav"]
    assert snr_db(speech(), add_noise(source, 7)(speech(), np.random.default_rng(0))) == pytest.approx(7, abs=0.01)


def test_a_single_recording_serves_as_a_list_of_one(noises: Path) -> None:
    assert SoundFolder(noises / "c.wav", RATE, instead="").paths == [str(noises / "c.wav")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a.wav\nmissing.wav\tx\n", r"list\.txt:2: no such file: .*missing\.wav; relative paths start at"),
        (b"a.wav\n\tlabel\n", r"list\.txt:2: no such file"),
        (b"\xff\xfe\x00", "neither audio nor UTF-8"),
    ],
)
def test_a_bad_line_of_a_list_is_named(noises: Path, text: bytes, message: str) -> None:
    (noises / "list.txt").write_bytes(text)
    with pytest.raises(DataError, match=message):
        add_noise(noises / "list.txt")


def test_an_empty_or_missing_list_is_refused_with_what_to_do(noises: Path) -> None:
    (noises / "empty.txt").write_text("# nothing\n", encoding="utf-8")
    for name, fault in (("empty.txt", "list .* holds no audio files"), ("missing.txt", "does not exist")):
        with pytest.raises(ConfigError, match=rf"{fault}; .*openslr\.org/17.*`augmentation=none`"):
            add_noise(noises / name)


def test_whole_files_give_the_same_samples_and_are_read_once(noises: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stretches, whole = (SoundFolder(noises, 8000, instead="", whole_files=whole) for whole in (False, True))
    expected = [stretches.draw(1000, np.random.default_rng(seed)) for seed in range(20)]
    asked: list[str] = []
    load = audio.load
    monkeypatch.setattr(audio, "load", lambda path, rate: asked.append(path) or load(path, rate))
    for seed in range(20):
        drawn = whole.draw(1000, np.random.default_rng(seed))
        np.testing.assert_allclose(drawn, expected[seed], atol=2e-7)  # converted in pieces, rounded otherwise
    assert sorted(asked) == sorted(whole.paths)


def test_generated_talkers_sound_at_the_rhythm_and_in_the_band_of_speech() -> None:
    talker = SyllabicNoise(RATE).draw(20 * RATE, np.random.default_rng(0)).astype(np.float64)
    spectrum = np.abs(np.fft.rfft(talker)) ** 2  # 20 s: 20 bins a hertz
    bands = [spectrum[20 * hz : 20 * 2 * hz].mean() for hz in (125, 1000, 2000, 4000)]
    assert spectrum[: 20 * 60].mean() < 0.01 * bands[0]
    assert 10 * np.log10(bands[1] / bands[2]) == pytest.approx(9, abs=1.5)
    assert 10 * np.log10(bands[2] / bands[3]) == pytest.approx(9, abs=1.0)
    level = np.sqrt(np.mean(talker.reshape(-1, RATE // 50) ** 2, axis=1))  # every 20 ms
    rhythm = np.abs(np.fft.rfft(level - level.mean())) ** 2  # 20 s: a bin is 0.05 Hz, up to 25 Hz
    assert rhythm[: 20 * 8].sum() > 0.8 * rhythm.sum()
    assert 20 * np.log10(np.percentile(level, 95) / np.percentile(level, 5)) > 10
