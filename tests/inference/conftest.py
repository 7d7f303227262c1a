"""One tiny run that every test of this folder takes its network from."""

from pathlib import Path

import pytest

from jssl.main import main
from tests import tiny


@pytest.fixture(scope='session')
def run(digits_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run of SimCLR on 256 digits, which has ended."""
    workdir = tmp_path_factory.mktemp('runs') / 'first'
    assert main(tiny.arguments(digits_dir, workdir)) == 0
    return workdir
