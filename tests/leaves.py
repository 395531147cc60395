"""The leaves of conf/, read from the folder: tests over them cover a new YAML the moment it exists."""

from functools import cache

from omegaconf import DictConfig

from speaker_id import build

GROUPS = sorted(path.name for path in build.CONF_DIR.iterdir() if path.is_dir() and any(path.glob("*.yaml")))
LEAVES = [(group, path.stem) for group in GROUPS for path in sorted((build.CONF_DIR / group).glob("*.yaml"))]
USUAL = ["data.train_list=train.tsv"]


def leaves(group: str) -> list[str]:
    return [leaf for owner, leaf in LEAVES if owner == group]


@cache
def composed(*overrides: str) -> DictConfig:
    return build.compose("train", [*USUAL, *overrides])
