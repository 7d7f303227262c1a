"""Two checkpoints that are written once, and a copy to damage."""

import shutil
from pathlib import Path

import pytest

from jssl.runs.checkpoints import Checkpoints
from tests.runs.states import make_state


@pytest.fixture(scope='module')
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints of steps 1 and 2."""
    folder = tmp_path_factory.mktemp('finished')
    checkpoints = Checkpoints(folder)
    for step in (1, 2):
        checkpoints.save(step, make_state(step))
    checkpoints.close()
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of them that a test may damage."""
    return Path(shutil.copytree(finished, tmp_path / 'checkpoints'))
