"""Checkpoints as Orbax writes and restores them; see test_checkpoint_damage.py for others."""

import dataclasses
import json
import logging
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jssl.errors import JsslError
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.contents import read_contents
from tests.checks import refused
from tests.runs.states import (
    State,
    assert_same,
    contents,
    files_of,
    make_state,
    shardings,
    steps_in,
    target_of,
)


def lose(folder: Path, after: int) -> Callable[[], None]:
    """A check that refuses once it was asked so many times."""
    asked = iter(range(after))

    def check() -> None:
        if next(asked, None) is None:
            raise JsslError(f'{folder} is lost')

    return check


@pytest.mark.parametrize('after', [0, 1])
def test_nothing_is_saved_in_a_directory_that_is_lost(after: int, tmp_path: Path) -> None:
    """Before the save begins, and while it goes on in the background."""
    with (
        refused(f'{tmp_path} is lost'),
        Checkpoints(tmp_path, check=lose(tmp_path, after)) as saver,
    ):
        saver.save(1, make_state())
    assert '1' not in steps_in(tmp_path)


def test_nothing_is_removed_in_a_directory_that_is_lost(folder: Path) -> None:
    with refused('is lost'), Checkpoints(folder, keep=1, check=lose(folder, 2)) as saver:
        saver.save(3, make_state(3))
    assert steps_in(folder) == ['1', '2', '3']


def test_the_checkpoint_of_another_run_is_skipped(tmp_path: Path) -> None:
    for step, run in ((1, ''), (2, 'mine'), (3, 'theirs')):
        with Checkpoints(tmp_path, run=run) as saver:
            saver.save(step, make_state(step))
    lines: list[str] = []
    with Checkpoints(tmp_path, run='mine', report=lines.append) as saver:
        restored = saver.restore(target_of(make_state()))
        assert restored is not None
        assert restored[1] == 2
        saver.save(3, make_state(3))  # that of the other run is in the way no more
    assert lines == [
        f'Checkpoint 3 in {tmp_path} is unreadable: another run wrote it, which went on in a '
        'directory that was removed.'
    ]
    assert read_contents(tmp_path / '3')['run'] == 'mine'
    with Checkpoints(tmp_path, run='third') as saver:
        restored = saver.restore(target_of(make_state()))
    assert restored is not None
    assert restored[1] == 1  # of a time without names


@pytest.mark.parametrize(('before', 'after'), [(1, 1), (8, 2), (8, 1), (2, 8)])
def test_restores_every_bit_onto_any_number_of_devices(
    before: int, after: int, tmp_path: Path
) -> None:
    state = make_state()
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, jax.device_put(state, shardings(state, before)))
    target = target_of(state, after)
    restored = checkpoints.restore(target)
    assert restored is not None
    assert_same(restored[0], state)
    assert restored[1] == 1
    assert jax.tree.map(lambda leaf: leaf.sharding, restored[0]) == shardings(state, after)
    checkpoints.close()


@pytest.mark.parametrize('spec', [PartitionSpec(), PartitionSpec('data')])
def test_buffers_can_be_donated_as_soon_as_save_returns(
    spec: PartitionSpec, tmp_path: Path
) -> None:
    step = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf + 1, tree), donate_argnums=0)
    mesh = jax.make_mesh((8,), ('data',), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, spec)
    numbers = np.random.default_rng(0).normal(size=(2048, 1024)).astype(np.float32)
    tree = jax.device_put({'large': numbers}, sharding)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, tree)
    for _ in range(4):
        previous, tree = tree, step(tree)
    assert previous['large'].is_deleted()  # else this test shows nothing
    target = {'large': jax.ShapeDtypeStruct(numbers.shape, numbers.dtype, sharding=sharding)}
    restored = checkpoints.restore(target)
    checkpoints.close()
    assert restored is not None
    np.testing.assert_array_equal(restored[0]['large'], numbers)


