"""What every augmentation promises, over every class and over every leaf of conf/augmentation."""

import copy
import inspect
import pickle
import pkgutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

import speaker_id.augmentation
from speaker_id.augmentation.babble import Babble
from speaker_id.augmentation.band import BandLimit
from speaker_id.augmentation.chain import Chain
from speaker_id.augmentation.equalise import Equalise
from speaker_id.augmentation.noise import AddNoise, ColouredNoise
from speaker_id.augmentation.reverb import Reverb
from speaker_id.augmentation.sound_folder import SoundFolder
from speaker_id.augmentation.specaugment import SpecAugment
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
MAKERS: dict[str, Callable[[Path], WaveformAugmentation]] = {
    "AddNoise": lambda folder: AddNoise(prob=1, folder=folder, **NOISE),
    "AddNoise generated": lambda _: AddNoise(prob=1, folder=None, **NOISE),
    "Babble": lambda folder: Babble(prob=1, folder=folder, **BABBLE),
    "BandLimit": lambda _: BandLimit(prob=1, **BAND),
    "Chain": lambda _: Chain(volume=Volume(prob=1, min_db=-6, max_db=6), off=None, band=BandLimit(prob=1, **BAND)),
    "Equalise": lambda _: Equalise(prob=1, max_gain_db=9, num_points=7),
    "Reverb": lambda folder: Reverb(prob=1, folder=folder, **ROOM),
    "Reverb simulated": lambda _: Reverb(prob=1, folder=None, **ROOM),
    "Speed": lambda _: Speed(prob=1, rates=[0.9, 0.95, 1.05, 1.1], sample_rate=RATE),
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
    for name, num in (("short.wav", 900), ("long.flac", 40000), ("deeper/other.ogg", 20000)):
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
    parts = {ColouredNoise.__name__, SoundFolder.__name__, SpecAugment.__name__}
    assert public - parts == {name.split()[0] for name in MAKERS}


def from_leaf(leaf: Path) -> Any:
    config = OmegaConf.create({"feature": {"sample_rate": RATE}, "augmentation": OmegaConf.load(leaf)})
    return instantiate(config.augmentation)


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.stem)
def test_every_leaf_keeps_the_contract(leaf: Path) -> None:
    augmentation = from_leaf(leaf)
    assert set(augmentation) == {"waveform", "feature"}
    check_contract(augmentation.waveform, changes=bool(augmentation.waveform.steps))
    if augmentation.feature is not None:
        features = torch.randn(2, 80, 100)
        torch.testing.assert_close(augmentation.feature.eval()(features), features)


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
        (lambda: Volume(prob=1, min_db=3, max_db=-3), "min_db = 3 and max_db = -3"),
    ],
)
def test_a_value_out_of_range_names_its_option(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()
