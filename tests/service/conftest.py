from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from service.running import running


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Of a service without keys, one for all tests of a file: enrol under names of your own."""
    with running(tmp_path_factory.mktemp("service"), allow_embed=True) as client:
        yield client