def test_keeps_the_newest_and_saves_a_step_once(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=3)
    assert checkpoints.latest_step() is None
    assert checkpoints.restore(target_of(make_state())) is None
    for step in (10, 20, 30, 40, 40):
        checkpoints.save(step, make_state(step))
    checkpoints.wait()
    assert checkpoints.latest_step() == 40
    checkpoints.close()
    assert steps_in(tmp_path) == ['20', '30', '40']
    restored = Checkpoints(tmp_path).restore(target_of(make_state()), step=20)
    assert restored is not None
    assert_same(restored[0], make_state(20))


def test_alone_there_is_no_preemption_to_agree_on(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    assert not checkpoints.reached_preemption(1)
    checkpoints.close()


def test_unknown_step_is_refused(folder: Path) -> None:
    with pytest.raises(JsslError, match=r'no checkpoint of step 7 .* only of \[2, 1\]'):
        Checkpoints(folder).restore(target_of(make_state()), step=7)


def rename(state: State, name: str) -> State:
    return dataclasses.replace(state, params={name: state.params['layer1.0']})


OTHERS = {
    'shape': (
        make_state(width=17),
        r"params\['layer1.0'\]\['bias'\] is bfloat16\[16\] there and bfloat16\[17\]",
    ),
    'dtype': (
        dataclasses.replace(make_state(), step=jnp.zeros(())),
        r'step is int32\[\] there and float32\[\]',
    ),
    'leaf that is missing': (
        rename(make_state(), 'other'),
        r"params\['other'\]\['bias'\] is absent there and bfloat16\[16\] in this run",
    ),
    'leaf too many': (
        dataclasses.replace(make_state(), rng=None),
        r'rng is key<fry>\[\] there and absent in this run',
    ),
}


@pytest.mark.parametrize('other', OTHERS)
def test_checkpoint_of_another_model_is_refused_by_leaf(other: str, folder: Path) -> None:
    state, message = OTHERS[other]
    with pytest.raises(JsslError, match=f'of another model: {message}.*--workdir'):
        Checkpoints(folder).restore(target_of(state))
    assert steps_in(folder) == ['1', '2']


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 64 KiB, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')  # of tensorstore
@pytest.mark.parametrize('ask', ['wait', 'save', 'close'])
def test_a_save_that_the_disk_refuses_is_told(ask: str, folder: Path, small_files: None) -> None:
    checkpoints = Checkpoints(folder, keep=2)
    checkpoints.save(3, make_state(3, width=1 << 14))
    later = {
        'wait': checkpoints.wait,
        'save': lambda: checkpoints.save(4, make_state(4)),
        'close': checkpoints.close,
    }
    with pytest.raises(JsslError, match=r'step 3 could not .* too large; .* 2 is intact.*room'):
        later[ask]()
    assert checkpoints.latest_step() == 2
    checkpoints = Checkpoints(folder, keep=2)
    checkpoints.save(4, make_state(4))  # small enough, and the partial one makes room
    checkpoints.close()
    assert steps_in(folder) == ['2', '4']
    restored = Checkpoints(folder).restore(target_of(make_state()))
    assert restored is not None
    assert_same(restored[0], make_state(4))


KILLED = """
import os, signal, sys
import jax.numpy as jnp
import numpy as np
from jssl.runs.checkpoints import ITEM, Checkpoints, read_parts
from jssl.runs.contents import read_contents, write_contents
checkpoints = Checkpoints(sys.argv[1])
numbers = np.random.default_rng(0).normal(size=(1 << 24,)).astype(np.float32)
checkpoints.save(3, {'large': jnp.asarray(numbers)})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_while_saving_leaves_the_checkpoints_before(folder: Path) -> None:
    done = subprocess.run([sys.executable, '-c', KILLED, str(folder)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    partial_name = '3.orbax-checkpoint-tmp'
    assert steps_in(folder) == ['1', '2', partial_name]
    lines: list[str] = []
    checkpoints = Checkpoints(folder, report=lines.append)
    restored = checkpoints.restore(target_of(make_state()))
    assert restored is not None
    assert restored[1] == 2
    assert not lines
    assert partial_name in steps_in(folder)  # reading removes nothing
    checkpoints.save(3, make_state(3))
    checkpoints.close()
    assert steps_in(folder) == ['1', '2', '3']


PROCESS = """
import os, signal, sys, time
from pathlib import Path
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jssl.runs.checkpoints import ITEM, Checkpoints, read_parts
from jssl.runs.contents import read_contents, write_contents
from jssl.training.signals import StopSignal
folder, address, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
jax.distributed.initialize(address, 2, number)
mesh = jax.make_mesh((jax.device_count(),), ('data',), axis_types=(AxisType.Auto,))
rows = NamedSharding(mesh, PartitionSpec('data'))
state = {'rows': jax.make_array_from_callback((16,), rows, lambda i: np.zeros(16, np.float32)[i])}
target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows), state)
train = jax.jit(lambda tree: {'rows': tree['rows'] + 1}, donate_argnums=0)
checkpoints = Checkpoints(folder)
for step in (1, 2):
    state = train(state)
    checkpoints.save(step, state)
