"""CAM++ weights as 3D-Speaker, ModelScope and WeSpeaker write them."""

import re
from collections.abc import Mapping

from torch import Tensor

from speaker_id.pretrained.renaming import Rule, renamed

PROJECTION = "xvector.dense.linear.weight"  # a 1x1 convolution there, a linear layer here
LAST = r"\.(\w+)"  # weight, bias, running_mean, ...

_BLOCK = {
    "conv1": "branch.0",
    "bn1": "branch.1",
    "conv2": "branch.3",
    "bn2": "branch.4",
    "shortcut.0": "shortcut.0",
    "shortcut.1": "shortcut.1",
}
_LAYER = {
    "nonlinear1.batchnorm": "squeeze.0",
    "linear1": "squeeze.2",
    "nonlinear2.batchnorm": "squeeze.3",
    "cam_layer.linear_local": "masked.conv",
    "cam_layer.linear1": "masked.mask.0",
    "cam_layer.linear2": "masked.mask.2",
}
_ONCE = {
    "head.conv1": "backbone.head.layers.0",
    "head.bn1": "backbone.head.layers.1",
    "head.conv2": "backbone.head.layers.7",
    "head.bn2": "backbone.head.layers.8",
    "xvector.tdnn.linear": "backbone.entry.0",
    "xvector.tdnn.nonlinear.batchnorm": "backbone.entry.1",
    "xvector.out_nonlinear.batchnorm": "backbone.exit.0",
    "xvector.dense.linear": "projection.layers.0",
    "xvector.dense.nonlinear.batchnorm": "projection.layers.1",
}
_TRANSITION = {"nonlinear.batchnorm": "transition.0", "linear": "transition.2"}


def _one_of(names: Mapping[str, str]) -> str:
    return f"({'|'.join(map(re.escape, names))})"


RULES: list[Rule] = [
    (_one_of(_ONCE) + LAST, lambda part, last: f"{_ONCE[part]}.{last}"),
    (
        r"head\.layer([12])\.([01])\." + _one_of(_BLOCK) + LAST,
        lambda layer, block, part, last: (
            f"backbone.head.layers.{1 + 2 * int(layer) + int(block)}.{_BLOCK[part]}.{last}"
        ),
    ),
    (
        r"xvector\.block(\d+)\.tdnnd(\d+)\." + _one_of(_LAYER) + LAST,
        lambda block, layer, part, last: (
            f"backbone.blocks.{int(block) - 1}.layers.{int(layer) - 1}.{_LAYER[part]}.{last}"
        ),
    ),
    (
        r"xvector\.transit(\d+)\." + _one_of(_TRANSITION) + LAST,
        lambda block, part, last: f"backbone.blocks.{int(block) - 1}.{_TRANSITION[part]}.{last}",
    ),
]


def from_3d_speaker(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of our EmbeddingModel (`model=campplus`) from one of 3D-Speaker's `CAMPPlus`.

    Its features are `fbank` with `window: povey`. Raises CheckpointError for weights of another network.
    """
    shaped = {name: tensor.squeeze(-1) if name == PROJECTION else tensor for name, tensor in weights.items()}
    return renamed(shaped, RULES, source="CAM++ weights")
