import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.tiny_run import corpus

EXPECTED = (
    "ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning",  # its code and this torch
    "ignore:.*does not have many workers:UserWarning",  # none, on purpose: the run is tiny
    "ignore:This DataLoader will create 2 worker processes:UserWarning",  # on a machine with one core
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Warnings of Lightning and torch that are no errors of ours, here alone."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for text in EXPECTED:
                item.add_marker(pytest.mark.filterwarnings(text))


@pytest.fixture(scope="session")
def data_list(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(autouse=True)
def _quiet_lightning() -> Iterator[None]:
    lightning = logging.getLogger("pytorch_lightning")
    level = lightning.level
    lightning.setLevel(logging.ERROR)
    yield
    lightning.setLevel(level)
