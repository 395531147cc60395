"""Each disturbance is the size its name says, and the same for a recording in every run."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from inference.tiny_model import RATE, voice
from speaker_id import build
from speaker_id.audio import is_silent
from speaker_id.contracts import FloatArray
from speaker_id.data.lists import DataList, Utterance
from speaker_id.errors import ConfigError
from speaker_id.evaluation import disturbances
from speaker_id.evaluation.disturbances import FAMILIES, LINES, Condition, Cut, Setting, Talkers, make_conditions

TONES = {"ann": (400, 500), "bob": (1000, 1100), "cy": (2000,)}  # Hz, one a recording


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataList:
    """Speakers whose recordings are tones: what babble is made of shows in the spectrum."""
    folder, rows = tmp_path_factory.mktemp("tones"), []
    for label, pitches in TONES.items():
        for hz in pitches:
            sound = 0.3 * np.sin(2 * np.pi * hz * np.arange(2 * RATE) / RATE)
            soundfile.write(folder / f"{hz}.wav", sound, RATE, subtype="FLOAT")
            rows.append(Utterance(str(folder / f"{hz}.wav"), label, f"{hz}.wav"))
    return DataList("tones.tsv", tuple(rows))


def setting(data: DataList, **options: Any) -> Setting:
    return Setting(data, options.get("lengths", [RATE]), RATE, options.get("seed", 1), options.get("noise"))


def made(data: DataList, family: str, *levels: float | str, **options: Any) -> list[Condition]:
    return make_conditions({family: levels}, setting(data, **options))


def speech(num: int = RATE) -> FloatArray:
    return voice(150, num / RATE)


def ratio_db(clean: FloatArray, noisy: FloatArray) -> float:
    """Signal to noise, whatever the level of the mix: the noise is what the clean recording does not explain."""
    clean, noisy = clean.astype(np.float64), noisy.astype(np.float64)
    scale = noisy @ clean / (clean @ clean)
    return float(10 * np.log10(np.sum((scale * clean) ** 2) / np.sum((noisy - scale * clean) ** 2)))


def heard_hz(clean: FloatArray, noisy: FloatArray) -> set[int]:
    """Pitches in what was added, of a recording that holds a multiple of one second."""
    spectrum = np.abs(np.fft.rfft(noisy.astype(np.float64) - clean))
    return {int(bin_ * RATE / len(clean)) for bin_ in np.flatnonzero(spectrum > 0.1 * spectrum.max())}


@pytest.mark.parametrize("level", [20, 10, 5, 0])
@pytest.mark.parametrize("family", ["white_noise", "pink_noise", "babble"])
def test_noise_stands_at_its_ratio(data: DataList, family: str, level: float) -> None:
    (condition,) = made(data, family, level)
    assert ratio_db(speech(), condition.transform(speech(), "400.wav")) == pytest.approx(level, abs=0.15)


def test_pink_noise_falls_by_3_db_an_octave_and_white_noise_not_at_all(data: DataList) -> None:
    for family, fall in (("white_noise", 0.0), ("pink_noise", 3.01)):
        (condition,) = made(data, family, 0)
        long = 0.05 * np.sin(np.arange(20 * RATE)).astype(np.float32)
        power = np.abs(np.fft.rfft(condition.transform(long, "x") - long)) ** 2
        octave = [np.mean(power[20 * low : 20 * 2 * low]) for low in (200, 400, 800, 3200)]
        steps = 10 * np.log10(np.array(octave[:-1]) / octave[1:])
        np.testing.assert_allclose(steps, [fall, fall, 2 * fall], atol=0.25)


def test_every_level_has_the_same_noise(data: DataList) -> None:
    for family in ("white_noise", "pink_noise", "babble"):
        loud, quiet = (c.transform(speech(), "400.wav") - speech() for c in made(data, family, 10, 20))
        np.testing.assert_allclose(loud, quiet * np.sqrt(10), atol=1e-6)


def test_babble_is_made_of_other_speakers_only(data: DataList) -> None:
    talkers = Talkers(data, snr_db=10, sample_rate=RATE, seed=1)
    heard: set[int] = set()
    for take in range(8):  # by the length of the recording, the same rng is used at other places
        clean = speech((1 + take % 2) * RATE)
        found = heard_hz(clean, Talkers(data, snr_db=10, sample_rate=RATE, seed=take)(clean, "400.wav"))
        assert found <= {1000, 1100, 2000}
        heard |= found
    assert heard == {1000, 1100, 2000}
    assert heard_hz(speech(), talkers(speech(), "2000.wav")) <= {400, 500, 1000, 1100}


def test_where_nobody_says_who_speaks_babble_is_made_of_other_recordings(data: DataList) -> None:
    unlabelled = DataList("trials.txt", tuple(row._replace(label="") for row in data.utterances))
    found = [
        heard_hz(speech(), Talkers(unlabelled, snr_db=0, sample_rate=RATE, seed=seed)(speech(), "400.wav"))
        for seed in range(6)
    ]
    assert set().union(*found) == {500, 1000, 1100, 2000}


def test_babble_needs_somebody_else(data: DataList) -> None:
    alone = DataList("ann.tsv", data.utterances[:2])
    with pytest.raises(ConfigError, match=r"^stress_conditions.babble=10: ann.tsv holds no recording of another"):
        made(alone, "babble", 10)


def test_recorded_noise_comes_from_its_folder_and_is_left_out_without_one(data: DataList, tmp_path: Path) -> None:
    tone = 0.2 * np.sin(2 * np.pi * 3000 * np.arange(RATE) / RATE)
    soundfile.write(tmp_path / "hum.wav", tone, RATE, subtype="FLOAT")
    (condition,) = made(data, "recorded_noise", 5, noise=str(tmp_path))
    noisy = condition.transform(speech(), "400.wav")
    assert heard_hz(speech(), noisy) == {3000}
    assert ratio_db(speech(), noisy) == pytest.approx(5, abs=0.05)
    assert condition.words == "recorded noise at 5 dB"
    assert made(data, "recorded_noise", 5) == []
    with pytest.raises(ConfigError, match=r"stress_conditions.recorded_noise=5: .*missing does not exist; give anoth"):
        made(data, "recorded_noise", 5, noise=str(tmp_path / "missing"))


def test_an_echo_decays_by_60_db_in_its_time(data: DataList) -> None:
    click = np.zeros(RATE, np.float32)
    click[0] = 0.5
    (condition,) = made(data, "reverb", 0.4)
    echo = condition.transform(click, "x").astype(np.float64) ** 2
    direct, tail = echo[0], echo[1:]
    assert 10 * np.log10(direct / tail.sum()) == pytest.approx(0, abs=0.01)
    early, late = (10 * np.log10(tail[start : start + 1600].mean()) for start in (1600, 3200))  # 0.1 s apart
    assert early - late == pytest.approx(60 * 0.1 / 0.4, abs=1.5)


def test_a_telephone_keeps_300_to_3400_hz(data: DataList) -> None:
    white = (0.1 * np.random.default_rng(1).standard_normal(RATE)).astype(np.float32)
    conditions = made(data, "telephone", *LINES)
    assert [condition.words for condition in conditions] == list(LINES.values())
    for condition in conditions:
        power = np.abs(np.fft.rfft(condition.transform(white, "x"))) ** 2
        assert power[4500:].sum() < 0.01 * power[500:3000].sum()
        assert condition.level is None
    assert len({condition.transform(white, "x").tobytes() for condition in conditions}) == len(LINES)


@pytest.mark.parametrize(("family", "tolerance"), [("mp3", 0.05), ("opus", 0.2)])  # of a variable rate
def test_a_codec_spends_what_its_level_says(
    data: DataList, family: str, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    write = soundfile.write

    def weighed(file: io.BytesIO, *args: Any, **options: Any) -> None:
        write(file, *args, **options)
        sizes.append(len(file.getvalue()))

    monkeypatch.setattr(soundfile, "write", weighed)
    white = (0.1 * np.random.default_rng(1).standard_normal(8 * RATE)).astype(np.float32)
    for condition in made(data, family, 64, 32, 16):
        assert condition.transform(white, "x").shape == white.shape
        assert condition.unit == "kbit/s"
        assert sizes[-1] * 8 / 8 / 1000 == pytest.approx(condition.level, rel=tolerance)


def test_clipping_cuts_the_peaks_and_nothing_else(data: DataList) -> None:
    (condition,) = made(data, "clipping", 6.0206)  # a factor of 2
    clipped = condition.transform(speech(), "x")
    limit = np.abs(speech()).max() / 2
    np.testing.assert_allclose(clipped, np.clip(speech(), -limit, limit), atol=1e-6)


def test_gain_clips_at_full_scale_as_a_recorder_does(data: DataList) -> None:
    quiet, loud = made(data, "gain", -20, 20)
    ramp = np.linspace(-0.2, 0.2, 9, dtype=np.float32)
    np.testing.assert_allclose(quiet.transform(ramp, "x"), ramp / 10, rtol=1e-6)
    np.testing.assert_allclose(loud.transform(ramp, "x"), [-1, -1, -1, -0.5, 0, 0.5, 1, 1, 1], atol=1e-6)
    assert (quiet.words, loud.words) == ("gain of -20 dB", "gain of +20 dB")


def test_a_cut_is_a_stretch_of_the_recording_that_holds_sound() -> None:
    ramp = np.linspace(0, 0.5, 10 * RATE, dtype=np.float32)
    starts = set()
    for name in "abcdefgh":
        stretch = Cut(RATE, seed=1)(ramp, name)
        start = int(np.flatnonzero(ramp == stretch[0])[0])
        np.testing.assert_array_equal(stretch, ramp[start : start + RATE])
        starts.add(start)
    assert len(starts) == 8
    mostly_silent = np.zeros(10 * RATE, np.float32)
    mostly_silent[-50:] = 0.3
    assert not is_silent(Cut(RATE, seed=1)(mostly_silent, "a"))
    assert len(Cut(RATE, seed=1)(mostly_silent, "a")) == RATE


def test_a_shorter_recording_keeps_its_length_and_the_words_say_how_many(data: DataList) -> None:
    three, five = made(data, "cut", 3, 5, lengths=[2 * RATE, 3 * RATE, 4 * RATE, 5 * RATE])
    assert three.words == "cut to 3 s (1 of 4 recordings are shorter)"
    assert five.words == "cut to 5 s (3 of 4 recordings are shorter)"
    assert made(data, "cut", 2, lengths=[2 * RATE])[0].words == "cut to 2 s"
    assert (three.transform.length(2 * RATE), three.transform.length(4 * RATE)) == (2 * RATE, 3 * RATE)
    np.testing.assert_array_equal(three.transform(speech(2 * RATE), "x"), speech(2 * RATE))


EVERY: dict[str, Sequence[float | str]] = {
    "white_noise": [10], "pink_noise": [10], "recorded_noise": [10], "babble": [10], "reverb": [0.6],
    "telephone": list(LINES), "mp3": [32], "opus": [12], "clipping": [20], "gain": [20], "cut": [1],
}  # fmt: skip


def test_every_family_is_deterministic_keeps_its_promise_of_length_and_changes_no_argument(data: DataList) -> None:
    assert set(EVERY) == set(FAMILIES)
    conditions, again = (
        make_conditions(EVERY, setting(data, noise=str(Path(data.utterances[0].path).parent))) for _ in range(2)
    )
    assert [condition.family for condition in conditions if condition.family != "telephone"] == [
        family.replace("_", " ") for family in FAMILIES if family != "telephone"
    ]
    waveform = speech(3 * RATE)
    before = waveform.copy()
    for first, second in zip(conditions, again, strict=True):
        result = first.transform(waveform, "400.wav")
        np.testing.assert_array_equal(waveform, before)
        np.testing.assert_array_equal(result, second.transform(waveform, "400.wav"), err_msg=first.words)
        assert result.shape == (first.transform.length(len(waveform)),)
        assert result.dtype == np.float32
        assert np.abs(result).max() <= 1
        assert not np.array_equal(result, waveform), first.words


@pytest.mark.parametrize("family", ["white_noise", "pink_noise", "babble", "reverb", "cut"])
def test_another_recording_and_another_seed_are_disturbed_in_another_way(data: DataList, family: str) -> None:
    level = EVERY[family][0]
    results = [
        made(data, family, level, seed=seed)[0].transform(speech(3 * RATE), name)
        for seed, name in ((1, "400.wav"), (1, "500.wav"), (2, "400.wav"))
    ]
    assert len({result.tobytes() for result in results}) == 3


@pytest.mark.parametrize(
    ("family", "level", "message"),
    [
        ("noise", 10, r"stress_conditions knows no 'noise'; there are: white_noise, pink_noise"),
        ("white_noise", 500, r"^stress_conditions.white_noise=500: "),
        ("white_noise", "loud", r"^stress_conditions.white_noise=loud: levels are numbers"),
        ("gain", True, r"levels are numbers"),
        ("telephone", 3400, r"except telephone's: band, mulaw"),
        ("telephone", "radio", r"^stress_conditions.telephone=radio: there are: band, mulaw"),
        ("mp3", 500, r"^stress_conditions.mp3=500: mp3 at 16000 Hz takes 8 to 160 kbit/s"),
        ("opus", 2, r"opus at 16000 Hz takes 6 to 256 kbit/s"),
        ("cut", 0.2, r"^stress_conditions.cut=0.2: a cut in seconds must be at least 0.5"),
        ("cut", float("nan"), r"at least 0.5"),
        ("gain", float("nan"), r"^stress_conditions.gain=nan: "),
        ("reverb", 0, r"^stress_conditions.reverb=0: "),
        ("clipping", -3, r"^stress_conditions.clipping=-3: "),
    ],
)
def test_a_level_that_makes_no_sense_is_refused_by_its_key(
    data: DataList, family: str, level: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        made(data, family, level)


def test_a_family_may_be_switched_off(data: DataList) -> None:
    assert make_conditions({"gain": [], "cut": None, "clipping": [6]}, setting(data))[0].family == "clipping"  # type: ignore[dict-item]


@pytest.mark.skipif("stress_conditions" not in build.compose("eval"), reason="conf/eval.yaml has no stress yet")
def test_the_conditions_of_the_config_can_all_be_made(data: DataList, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "hum.wav", speech(), RATE)
    levels = build.plain(build.compose("eval").stress_conditions)
    assert set(levels) == set(FAMILIES)
    for rate in (8000, 16000, 44100, 48000):
        where = Setting(data, [rate], rate, 1, str(tmp_path))
        assert len(disturbances.make_conditions(levels, where)) == sum(map(len, levels.values()))
