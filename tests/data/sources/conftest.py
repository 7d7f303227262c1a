"""What the tests of sources share."""

from pathlib import Path

import pytest

from tests.data.sources.written import hub_table, write_parquet


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what is unpacked, and for the indexes of shards."""
    folder = tmp_path_factory.mktemp('cache')
    monkeypatch.setenv('XDG_CACHE_HOME', str(folder))
    return folder


@pytest.fixture
def one(tmp_path: Path) -> str:
    """A Parquet file of ten rows."""
    return write_parquet(tmp_path / 'one.parquet', hub_table(10), row_group_size=4)
