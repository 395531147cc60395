"""RepVGG: three branches a layer in training, one 3x3 convolution a layer when deployed."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from speaker_id.model.resnet import StagedNetwork


class RepVGG(StagedNetwork):
    """A plain stack of 3x3 layers: (B, F, T) -> (B, C, T / 8). Ding et al. 2021, arXiv 2101.03697.

    It trains with three branches a layer; `fused()` is what it deploys as. The stem and the first stage keep every
    frame and bin, as speech needs it (Ma et al. 2021, arXiv 2110.09720).
    """

    def __init__(self, in_dim: int, *, channels: Sequence[int], num_blocks: Sequence[int]) -> None:
        super().__init__(in_dim, stem=RepVGGBlock, block=RepVGGBlock, channels=channels, num_blocks=num_blocks)

    def fused(self) -> "RepVGG":
        """A copy for inference with one convolution a layer: gives what this network gives in `eval()`."""
        network = copy.deepcopy(self)
        for name, part in self.named_children():
            setattr(network, name, _fused(part))
        return network


class RepVGGBlock(nn.Module):
    """3x3 convolution, 1x1 convolution and identity, each normalised, summed, ReLU: (B, C, F, T) -> (B, C', F', T').

    Where the sizes of input and output differ, there is no identity.
    """

    def __init__(self, in_channels: int, channels: int, *, stride: int) -> None:
        super().__init__()
        self.out_channels = channels
        self.conv3 = nn.Conv2d(in_channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size=1, stride=stride, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.norm0 = nn.BatchNorm2d(channels) if stride == 1 and in_channels == channels else None
        self.activation = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        total: Tensor = self.norm3(self.conv3(maps))
        total += self.norm1(self.conv1(maps))
        if self.norm0 is not None:
            total += self.norm0(maps)
        activated: Tensor = self.activation(total)
        return activated

    @torch.no_grad()
    def fused(self) -> nn.Sequential:
        """What the block does in `eval()` as one convolution and ReLU (section 3.3 of the paper)."""
        branches = [folded(self.conv3.weight, self.norm3), folded(padded(self.conv1.weight), self.norm1)]
        if self.norm0 is not None:
            identity = torch.eye(self.out_channels).to(self.conv3.weight)
            branches.append(folded(padded(identity[..., None, None]), self.norm0))
        kernels, biases = zip(*branches, strict=True)
        conv = copy.deepcopy(self.conv3)
        conv.weight = nn.Parameter(torch.stack(kernels).sum(dim=0))
        conv.bias = nn.Parameter(torch.stack(biases).sum(dim=0))
        return nn.Sequential(conv, nn.ReLU(inplace=True))


def folded(kernel: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Kernel and bias of the one convolution that does what `kernel` and then `norm` in `eval()` do."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return kernel * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale


def padded(kernel: Tensor) -> Tensor:
    """A 1x1 kernel as the 3x3 kernel with zeros around it."""
    return functional.pad(kernel, (1, 1, 1, 1))


def _fused(module: nn.Module) -> nn.Module:
    """A copy of the module in which every block is fused."""
    if isinstance(module, RepVGGBlock):
        return module.fused()
    if isinstance(module, nn.Sequential):
        return nn.Sequential(*(_fused(part) for part in module))
    return copy.deepcopy(module)
