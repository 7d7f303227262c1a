"""`--data=folder:photos`: every config on a user's own images, and what is held out of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jssl.cli.configs import own, shipped
from jssl.cli.train import parse
from jssl.config import experiment
from jssl.training.experiment import Experiment
from jssl.training.shapes import check_shapes
from tests import tiny
from tests.checks import refused

OWN = [name for name in shipped() if own(name)]


@pytest.fixture(scope='module')
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty tiny photographs in two classes, and a list of them without labels."""
    folder = tmp_path_factory.mktemp('photos')
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 80, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        path = folder / 'ab'[number % 2] / f'{number:02}.png'
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob('*.png'))]
    (folder / 'list.txt').write_text('\n'.join(names))
    return folder


def on(photos: Path, *arguments: str, data: str = 'folder:') -> dict[str, Any]:
    where = photos if data == 'folder:' else photos / 'list.txt'
    return parse([*arguments, f'--data={data}{where}']).config


def test_every_algorithm_has_rules_for_own_images() -> None:
    assert all(name.startswith('eval/') for name in shipped() if name not in OWN)
    assert len(OWN) > 20


@pytest.mark.parametrize('name', OWN)
def test_every_config_trains_on_own_images(name: str, photos: Path) -> None:
    found = experiment(on(photos, name) | {'mesh': {'devices': 1}})
    assert isinstance(found, Experiment)
    assert (len(found.data), len(found.test_data or ())) == (32, 8)
    view: Any = found.eval_view
    assert view.size == (48 if name == 'simmim' else 56)
    check_shapes(found)


def test_labelled_images_are_judged_on_a_part_that_is_held_out(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = on(photos, 'simclr', '--config.epochs=3')
    folder = dict(type='Folder', path=str(photos))
    assert config['data'] == dict(type='Part', data=folder, every=5)
    assert config['test_data'] == config['data'] | dict(held_out=True)
    assert config['epochs'] == 3
    said = capsys.readouterr().out
    assert '32 images to train on, of 60 pixels' in said
    assert 'judged by kNN and a linear probe on every 5th image of data, held out' in said
    assert 'network ResNet with depth=18, base_channels=32' in said
    assert 'simclr:imagenet' in said


def test_without_labels_the_spread_alone_is_watched(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = on(photos, 'simclr', data='list:')
    assert (config['test_data'], config['probe_data']) == (None, None)
    assert config['data']['type'] == 'ImageList'
    assert 'the spread and the rank of the features' in capsys.readouterr().out


def test_labelled_images_beside_those_to_train_on(photos: Path) -> None:
    config = on(photos, 'simclr', f'--probe_data=folder:{photos}', data='list:')
    assert config['data']['type'] == 'ImageList'
    assert config['test_data'] == config['probe_data'] | dict(held_out=True)
    given = on(photos, 'simclr', f'--test_data=folder:{photos}')
    assert given['data'] == given['test_data'] == dict(type='Folder', path=str(photos))


def test_a_recipe_for_another_data_set_keeps_all_but_the_data(photos: Path) -> None:
    own = on(photos, 'simclr:cifar10')
    recipe = parse(['simclr:cifar10']).config
    same = {key for key in recipe if own[key] == recipe[key]}
    assert set(recipe) - same == {'data', 'test_data'}


def test_a_single_image_is_refused_before_anything_is_chosen(tmp_path: Path) -> None:
    Image.new('RGB', (40, 40)).save(tmp_path / 'only.png')
    with refused(f'--data=folder:{tmp_path} has one image', 'two images or more'):
        parse(['simclr', f'--data=folder:{tmp_path}'])


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['simclr', '--data=photos'], 'Did you mean --data=folder:photos?'),
        (['simclr', '--data=folder:/no/such'], "--data=folder:/no/such: the folder '/no/such/'"),
        (['simclr', '--size=56'], '--size goes with --data'),
        (['simclr', '--data=tfds:no_such'], 'no_such'),
        ([tiny.CONFIG, '--dta=folder:x'], 'Did you mean --data=folder:x?'),
    ],
)
def test_what_is_wrong_is_told(arguments: list[str], words: str) -> None:
    with refused(words):
        parse(arguments)


def test_what_is_printed_is_what_holds_and_a_shorter_run_has_a_shorter_warm_up(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = on(photos, 'simclr', '--config.epochs=2', '--config.batch_size=8')
    said = capsys.readouterr().out
    assert 'batches of 8 (--config.batch_size), 2 epochs of 4 steps (--config.epochs)' in said
    assert config['schedule']['warmup_epochs'] == pytest.approx(0.2)
    config = on(photos, 'simclr', '--config.epochs=2', '--config.schedule.warmup_epochs=5')
    assert config['schedule']['warmup_epochs'] == 5  # as it was set, to be refused
    config = on(photos, 'simclr', '--config.epochs=40')
    assert config['schedule']['warmup_epochs'] == pytest.approx(20.0)  # of 200 epochs
