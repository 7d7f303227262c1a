"""A run goes on with the data that it began with, or says what changed."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

import jssl
from jssl.data import Arrays, Folder
from jssl.data.loading.identity import LISTINGS, Listing
from jssl.fitting.pretrained import tell_changed_data
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.datasets import check_same_data
from jssl.runs.metrics import METRICS
from jssl.runs.workdir import CONFIG, open_workdir, read_config
from tests.checks import refused
from tests.training.test_experiment import make
from tests.training.toy import took_steps


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / 'photos'
    folder.mkdir()
    for number in range(8):
        Image.new('RGB', (8, 8), (number, 0, 0)).save(folder / f'b{number}.png')
        os.utime(folder / f'b{number}.png', (1e9, 1e9))
    return folder


def config(folder: Path) -> dict[str, object]:
    return {'data': {'type': 'Folder', 'path': str(folder), 'labelled': None}, 'epochs': 2}


def start(run: Path, folder: Path, said: list[str] | None = None, same_data: bool = False) -> None:
    listings = {'data': Listing.of(Folder(str(folder)))}
    said = [] if said is None else said
    open_workdir(
        run, config(folder), 'x', listings=listings, report=said.append, same_data=same_data
    )
    took_steps(run)


def test_config_json_says_what_the_data_are(photos: Path, tmp_path: Path) -> None:
    start(tmp_path / 'run', photos)
    stored = read_config(tmp_path / 'run')['data']
    assert stored == {'data': Listing.of(Folder(str(photos))).identity}
    assert {path.name for path in (tmp_path / 'run').iterdir()} == {CONFIG, LISTINGS, METRICS}
    said: list[str] = []
    start(tmp_path / 'run', photos, said)
    assert said == []


def test_a_folder_that_changed_is_refused(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / 'run'
    start(run, photos)
    before = (run / CONFIG).read_bytes()
    (photos / 'b7.png').rename(photos / 'a.png')
    expected = ('config.data is not', "1 gone, such as 'b7.png'; 1 new, such as 'a.png'")
    for same_data in (False, True):  # names are never taken for the same
        with refused(*expected, f'--config.pretrained={run}'):
            start(run, photos, same_data=same_data)
    for number in range(16):
        shutil.copy2(photos / 'a.png', photos / f'c{number:02}.png')
    with refused('8 samples then, 24 now', "17 new, such as 'a.png'"):
        start(run, photos)
    assert (run / CONFIG).read_bytes() == before


def test_files_of_another_time_are_refused_until_they_are_said_to_be_the_same(
    photos: Path, tmp_path: Path
) -> None:
    run = tmp_path / 'run'
    start(run, photos)
    for file in photos.iterdir():
        os.utime(file, (2e9, 2e9))
    with refused("8 of another size, time or checksum, such as 'b0.png'", 'with --same_data.'):
        start(run, photos)
    said: list[str] = []
    start(run, photos, said, same_data=True)
    assert len(said) == 1
    assert 'taken for the same as before: 8 of another' in said[0]
    start(run, photos, said)  # from here on these are the times
    assert len(said) == 1


def test_the_same_images_at_another_place_go_on(photos: Path, tmp_path: Path) -> None:
    start(tmp_path / 'run', photos)
    moved = photos.rename(tmp_path / 'elsewhere')
    said: list[str] = []
    start(tmp_path / 'run', moved, said)
    assert len(said) == 1
    assert f'data.path: "{photos}" → "{moved}"' in said[0]


def test_a_run_that_did_not_note_its_data_notes_them_now(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / 'run'
    open_workdir(run, config(photos), 'x')
    took_steps(run)
    stored = json.loads((run / CONFIG).read_text())
    del stored['data']  # as version 0.1.0 wrote it
    (run / CONFIG).write_text(json.dumps(stored))
    said: list[str] = []
    start(run, photos, said)
    assert said == [f'{run} does not say what config.data was; from here on it does.']
    (photos / 'b0.png').unlink()
    with refused('8 samples then, 7 now'):
        start(run, photos)


@pytest.mark.parametrize('damaged', [[], {'data': 7}, {'data': ['number']}, 'x', None])
def test_a_damaged_note_of_the_data_counts_as_none(
    photos: Path, tmp_path: Path, damaged: Any
) -> None:
    said: list[str] = []
    listings = {'data': Listing.of(Folder(str(photos)))}
    report = said.append
    assert not check_same_data(tmp_path, damaged, listings, same_data=False, report=report)
    assert said == [f'{tmp_path} does not say what config.data was; from here on it does.']


@pytest.mark.parametrize('part', ['data', 'test_data', 'probe_data'])
def test_other_arrays_of_the_same_shape_are_refused_before_any_compute(
    part: str, tmp_path: Path
) -> None:
    images = np.random.default_rng(1).integers(0, 256, (48, 16, 16, 3), np.uint8)
    parts: dict[str, Any] = {
        name: Arrays(images, range(48)) for name in ('data', 'test_data', 'probe_data')
    }
    first = make(**parts)
    open_workdir(tmp_path, first.describe(), 'x', listings=first.listings)
    took_steps(tmp_path)
    second = make(**parts | {part: Arrays(images ^ np.uint8(1), range(48))})
    with refused(f'config.{part} is not what the run', "48 gone, such as 'image 0 (checksum"):
        jssl.fit(second, workdir=tmp_path)


def test_a_checkpoint_of_other_data_is_not_read(tmp_path: Path) -> None:
    """Copied from another run: config.json says nothing of it, and its memories go by number."""
    tree = {'bank': jax.device_put(np.zeros((8, 4), np.float32), jax.devices()[0])}
    target = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), tree
    )
    names = [str(number) for number in range(8)]
    stamps = np.ones((8, 2), np.int64)
    identity = Listing(8, names, stamps).identity
    checkpoints = Checkpoints(tmp_path, data=identity)
    checkpoints.save(1, tree)
    checkpoints.close()
    same = {'nothing known': {}, 'other times': Listing(8, names, 2 * stamps).identity}
    for data in (identity, *same.values()):
        restored = Checkpoints(tmp_path, data=data).restore(target)
        assert restored is not None
        assert restored[1] == 1
    with refused('of a run on other data: 8 samples there, 8 here, or other names'):
        Checkpoints(tmp_path, data=Listing(8, names[::-1], stamps).identity).restore(target)


PROCESS = """
import sys
from pathlib import Path
import jax
from jssl.data import Folder
from jssl.data.loading.identity import Listing
from jssl.errors import JsslError
from jssl.runs.datasets import check_job_agrees
from jssl.runs.sameness import check_job_has_one_command
address, number, out, *folders = sys.argv[1:]
jax.distributed.initialize(address, 2, int(number))
with open(out, 'w') as file:
    for folder in folders:
        try:
            check_job_agrees({'data': Listing.of(Folder(folder), stamps=number == '0')})
            print('alike', file=file)
        except JsslError as error:
            print(error, file=file)
    own = {'data': {'path': number}, 'lr': 1, 'threads': number}
    for name, config in (('run', own), ('run', own | {'lr': number}), (number, own)):
        try:
            check_job_has_one_command(Path(number) / name, config, ['data'])
            print('alike', file=file)
        except JsslError as error:
            print(error, file=file)
