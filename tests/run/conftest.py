from pathlib import Path

import pytest

from chartable import write_pictures


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures: one whole shard and a part of another."""
    return write_pictures(tmp_path_factory.mktemp("pictures"), 40)
