"""The images that the tests of this folder prepare."""

from pathlib import Path

import pytest

from tests.data.preparing import mini


@pytest.fixture(scope='package')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images of `mini`."""
    root = tmp_path_factory.mktemp('images')
    mini.write_images(root)
    return root
