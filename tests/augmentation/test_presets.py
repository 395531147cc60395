"""The presets hold what they are named after."""

import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from speaker_id import build
from speaker_id.errors import ConfigError

LIST = "data.train_list=unused.tsv"


def preset(name: str, *overrides: str) -> Any:
    return build.compose("train", [LIST, f"augmentation={name}", *overrides]).augmentation


def numbers(node: Any) -> dict[str, Any]:
    """A step's options, without its class and sample rate."""
    container = OmegaConf.to_container(node, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items() if key not in ("_target_", "sample_rate")}


def test_ppvector_has_the_seven_entries_of_the_origin() -> None:
    augmentation = preset("ppvector")
    waveform, feature = numbers(augmentation.waveform), numbers(augmentation.feature)
    assert list(waveform) == ["noise", "resample", "speed", "shift", "volume"]
    assert list(feature) == ["specaug", "specsub"]
    steps = {name: numbers(node) for name, node in [*augmentation.waveform.items(), *augmentation.feature.items()][1:]
             if name != "_target_"}  # fmt: skip
    assert {step.pop("prob") for step in steps.values()} == {0.0}
    assert steps == {
        "noise": {"min_snr_db": 10, "max_snr_db": 50, "max_layers": 2, "folder": None},
        "resample": {"rates": [8000, 32000, 44100, 48000]},
        "speed": {"rates": None, "min_rate": 0.9, "max_rate": 1.1, "num_rates": 3},
        "shift": {"min_ms": -5, "max_ms": 5},
        "volume": {"min_db": -15, "max_db": 15},
        "specaug": {
            "inplace": True, "max_time_warp": 5, "max_time_ratio": 0.01, "num_freq_masks": 2, "max_freq_ratio": 0.05,
            "num_time_masks": 2, "replace_with_zero": False, "max_freq_bins": None, "max_time_frames": None,
        },
        "specsub": {"max_frames": 10, "num_stretches": 2},
    }  # fmt: skip


def test_what_is_off_needs_no_folder_and_what_is_on_does(tmp_path: Path) -> None:
    folder = f"augmentation.waveform.noise.folder={tmp_path / 'missing'}"
    build.instantiate(preset("ppvector", folder).waveform)
    with pytest.raises(ConfigError, match=r"missing does not exist; .*openslr\.org/17.*`augmentation=none`"):
        build.instantiate(preset("ppvector", folder, "augmentation.waveform.noise.prob=0.5").waveform)


@pytest.mark.parametrize("name", ["babble", "reverb"])
def test_rooms_and_talkers_that_are_off_need_no_folder_either(name: str, tmp_path: Path) -> None:
    folder = f"augmentation.waveform.{name}.folder={tmp_path / 'missing'}"
    build.instantiate(preset(name, folder, f"augmentation.waveform.{name}.prob=0").waveform)
    with pytest.raises(ConfigError, match=r"missing does not exist; .*openslr\.org.*`augmentation=none`"):
        build.instantiate(preset(name, folder).waveform)


def test_full_is_everything_and_needs_no_files() -> None:
    container = OmegaConf.to_container(preset("full"), resolve=False)
    classes = {node["_target_"].rpartition(".")[2] for node in nodes(container)}
    others = {"Chain", "OneOf", "FeatureChain", "Musan"}  # the last needs its corpus
    package = Path(build.__file__).parent / "augmentation"
    public = {
        name for path in package.glob("*.py") for name in re.findall(r"^class (\w+)", path.read_text("utf-8"), re.M)
    }
    parts = {"ColouredNoise", "SyllabicNoise", "SoundFolder", "_Codec"}
    assert classes - others == public - others - parts


def nodes(container: Any) -> list[dict[str, Any]]:
    if not isinstance(container, dict):
        return []
    below = [node for value in container.values() for node in nodes(value)]
    return [*([container] if "_target_" in container else []), *below]
