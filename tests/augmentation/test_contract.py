"""What every augmentation promises, over every class and over every leaf of conf/augmentation."""

import copy
import inspect
import pickle
import pkgutil
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

import speaker_id.augmentation
from speaker_id.augmentation.babble import Babble, SyllabicNoise
from speaker_id.augmentation.band import BandLimit
from speaker_id.augmentation.chain import Chain, OneOf
from speaker_id.augmentation.chunk_drop import ChunkDrop
from speaker_id.augmentation.clipping import Clipping
from speaker_id.augmentation.codec import Codec
from speaker_id.augmentation.equalise import Equalise
from speaker_id.augmentation.feature_chain import FeatureChain
from speaker_id.augmentation.frequency_drop import FrequencyDrop
from speaker_id.augmentation.musan import Musan
from speaker_id.augmentation.noise import AddNoise, ColouredNoise
from speaker_id.augmentation.resample import Resample
from speaker_id.augmentation.reverb import Reverb
from speaker_id.augmentation.reverse import ReverseAppend
from speaker_id.augmentation.shift import Shift
from speaker_id.augmentation.sound_folder import SoundFolder
from speaker_id.augmentation.specaugment import SpecAugment
from speaker_id.augmentation.specsub import SpecSub
from speaker_id.augmentation.speed import Speed
from speaker_id.augmentation.volume import Volume
from speaker_id.contracts import FloatArray, WaveformAugmentation
from speaker_id.errors import ConfigError

RATE = 16000
LEAVES = sorted((Path(__file__).parents[2] / "conf" / "augmentation").glob("*.yaml"))

NOISE: dict[str, Any] = {"min_snr_db": 0, "max_snr_db": 20, "max_layers": 2, "sample_rate": RATE}
BABBLE: dict[str, Any] = {"min_snr_db": 0, "max_snr_db": 20, "min_talkers": 3, "max_talkers": 7, "sample_rate": RATE}
ROOM: dict[str, Any] = {"min_rt60": 0.2, "max_rt60": 0.8, "min_drr_db": 0, "max_drr_db": 9, "sample_rate": RATE}
BAND: dict[str, Any] = {
    "min_low_hz": 50,
    "max_low_hz": 300,
    "min_high_hz": 3e3,
    "max_high_hz": 4e3,
    "sample_rate": RATE,
}
MUSAN: dict[str, Any] = {
    "sample_rate": RATE,
    "speech_weight": 1, "min_speech_snr_db": 13, "max_speech_snr_db": 20, "min_talkers": 3, "max_talkers": 7,
    "music_weight": 1, "min_music_snr_db": 5, "max_music_snr_db": 15,
    "noise_weight": 1, "min_noise_snr_db": 0, "max_noise_snr_db": 15,
}  # fmt: skip
CODEC: dict[str, Any] = {"codecs": ["mulaw"], "min_compression": 0, "max_compression": 1, "sample_rate": RATE}
FRACTION: dict[str, Any] = {"min_fraction": 0.01, "max_fraction": 0.1, "min_gain_db": None, "max_gain_db": None}
GAIN: dict[str, Any] = {"min_fraction": None, "max_fraction": None, "min_gain_db": 3, "max_gain_db": 12}
CHUNKS: dict[str, Any] = {"min_chunks": 1, "max_chunks": 5, "min_samples": 1000, "max_samples": 2000}
MAKERS: dict[str, Callable[[Path], WaveformAugmentation]] = {
    "AddNoise": lambda folder: AddNoise(prob=1, folder=folder, **NOISE),
    "AddNoise generated": lambda _: AddNoise(prob=1, folder=None, **NOISE),
    "AddNoise whole files": lambda folder: AddNoise(prob=1, folder=folder, whole_files=True, **NOISE),
    "Babble": lambda folder: Babble(prob=1, folder=folder, **BABBLE),
    "Babble generated": lambda _: Babble(prob=1, folder=None, **BABBLE),
    "BandLimit": lambda _: BandLimit(prob=1, **BAND),
    "Chain": lambda _: Chain(volume=Volume(prob=1, min_db=-6, max_db=6), off=None, band=BandLimit(prob=1, **BAND)),
    "ChunkDrop": lambda _: ChunkDrop(prob=1, **CHUNKS),
    "Clipping by fraction": lambda _: Clipping(prob=1, **FRACTION),
    "Clipping by gain": lambda _: Clipping(prob=1, **GAIN),
    "Codec": lambda _: Codec(prob=1, **{**CODEC, "codecs": ["mulaw", "alaw", "gsm", "mp3", "vorbis"]}),
    "Equalise": lambda _: Equalise(prob=1, max_gain_db=9, num_points=7),
    "FrequencyDrop": lambda _: FrequencyDrop(prob=1, min_bands=1, max_bands=3, width=0.05),
    "Musan": lambda folder: Musan(prob=1, folder=folder, **MUSAN),
    "OneOf": lambda _: OneOf(prob=1, reverse=ReverseAppend(prob=1), volume=Volume(prob=1, min_db=-6, max_db=6)),
    "Resample": lambda _: Resample(prob=1, rates=[8000, 32000, 44100, 48000], sample_rate=RATE),
    "Reverb": lambda folder: Reverb(prob=1, folder=folder, **ROOM),
    "Reverb simulated": lambda _: Reverb(prob=1, folder=None, **ROOM),
    "ReverseAppend": lambda _: ReverseAppend(prob=1),
    "Shift": lambda _: Shift(prob=1, min_ms=-5, max_ms=5, sample_rate=RATE),
    "Speed": lambda _: Speed(prob=1, rates=[0.9, 0.95, 1.05, 1.1], sample_rate=RATE),
    "Speed at any": lambda _: Speed(
        prob=1, rates=None, min_rate=0.9, max_rate=1.1, num_rates=-1, sample_rate=RATE
    ),
    "Volume": lambda _: Volume(prob=1, min_db=-15, max_db=10),
}  # fmt: skip