checkpoints.wait()
if number == 0:
    (folder / '2' / 'train_state' / '_METADATA').write_bytes(b'')
jax.experimental.multihost_utils.sync_global_devices('damaged')
state, step = checkpoints.restore(target)
with StopSignal():
    while not checkpoints.reached_preemption(step):
        state, step = train(state), step + 1
        if number == 1 and step == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
checkpoints.save(step, state)
checkpoints.close()
values = {float(value) for shard in state['rows'].addressable_shards for value in shard.data}
print(f'stopped after {step} with {values}')
"""


def test_processes_fall_back_and_stop_at_the_same_step(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(('localhost', 0))
        address = f'localhost:{probe.getsockname()[1]}'
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', PROCESS, str(tmp_path), address, str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (0, 1)
    ]
    told = [process.communicate(timeout=60)[0].splitlines() for process in processes]
    reports = [line for line in told[0] + told[1] if 'Checkpoint 2' in line]
    assert len(reports) == 1
    assert '_METADATA has 0 of' in reports[0]
    assert told[0][-1] == told[1][-1]
    (step,) = map(int, re.findall(r'^stopped after (\d+) ', told[0][-1]))
    assert told[0][-1] == f'stopped after {step} with {{{step}.0}}'  # from 1 on, not from 2 or 0
    assert steps_in(tmp_path) == sorted(['1', str(step), 'unreadable-2'])


def test_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'checkpoints').write_text('')
    with pytest.raises(JsslError, match=r'cannot be kept in .*checkpoints.*--workdir'):
        Checkpoints(tmp_path / 'checkpoints')


def test_orbax_is_quiet_and_others_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger='absl')
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, make_state())
    checkpoints.close()
    logging.getLogger('absl').warning('from elsewhere')
    spoken = [record.getMessage() for record in caplog.records if record.name == 'absl']
    assert spoken == ['from elsewhere']


def test_a_checkpoint_holds_no_code(folder: Path) -> None:
    """JSON and arrays only, so that opening a stranger's checkpoint runs nothing."""
    listed = json.loads(contents(folder / '2').read_text())['files']
    on_disk = {
        str(path.relative_to(folder / '2')) for path in files_of(folder / '2' / 'train_state')
    }
    assert set(listed) == on_disk
    assert not any(b'cloudpickle' in path.read_bytes() for path in files_of(folder))


def test_what_could_not_be_read_gives_way_after_another_look(tmp_path: Path) -> None:
    """A sweep, and a run that is rolled back, restore a second time before they save."""
    for step in (2, 4, 6):
        with Checkpoints(tmp_path) as saver:
            saver.save(step, make_state(step))
    (tmp_path / '6' / 'contents.json').write_text('x')
    with Checkpoints(tmp_path, report=lambda line: None) as saver:
        assert [saver.is_whole(step) for step in (6, 4)] == [False, True]
        for again in ({}, {'step': 2}, {'before': 3}):
            assert saver.restore(target_of(make_state()), **again) is not None
        saver.save(6, make_state(6))
    restored = Checkpoints(tmp_path).restore(target_of(make_state()))
    assert restored is not None
    assert restored[1] == 6