"""


@pytest.mark.slow
def test_hosts_that_see_other_files_are_refused(photos: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(photos, tmp_path / 'other'))  # at other times, on another disk
    less = Path(shutil.copytree(photos, tmp_path / 'less'))
    (less / 'b3.png').rename(less / 'c3.png')
    with socket.socket() as probe:
        probe.bind(('localhost', 0))
        address = f'localhost:{probe.getsockname()[1]}'
    seen = [(photos, photos), (other, less)]  # of each process, one after another
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', PROCESS, address, str(number), str(tmp_path / str(number))]
            + [str(folder) for folder in folders]
        )
        for number, folders in enumerate(seen)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    for number in range(2):
        told = (tmp_path / str(number)).read_text().splitlines()
        assert told[0] == 'alike'
        assert 'see different data; this one sees so many samples: config.data 8.' in told[1]
        assert told[2] == 'alike'  # in another place, with other data folders and threads
        for line, name in ((told[3], 'run'), (told[4], number)):
            assert 'are given different commands' in line
            assert f'--workdir={number}/{name}. Give every process the same' in line


def test_weights_of_a_run_whose_data_changed_come_with_a_line(photos: Path, tmp_path: Path) -> None:
    """An evaluation that takes its data from the run's config.json is on others than it says."""
    run = tmp_path / 'run'
    said: list[str] = []
    start(run, photos)
    given = {'test_data': {'type': 'Folder', 'path': str(photos)}}
    listings = {'test_data': Listing.of(Folder(str(photos)))}
    tell_changed_data(run, given, listings, said.append)
    assert said == []
    (photos / 'b7.png').unlink()
    listings = {'test_data': Listing.of(Folder(str(photos)))}
    other = {'test_data': {'type': 'Folder', 'path': str(tmp_path)}}
    tell_changed_data(run, other, listings, said.append)
    tell_changed_data(tmp_path / 'weights.npz', given, listings, said.append)
    assert said == []
    tell_changed_data(run, given, listings, said.append)
    assert said == [
        f'config.test_data is not what the run in {run} had: 8 samples then, 7 now; 1 gone, such '
        "as 'b7.png'."
    ]