def speech(num: int = 12345) -> FloatArray:
    """Not speech, but as uneven: noise with a moving level."""
    rng = np.random.default_rng(5)
    return (0.1 * rng.standard_normal(num) * (1 + np.sin(np.arange(num) / 900))).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)
    (path / "deeper").mkdir()
    sizes = {"short.wav": 900, "long.flac": 40000, "deeper/other.ogg": 20000}
    for name in ("speech", "music", "noise"):  # as MUSAN lies on the disc
        (path / name).mkdir()
        sizes[f"{name}/{name}.wav"] = 30000
    for name, num in sizes.items():
        soundfile.write(path / name, 0.2 * rng.standard_normal(num), RATE)
    return path


def check_contract(augmentation: WaveformAugmentation, *, changes: bool) -> None:
    waveform = speech()
    before = waveform.copy()
    outputs = [augmentation(waveform, np.random.default_rng(seed)) for seed in range(12)]
    np.testing.assert_array_equal(waveform, before)
    for seed, output in enumerate(outputs):
        assert output.shape == waveform.shape
        assert output.dtype == np.float32
        assert len(torch.from_numpy(output)) == len(waveform)  # which takes no reversed view
        assert np.abs(output).max() <= 1.0
        np.testing.assert_array_equal(augmentation(waveform, np.random.default_rng(seed)), output)
    assert changes == any(not np.array_equal(output, outputs[0]) for output in outputs)
    silent = np.zeros(4000, np.float32)
    assert all(not augmentation(silent, np.random.default_rng(seed)).any() for seed in range(12))
    assert len(augmentation(speech(1), np.random.default_rng(0))) == 1


@pytest.mark.parametrize("name", MAKERS)
def test_every_class_keeps_the_contract(name: str, folder: Path) -> None:
    augmentation = MAKERS[name](folder)
    check_contract(augmentation, changes=True)
    check_contract(pickle.loads(pickle.dumps(augmentation)), changes=True)  # noqa: S301  as it travels to a worker


