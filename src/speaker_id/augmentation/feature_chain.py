"""Feature augmentations one after another."""

from torch import Tensor, nn


class FeatureChain(nn.Module):
    """Applies its named steps in the order given: (B, F, T) -> (B, F, T). A step set to None is left out.

    The names make single options reachable: `augmentation.feature.specsub.prob=0.5`, `….specsub=null`.
    """

    def __init__(self, **steps: nn.Module | None) -> None:
        super().__init__()
        self.steps = nn.ModuleList(step for step in steps.values() if step is not None)

    def forward(self, features: Tensor) -> Tensor:
        for step in self.steps:
            features = step(features)
        return features
