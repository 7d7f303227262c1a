"""One tiny run on a folder of photos, which the pages of the start share."""

import os
from pathlib import Path

import pytest

from jssl.cli import main
from tests.docs.pages import blocks, commands, shorten

PHOTOS = 'docs/start/photos.md'
SMALL = (
    '--config.epochs=1',
    '--config.batch_size=16',
    '--config.model.backbone.depth=10',
    '--config.model.backbone.base_channels=4',
    '--config.model.neck.in_channels=32',
    '--config.model.neck.hid_channels=16',
    '--config.model.neck.out_channels=8',
)


@pytest.fixture(scope='session')
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where photos/ and runs/photos/ are, as the first steps of docs/start/photos.md make them."""
    home, before = tmp_path_factory.mktemp('photos'), Path.cwd()
    make = shorten(blocks(PHOTOS, 'python')[0], {'range(25)': 'range(4)'})
    train = next(words for words in commands(PHOTOS) if '--workdir=runs/photos' in words)
    try:
        os.chdir(home)
        exec(compile(make, PHOTOS, 'exec'), {})
        assert main([*train, *SMALL]) == 0
    finally:
        os.chdir(before)
    return home