@pytest.mark.parametrize("name", MAKERS)
def test_every_length_is_restored(name: str, folder: Path) -> None:
    augmentation = MAKERS[name](folder)

    @settings(max_examples=15)
    @given(num=st.integers(1, 3000), seed=st.integers(0, 99))
    def check(num: int, seed: int) -> None:
        waveform = speech(num)
        waveform.flags.writeable = False  # whoever writes into its input fails here
        output = augmentation(waveform, np.random.default_rng(seed))
        assert output.shape == waveform.shape
        assert output.dtype == np.float32
        assert np.isfinite(output).all()

    check()


@pytest.mark.parametrize("name", MAKERS)
def test_the_global_random_state_plays_no_part(name: str, folder: Path) -> None:
    augmentation = MAKERS[name](folder)
    np.random.seed(1)  # noqa: NPY002
    state = np.random.get_state()  # noqa: NPY002
    augmentation(speech(), np.random.default_rng(3))
    np.testing.assert_equal(np.random.get_state(), state)  # noqa: NPY002


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "Chain"])
def test_probability_zero_changes_nothing(name: str, folder: Path) -> None:
    augmentation: Any = copy.copy(MAKERS[name](folder))
    augmentation.prob = 0.0
    np.testing.assert_array_equal(augmentation(speech(), np.random.default_rng(0)), speech())


def test_every_class_of_the_package_is_in_this_table() -> None:
    public = set()
    for module in pkgutil.iter_modules(speaker_id.augmentation.__path__, "speaker_id.augmentation."):
        members = inspect.getmembers(import_module(module.name), inspect.isclass)
        public |= {name for name, member in members if member.__module__ == module.name}
    parts = {cls.__name__ for cls in (ColouredNoise, SyllabicNoise, SoundFolder, SpecAugment, SpecSub, FeatureChain)}
    public = {name for name in public if not name.startswith("_")}
    assert public - parts == {name.split()[0] for name in MAKERS}


def from_leaf(leaf: Path, folder: Path | str = "???", prob: float | None = None) -> Any:
    """What a training would make; what the user must give is `folder`, and `prob` replaces every probability."""
    text = leaf.read_text(encoding="utf-8").replace("???", str(folder))
    if prob is not None:
        text = re.sub(r"prob: [\d.]+", f"prob: {prob}", text)
    config = OmegaConf.create({"feature": {"sample_rate": RATE}, "augmentation": OmegaConf.create(text)})
    return instantiate(config.augmentation)


@pytest.mark.parametrize("prob", [None, 1.0])
@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.stem)
def test_every_leaf_keeps_the_contract(leaf: Path, prob: float | None, folder: Path) -> None:
    augmentation = from_leaf(leaf, folder, prob)
    assert set(augmentation) == {"waveform", "feature"}
    steps = augmentation.waveform.steps.values()
    check_contract(augmentation.waveform, changes=any(step.prob > 0 for step in steps))
    if augmentation.feature is not None:
        features = torch.randn(40, 80, 100)
        before = features.clone()
        torch.testing.assert_close(augmentation.feature.eval()(features), before, rtol=0, atol=0)
        changed = augmentation.feature.train()(features)
        assert changed.shape == before.shape
        assert prob is None or not torch.equal(changed, before)


def test_only_recordings_that_nobody_can_generate_are_asked_for() -> None:
    asking = {leaf.stem for leaf in LEAVES if "???" in leaf.read_text(encoding="utf-8")}
    assert asking == {"musan", "musan_rirs"}


def test_the_leaf_none_does_nothing() -> None:
    augmentation = from_leaf(LEAVES[0].with_name("none.yaml"))
    np.testing.assert_array_equal(augmentation.waveform(speech(), np.random.default_rng(0)), speech())
    assert augmentation.feature is None


