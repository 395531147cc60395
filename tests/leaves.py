"""The leaves of conf/, read from the folder: tests over them cover a new YAML the moment it exists."""

from functools import cache

from omegaconf import DictConfig, OmegaConf

from speaker_id import build

GROUPS = sorted(path.name for path in build.CONF_DIR.iterdir() if path.is_dir() and any(path.glob("*.yaml")))
LEAVES = [(group, path.stem) for group in GROUPS for path in sorted((build.CONF_DIR / group).glob("*.yaml"))]
USUAL = ["data.train_list=train.tsv"]
GIVEN = {"train": USUAL, "eval": ["checkpoint=run"]}  # what each entry must be told


def leaves(group: str) -> list[str]:
    return [leaf for owner, leaf in LEAVES if owner == group]


def entry_of(group: str) -> str:
    """The entry whose configs hold the group: evaluation has some of its own."""
    defaults = OmegaConf.to_container(OmegaConf.load(build.CONF_DIR / "train.yaml"))["defaults"]
    return "train" if any(isinstance(default, dict) and group in default for default in defaults) else "eval"


@cache
def composed(*overrides: str, entry: str = "train") -> DictConfig:
    return build.compose(entry, [*GIVEN[entry], *overrides])


@cache
def alone(group: str, leaf: str) -> DictConfig:
    """What the leaf says of its own group, as `composed` has it; a tenth of the time, which collecting tests needs."""
    own = OmegaConf.load(build.CONF_DIR / group / f"{leaf}.yaml")
    assert isinstance(own, DictConfig)
    bases = [name for name in own.pop("defaults", []) if isinstance(name, str) and name != "_self_"]
    merged = OmegaConf.merge(*(alone(group, name) for name in bases), own)
    assert isinstance(merged, DictConfig)
    return merged
