"""The commands of the pages run, page by page, as a reader would type them, only shorter.

    pytest -n 0 -m slow tests/docs/test_commands.py                          # all
    pytest -n 0 -m slow tests/docs/test_commands.py -k docs/tutorials/loss   # those of a page

Left out are those that need what is not here: other machines, data sets and weights of others,
files of PyTorch.
"""

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest

from jssl.cli import main
from jssl.cli.configs import shipped
from tests.docs.pages import PAGES, blocks, commands

SHORT = {'epochs': '1', 'evaluate.every_epochs': '0', 'mesh.devices': '1'}
OF_DIGITS = {'data.split': 'train[:512]', 'test_data.split': 'test[:64]'}
OF_PHOTOS = {'batch_size': '8'}
OWN = {'data', 'test_data', 'probe_data'}
FOLDERS = {'folder:photos', 'folder:labelled', 'folder:held_out', 'list:all.txt'}
TRAINED_ON = {'mine': 'mae', 'dino': 'mae'}  # transformers, which other libraries have too
READERS = ('embed', 'eval', 'export', 'replay', 'reconstruct')
RUN_HERE = ('train', 'views', *READERS)
WITH = [
    page
    for page in PAGES
    if not page.startswith('docs/zh/') and any(words[0] in RUN_HERE for words in commands(page))
]


@pytest.fixture
def home(
    page: str, images: Path, digits_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Where a reader of a page is: with photos, the modules that the page has shown, and runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [*sys.path])  # jssl adds the folder where one is
    monkeypatch.setenv('TFDS_DATA_DIR', digits_dir)
    for name in ('photos', 'labelled', 'held_out'):
        shutil.copytree(images / 'photos', name)
    photos = [str(path) for path in sorted(Path('photos').rglob('*.jpg'))]
    Path('all.txt').write_text('\n'.join(photos), encoding='utf-8')
    shown = [re.match(r'# (\w+)\.py\n', code) for code in blocks(page, 'python')]
    modules = {found[1]: found.string for found in shown if found}
    for name, code in modules.items():
        Path(f'{name}.py').write_text(code, encoding='utf-8')
    for run in runs_before(page):
        shutil.copytree(made(run, images), run)
    yield tmp_path
    for name in modules:  # another page has another module of this name
        sys.modules.pop(name, None)


def runs_before(page: str) -> list[str]:
    """The runs that commands of a page read and none of them trains."""
    typed = [word for words in commands(page) if shorter(words) for word in words]
    read = {word.removeprefix('--config.pretrained=') for word in typed}
    trained = {word.removeprefix('--workdir=') for word in typed if word.startswith('--workdir=')}
    return sorted(run for run in read - trained if re.fullmatch(r'runs/\w+', run))


def made(run: str, images: Path) -> Path:
    """A run on the photos, trained once for all pages; its name is that of a config, or any."""
    name = run.removeprefix('runs/')
    config = TRAINED_ON.get(name, name if name in shipped() else 'simclr')
    if not (images / run).exists():
        with chdir(images):
            train = ['train', config, '--data=folder:photos', f'--workdir={run}']
            assert main(shorter(train) or []) == 0
    return images / run


def shorter(words: list[str]) -> list[str] | None:
    """A command as it runs here; None where it does not."""
    verb, *rest = words
    given = dict(re.findall(r'--([\w.]+)=(.*)', '\n'.join(rest)))
    first = rest[0] if rest else ''
    if any(value not in FOLDERS for name, value in given.items() if name in OWN):
        return None
    if verb == 'views':
        return words
    if verb in READERS:
        replayed = ['replay', first, '--step=1', '--from_start']  # one checkpoint, at the end
        return (replayed if verb == 'replay' else words) if _there(first) else None
    known = first in shipped() or (first.endswith('.py') and Path(first).exists())
    if verb != 'train' or not known or not _there(given.get('config.pretrained', 'runs/any')):
        return None
    return [verb, *_short(rest, given)]


def _there(weights: str) -> bool:
    """Whether a run, which `home` makes if need be, or a file that a command has written."""
    return re.fullmatch(r'runs/\w+', weights) is not None or Path(weights).is_file()


def _short(rest: list[str], given: dict[str, str]) -> list[str]:
    """The arguments of a run of one epoch on few images."""
    of_run = rest[0].startswith('eval/')  # it has the photos of the run before
    photos = of_run or any(name in given for name in OWN) or 'config.data' in given
    short = {**SHORT, **(OF_PHOTOS if photos else OF_DIGITS)}
    if given.get('config.test_data') == 'None':
        short.pop('test_data.split', None)
    if 'config.schedule.type' in given:  # else the warm-up is shortened with the run
        short['schedule.warmup_epochs'] = '0.5'
    options = [f'--config.{name}=' for name in short]
    kept = [word for word in rest if not word.startswith(tuple(options))]
    kept = [re.sub(r'range\(\d+\)', 'range(1)', word) for word in kept]
    kept += ['--size=28'] if 'data' in given and 'size' not in given else []
    return [*kept, *(option + value for option, value in zip(options, short.values(), strict=True))]


@pytest.mark.slow
@pytest.mark.parametrize('page', WITH)
def test_the_commands_run(page: str, home: Path) -> None:
    for words in commands(page):
        if (typed := shorter(words)) is not None:
            assert main(typed) == 0, typed
    assert home.exists()


def test_most_commands_are_among_them() -> None:
    """Else the test above would pass without running any."""
    found = [shorter(words) for page in WITH for words in commands(page) if words[0] in RUN_HERE]
    assert sum(typed is not None for typed in found) > 90
    assert shorter(['train', 'simclr:imagenet']) is None
    assert shorter(['train', 'simclr', '--data=tfds:other/train']) is None
    assert shorter(['eval', 'nothing.npz', '--data=folder:photos']) is None
