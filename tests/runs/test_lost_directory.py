"""A run whose directory is removed or taken by another while it goes on."""

import json
import shutil
import time
from pathlib import Path

from jssl.fitting.fit import fit
from jssl.lock import LOCK
from tests.checks import refused
from tests.training import toy


def files(folder: Path) -> dict[str, bytes]:
    found = [path for path in folder.rglob('*') if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def away(workdir: Path) -> None:
    """Moves a directory away, once what was begun to be saved in it is."""
    while not (workdir / 'checkpoints' / '4').is_dir():
        time.sleep(0.01)
    workdir.rename(workdir.with_name('gone'))


def test_a_run_leaves_the_directory_to_the_one_that_began_in_its_place(tmp_path: Path) -> None:
    workdir, finished = tmp_path / 'run', tmp_path / 'finished'
    fit(toy.experiment(test_data=None), workdir=finished)
    left: dict[str, bytes] = {}

    def replace() -> None:
        away(workdir)
        shutil.copytree(finished, workdir)
        (workdir / LOCK).write_text('process 1 on another host')
        left.update(files(workdir))

    found = toy.experiment(test_data=None, schedule=toy.At(step=6, act=replace))
    with refused(f'{workdir} is no longer the directory of this run', 'another --workdir'):
        fit(found, workdir=workdir)
    assert left
    assert files(workdir) == left


def test_a_removed_directory_does_not_come_back(tmp_path: Path) -> None:
    workdir = tmp_path / 'run'
    gone = toy.At(step=6, act=lambda: away(workdir))
    with refused('is no longer the directory of this run', 'begin again'):
        fit(toy.experiment(test_data=None, schedule=gone), workdir=workdir)
    assert not workdir.exists()


def test_a_checkpoint_carries_the_name_of_its_run(tmp_path: Path) -> None:
    fit(toy.experiment(test_data=None), workdir=tmp_path)
    name = json.loads((tmp_path / 'config.json').read_text())['run']
    contents = json.loads((tmp_path / 'checkpoints' / '12' / 'contents.json').read_text())
    assert contents['run'] == name
