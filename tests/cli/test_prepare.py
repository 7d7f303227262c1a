"""The command that prepares data sets."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jssl.cli import main
from jssl.cli.parser import Parser
from jssl.cli.prepare import add_arguments, read_sources
from jssl.components import build
from jssl.data import Source
from jssl.data.preparing.conversion import Target, prepare
from jssl.data.sources import TFDS, Folder, ImageList, WebDataset
from tests.checks import refused
from tests.conftest import ROOT
from tests.data.sources.written import (
    CLASSES,
    hub_table,
    samples,
    save_to_disk,
    write_parquet,
    write_tar,
)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Four images in two classes, and a list of two of them."""
    for number in range(4):
        path = tmp_path / 'images' / 'ab'[number % 2] / f'{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 12, 3), number, np.uint8)).save(path)
    (tmp_path / 'list.txt').write_text('a/0.png 0\nb/1.png 1\n')
    return tmp_path


def sources(*given: str, **options: str) -> dict[str, Source]:
    arguments = [f'--source={source}' for source in given]
    arguments += [f'--{key}={value}' for key, value in options.items()]
    parser = Parser('jssl prepare', None)
    add_arguments(parser)
    return read_sources(parser.read([*arguments, '--out=x', '--size=4']))


def test_what_it_prints_is_a_source_of_a_config(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = images / 'images', images / 'tfds' / 'small'
    argv = [f'--source=train=folder:{folder}', f'--source=test=folder:{folder}', f'--out={out}']
    assert main(['prepare', *argv, '--size=4', '--encoding=png', '--workers=1']) == 0
    said, data_dir = capsys.readouterr().out, str(images / 'tfds')
    for split in ('train', 'test'):
        fields = {'type': 'TFDS', 'name': 'small', 'split': split, 'data_dir': data_dir}
        written = ', '.join(f'{key}={value!r}' for key, value in fields.items())
        assert f'data=dict({written})\n' in said
        source = build('data', fields)
        assert [source[row]['label'] for row in range(4)] == [0, 0, 1, 1]


def test_ctrl_c_stops_it_and_the_same_command_continues(images: Path) -> None:
    folder, out = images / 'many', images / 'tfds' / 'many'
    folder.mkdir()
    for number in range(200):
        Image.fromarray(np.full((600, 900, 3), number, np.uint8)).save(folder / f'{number}.png')
    argv = [f'--source=folder:{folder}', f'--out={out}', '--size=512', '--workers=1']
    command = [sys.executable, '-m', 'jssl', 'prepare', *argv]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while not (unfinished := out.with_name('many.incomplete') / '1.0.0').exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.communicate()[1] == 'jssl: stopped; the same command continues.\n'
    assert process.returncode == 130
    assert unfinished.exists()
    assert not out.exists()
    assert main(['prepare', *argv]) == 0
    assert len(TFDS('many', 'train', str(images / 'tfds'))) == 200


def test_kinds_of_sources(images: Path, digits_dir: str) -> None:
    root = str(images / 'images')
    found = sources(
        f'folder:{root}',
        f'val=list:{images / "list.txt"}',
        'tfds:embedded_digits/test[:5]',
        root=root,
        data_dir=digits_dir,
    )
    assert found == {
        'train': Folder(root),
        'val': ImageList(str(images / 'list.txt'), root),
        'test': TFDS('embedded_digits', 'test[:5]', digits_dir),
    }


def test_tables_and_shards_are_prepared_with_their_classes(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(images / 'cache'))
    save_to_disk(images / 'hf', hub_table(5))
    write_parquet(images / 'test-00000-of-00001.parquet', hub_table(3))
    given = [f'--source=hf:{images}/hf', f'--source=parquet:{images}?split=test']
    out = images / 'tfds' / 'mine'
    arguments = [*given, f'--out={out}', '--size=4', '--encoding=png', '--workers=2']
    assert main(['prepare', *arguments]) == 0
    train, test = (TFDS('mine', split, str(images / 'tfds')) for split in ('train', 'test'))
    assert [train[row]['label'] for row in range(5)] == [0, 1, 2, 0, 1]
    assert (train.label_names, len(test)) == (CLASSES, 3)
    shard = write_tar(images / 'a.tar', samples(4))
    assert sources(f'webdataset:{shard}') == {'train': WebDataset(shard)}


@pytest.mark.parametrize('wrong', ['/data/images', 'dir:/data', 'folder:', 'tfds:/'])
def test_a_source_that_is_written_wrong(wrong: str) -> None:
    with refused('must be written as folder:PATH', '--source='):
        sources(wrong)


@pytest.mark.parametrize('split', ['all', 'é', '1'])
def test_a_split_that_could_not_be_read_again(split: str, images: Path) -> None:
    with refused(f'cannot be called {split!r}', '--source=train=folder:PATH'):
        sources(f'{split}=folder:{images}')
    with refused(f'cannot be called {split!r}'):
        prepare({split: Folder(str(images))}, images / 'x', Target(4))


def test_a_backward_part_of_a_split_is_no_damage(digits_dir: str) -> None:
    with refused('ends before it begins'):
        sources('tfds:embedded_digits/train[10%:5%]', data_dir=digits_dir)


@pytest.mark.parametrize('name', ['embedded_digits', 'imagenet_resized'])
def test_a_name_that_reads_another_data_set_is_taken(
    name: str, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = images / name
    assert main(['prepare', f'--source=folder:{images}', f'--out={out}', '--size=4']) == 2
    assert '--out=' in (said := capsys.readouterr().err)
    assert f'--out={images / f"my_{name}"}' in said
    assert not list(images.glob(f'*{name}*'))


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('size', {'target': Target(0)}),
        ('quality', {'target': Target(4, 'jpeg', 101)}),
        ('threads', {'threads': 0}),
        ('bad_samples', {'bad_samples': float('nan')}),
        ('shard', {'shard': 0}),
    ],
)
def test_numbers_are_checked_where_python_calls_it_too(
    name: str, options: dict[str, Any], images: Path
) -> None:
    arguments = {'target': Target(4)} | options
    with refused(f'{name}=', 'must be a'):
        prepare({'train': Folder(str(images))}, images / 'x', **arguments)


def test_two_sources_for_one_split(images: Path) -> None:
    with refused("is a second 'train'", 'SPLIT=KIND:WHERE'):
        sources(f'folder:{images}', f'folder:{images}')


@pytest.mark.parametrize(
    ('argv', 'words'),
    [
        (['--out=x'], 'the following arguments are required: --source, --size'),
        (['--source=folder:/nowhere', '--out=x', '--size=4'], '/nowhere'),
        (
            ['--source=folder:/nowhere', '--out=x', '--size=0'],
            '--size=0 must be a whole',
        ),
        (['--source=folder:/nowhere', '--out=x', '--size=4', '--quality=101'], '--quality=101'),
        (['--source=folder:/nowhere', '--out=x', '--size=4', '--workers=0'], '--workers=0'),
        *(
            (
                ['--source=folder:/nowhere', '--out=x', '--size=4', f'--bad_samples={wrong}'],
                'between 0',
            )
            for wrong in ('nan', 'inf', '2', '-1')
        ),
    ],
)
def test_wrong_arguments_are_told_in_a_line(
    argv: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['prepare', *argv]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count('\n') == 1