def test_a_chain_applies_its_steps_in_order_and_skips_none() -> None:
    class Times:
        def __init__(self, factor: float, offset: float) -> None:
            self.factor, self.offset = np.float32(factor), np.float32(offset)

        def __call__(self, waveform: FloatArray, rng: np.random.Generator) -> FloatArray:
            return waveform * self.factor + self.offset

    chain = Chain(double=Times(2, 0), nothing=None, add=Times(1, 3))
    np.testing.assert_array_equal(chain(np.ones(2, np.float32), np.random.default_rng(0)), [5, 5])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AddNoise(prob=1.5, folder=None, **NOISE), "prob must lie in"),
        (lambda: AddNoise(prob=float("nan"), folder=None, **NOISE), "prob must lie in"),
        (lambda: AddNoise(prob=1, folder=None, **{**NOISE, "min_snr_db": 30}), "min_snr_db = 30 and max_snr_db = 20"),
        (lambda: AddNoise(prob=1, folder=None, **{**NOISE, "max_layers": 0}), "max_layers must be at least 1"),
        (lambda: Babble(prob=1, folder=".", **{**BABBLE, "max_talkers": 2}), "max_talkers must be at least 3"),
        (lambda: Reverb(prob=1, folder=None, **{**ROOM, "min_rt60": 0.0}), "min_rt60 = 0.0"),
        (lambda: BandLimit(prob=1, **{**BAND, "max_high_hz": 9000}), "max_high_hz = 9000"),
        (lambda: BandLimit(prob=1, **{**BAND, "max_low_hz": 3500}), "max_low_hz = 3500 must lie below"),
        (lambda: Equalise(prob=1, max_gain_db=-1, num_points=7), "max_gain_db = -1"),
        (lambda: Equalise(prob=1, max_gain_db=9, num_points=1), "num_points must be at least 2"),
        (lambda: Speed(prob=1, rates=[], sample_rate=RATE), "rates must be one or more"),
        (lambda: Speed(prob=1, rates=[0.9, 3], sample_rate=RATE), "between 0.5 and 2"),
        (lambda: Speed(prob=1, rates=None, sample_rate=RATE), "min_rate = None and max_rate = None"),
        (lambda: Speed(prob=1, rates=[1.1], num_rates=3, sample_rate=RATE), "give either rates, or min_rate"),
        (lambda: Shift(prob=1, min_ms=5, max_ms=-5, sample_rate=RATE), "min_ms = 5 and max_ms = -5"),
        (lambda: Resample(prob=1, rates=[], sample_rate=RATE), "rates must be one or more"),
        (lambda: Resample(prob=1, rates=[8], sample_rate=RATE), "between 2000 and 192000 Hz"),
        (lambda: Clipping(prob=1, **{**FRACTION, "max_fraction": None}), "max_fraction = None must both be given"),
        (lambda: Clipping(prob=1, **{**FRACTION, "max_fraction": 1.5}), "max_fraction = 1.5"),
        (lambda: Clipping(prob=1, **{**GAIN, **FRACTION, "min_gain_db": 1, "max_gain_db": 2}), "give one pair"),
        (lambda: ChunkDrop(prob=1, **{**CHUNKS, "max_samples": 999}), "max_samples must be at least 1000"),
        (lambda: FrequencyDrop(prob=1, min_bands=0, max_bands=3, width=0.05), "min_bands must be at least 1"),
        (lambda: FrequencyDrop(prob=1, min_bands=1, max_bands=3, width=0.9), "width must lie in"),
        (lambda: Codec(prob=1, **{**CODEC, "codecs": ["mp4"]}), "one or more of mulaw, alaw, gsm, mp3, vorbis"),
        (lambda: Codec(prob=1, **{**CODEC, "max_compression": 2}), "max_compression = 2"),
        (lambda: Codec(prob=1, **{**CODEC, "sample_rate": 4000}), "codec mulaw needs at least 8000 Hz, not 4000"),
        (lambda: Codec(prob=1, **{**CODEC, "codecs": ["mp3"], "sample_rate": 15000}), "codec mp3 .* at 15000 Hz"),
        (lambda: OneOf(prob=1, weights={"a": 1}, b=Chain()), "weights name a, but the steps are b"),
        (lambda: OneOf(prob=1, weights={"b": 0}, b=Chain()), "one of them more than 0"),
        (lambda: Volume(prob=1, min_db=3, max_db=-3), "min_db = 3 and max_db = -3"),
    ],
)
def test_a_value_out_of_range_names_its_option(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
