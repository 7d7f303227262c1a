"""Hundreds of faults into checkpoints, by seed: the newest good one is used and the user told."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jssl.errors import JsslError
from jssl.runs.checkpoints import ITEM, Checkpoints, read_parts
from jssl.runs.contents import CONTENTS, Damaged, read_contents, write_contents
from tests.runs.states import assert_same, files_of, make_state, target_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning'),  # of tensorstore
]
Fault = Callable[[Path, random.Random], None]
STEPS = (1, 2, 3)
GARBAGE = (
    *(
        b'',
        b'{}',
        b'[]',
        b'null',
        b'5',
        b'"x"',
        b'NaN',
        b'[' * 100_000,
        b'\xff\xfe\x00',
        b'{"a": {}}',
    ),
    *(b'{"leaves": 5, "files": {}}', b'{"step": 3, "leaves": [], "files": [], "checksum": 0}'),
    b'{"step": 3, "leaves": {}, "files": {"/etc/passwd": [0, 0]}, "checksum": null}',
    b'{"item_handlers": 5, "metrics": [], "init_timestamp_nsecs": "x"}',
)


def truncate(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(max(len(data), 1))])


def flip(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes() or b'?')
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def delete(path: Path, rng: random.Random) -> None:
    path.unlink()


def garbage(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.choice(GARBAGE))


def noise(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(max(1, path.stat().st_size)))


def append(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes() + rng.randbytes(5))


def to_folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


def to_pipe(path: Path, rng: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def to_loop(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.symlink_to(path)


def exchange(path: Path, other: Path) -> None:
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)


def with_a_neighbour(path: Path, rng: random.Random) -> None:
    exchange(path, rng.choice([other for other in path.parent.iterdir() if other.is_file()]))


def with_another_step(path: Path, rng: random.Random) -> None:
    other = Path(str(path).replace('/3/', '/2/'))
    if other.is_file():
        exchange(path, other)


FAULTS: tuple[Fault, ...] = (
    *(truncate, flip, delete, garbage, noise, append, to_folder, to_pipe, to_loop),
    *(with_a_neighbour, with_another_step),
)


@pytest.fixture(scope='module')
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints of all `STEPS`."""
    folder = tmp_path_factory.mktemp('finished') / 'checkpoints'
    checkpoints = Checkpoints(folder)
    for step in STEPS:
        checkpoints.save(step, make_state(step))
    checkpoints.close()
    return folder


def restored(folder: Path, lines: list[str]) -> int:
    """The step that is read, with the state that was saved then."""
    checkpoints = Checkpoints(folder, report=lines.append)
    found = checkpoints.restore(target_of(make_state()))
    checkpoints.close()
    assert found is not None, 'the run would begin again'
    assert_same(found[0], make_state(found[1]))
    return found[1]


@pytest.mark.parametrize('fault', FAULTS, ids=lambda fault: fault.__name__)
def test_one_fault_in_the_newest(fault: Fault, finished: Path, tmp_path: Path) -> None:
    rng = random.Random(fault.__name__)
    names = [path.relative_to(finished) for path in files_of(finished / '3')]
    for name in [name for name in names for _ in range(6 if fault in (flip, garbage) else 2)]:
        folder = Path(shutil.copytree(finished, tmp_path / 'checkpoints'))
        fault(folder / name, rng)
        lines: list[str] = []
        step = restored(folder, lines)
        assert (step, len(lines)) in ((3, 0), (2, 1), (1, 2)), name
        assert step > 1 or fault is with_another_step
        assert all(f'Checkpoint 3 in {folder} is unreadable: ' in line for line in lines[:1])
        assert read_parts(folder, ('step',), report=lines.append) == ({'step': step}, step)
        if name.name == CONTENTS and fault is flip:
            assert step == 2  # no bit of it goes unwatched
        shutil.rmtree(folder)


@pytest.mark.parametrize('seed', range(100))
def test_faults_that_the_list_does_not_know(seed: int, finished: Path, tmp_path: Path) -> None:
    """Files that are as listed, and that Orbax may choke on."""
    rng = random.Random(seed)
    folder = Path(shutil.copytree(finished, tmp_path / 'checkpoints'))
    leaves = read_contents(folder / '3')['leaves']
    for path in rng.sample(files_of(folder / '3' / ITEM), 2):
        rng.choice((truncate, delete, garbage, noise, to_folder))(path, rng)
    write_contents(folder / '3', ITEM, step=3, leaves=leaves, data={})
    lines: list[str] = []
    assert restored(folder, lines) == 3 - len(lines)
    assert read_parts(folder, ('step',), report=lines.append)[1] in (3, 2)


@pytest.mark.parametrize('seed', range(20))
def test_when_none_is_whole_it_is_said(seed: int, finished: Path, tmp_path: Path) -> None:
    rng = random.Random(seed)
    folder = Path(shutil.copytree(finished, tmp_path / 'checkpoints'))
    for step in STEPS:
        rng.choice((truncate, delete, garbage, noise))(folder / str(step) / CONTENTS, rng)
    for _ in range(2):
        lines: list[str] = []
        with pytest.raises(
            JsslError, match=r'No checkpoint in .* can be read \(tried \[3, 2, 1\]\)'
        ):
            restored(folder, lines)
        assert len(lines) == len(STEPS)
    with pytest.raises(Damaged):
        read_contents(folder / '3')
