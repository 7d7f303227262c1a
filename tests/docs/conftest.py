"""One tiny run on a folder of photos, which the pages of the start share."""

from contextlib import chdir
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
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where photos/ is, as the first step of docs/start/photos.md makes it."""
    home = tmp_path_factory.mktemp('images')
    make = shorten(blocks(PHOTOS, 'python')[0], {'range(25)': 'range(4)'})
    with chdir(home):
        exec(compile(make, PHOTOS, 'exec'), {})
    return home


@pytest.fixture(scope='session')
def photos(images: Path) -> Path:
    """Where runs/photos/ is too, as the next step of that page trains it."""
    train = next(words for words in commands(PHOTOS) if '--workdir=runs/photos' in words)
    with chdir(images):
        assert main([*train, *SMALL]) == 0
    return images
