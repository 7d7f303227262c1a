"""Checkpoints are written by Orbax and damaged by hand, on the file system."""

import json
import logging
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jssl.errors import JsslError
from jssl.runs.checkpoints import ITEM, Checkpoints, read_parts
from jssl.runs.contents import read_contents, write_contents
from tests.checks import refused


@flax.struct.dataclass
class State:
    """Has every kind of leaf and of empty branch that a train state can have."""

    step: Any
    params: Any
    state: Any
    opt_state: Any
    rng: Any


def make_state(step: int = 1, *, width: int = 16) -> State:
    rng = np.random.default_rng(step)
    kernel = jnp.asarray(rng.normal(size=(8, width)), jnp.float32)
    params = {
        'layer1.0': {'kernel': kernel, 'bias': jnp.asarray(kernel[0], jnp.bfloat16)},
        'no parameters': {},
    }
    mask = {'layer1.0': True, 'no parameters': {}}
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.masked(optax.adamw(1e-3), mask))
    return State(
        step=jnp.asarray(step, jnp.int32),
        params=params,
        state={'batch_stats': {}, 'labels': None, 'queue': (kernel[0], jnp.asarray(True))},
        opt_state=optimizer.init(params),
        rng=jax.random.fold_in(jax.random.key(3), step),
    )


def shardings(tree: Any, devices: int) -> Any:
    mesh = jax.make_mesh(
        (devices,), ('data',), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices]
    )
    rows, whole = (NamedSharding(mesh, spec) for spec in (PartitionSpec('data'), PartitionSpec()))
    return jax.tree.map(lambda leaf: rows if leaf.ndim == 2 else whole, tree)


def target_of(tree: Any, devices: int = 1) -> Any:
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        tree,
        shardings(tree, devices),
    )


def assert_same(found: Any, expected: Any) -> None:
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for path, leaf in jax.tree_util.tree_leaves_with_path(expected):
        other = dict(jax.tree_util.tree_leaves_with_path(found))[path]
        assert other.dtype == leaf.dtype, path
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf, other = jax.random.key_data(leaf), jax.random.key_data(other)
        assert np.asarray(other).tobytes() == np.asarray(leaf).tobytes(), path


@pytest.fixture(scope='module')
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints of steps 1 and 2."""
    folder = tmp_path_factory.mktemp('finished')
    checkpoints = Checkpoints(folder)
    for step in (1, 2):
        checkpoints.save(step, make_state(step))
    checkpoints.close()
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of them that a test may damage."""
    return Path(shutil.copytree(finished, tmp_path / 'checkpoints'))


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


def steps_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob('*') if path.is_file())


def largest(folder: Path) -> Path:
    return max(files_of(folder / 'train_state' / 'ocdbt.process_0'), key=lambda p: p.stat().st_size)


def empty_all(folder: Path) -> None:
    for path in files_of(folder):
        path.write_bytes(b'')


def cut_in_half(choose: Callable[[Path], Path], folder: Path) -> None:
    path = choose(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove(choose: Callable[[Path], Path], folder: Path) -> None:
    choose(folder).unlink()


def flip_a_bit(folder: Path) -> None:
    content = bytearray(largest(folder).read_bytes())
    content[len(content) // 2] ^= 1
    largest(folder).write_bytes(content)


def contents(folder: Path) -> Path:
    return folder / 'contents.json'


def metadata(folder: Path) -> Path:
    return folder / 'train_state' / '_METADATA'


def list_is(text: str, folder: Path) -> None:
    contents(folder).write_text(text)


def list_altered(folder: Path) -> None:
    text = contents(folder).read_text()
    contents(folder).write_text(text.replace('float32[8, 16]', 'float32[8, 17]'))


def list_of_odd_things(folder: Path) -> None:
    """Its checksum is right."""
    listed = json.loads(contents(folder).read_text())
    listed['files'] = {'train_state/_METADATA': 5, '../../secret': [1, 1]}
    del listed['checksum']
    checksum = zlib.crc32(json.dumps(listed, sort_keys=True).encode())
    contents(folder).write_text(json.dumps(listed | {'checksum': checksum}))


def becomes_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text('')


def pipe(choose: Callable[[Path], Path], folder: Path) -> None:
    path = choose(folder)
    path.unlink()
    os.mkfifo(path)


def of_another_step(folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name('1'), folder)


def as_orbax_never_wrote_it(folder: Path) -> None:
    """The files are those of the list."""
    leaves = read_contents(folder)['leaves']
    metadata(folder).write_text('[' * 100_000)
    write_contents(folder, ITEM, step=2, leaves=leaves, data={})


DAMAGES = {
    'every file empty': (empty_all, 'contents.json cannot be read'),
    'data cut in half': (partial(cut_in_half, largest), r'has \d+ of \d+ bytes'),
    'data missing': (partial(remove, largest), 'is missing'),
    'data altered': (flip_a_bit, 'has been altered'),
    'metadata cut in half': (partial(cut_in_half, metadata), r'_METADATA has \d+ of \d+ bytes'),
    'metadata missing': (partial(remove, metadata), 'train_state/_METADATA is missing'),
    'list cut in half': (partial(cut_in_half, contents), 'contents.json cannot be read'),
    'list missing': (partial(remove, contents), 'contents.json is missing'),
    'list missing but for a pipe': (partial(pipe, contents), 'contents.json is missing'),
    'list altered': (list_altered, 'contents.json has been altered'),
    'list of another kind': (partial(list_is, '[1]'), 'contents.json cannot be read'),
    'list nested deeply': (partial(list_is, '[' * 100_000), 'contents.json cannot be read'),
    'list of odd things': (list_of_odd_things, 'contents.json lists what it never does'),
    'data missing but for a pipe': (partial(pipe, largest), 'is missing'),
    'a file instead': (becomes_a_file, 'contents.json is missing'),
    'that of another step': (of_another_step, 'it was saved as that of step 1'),
    'not what Orbax writes': (as_orbax_never_wrote_it, 'loading it failed: .*'),
    'nothing left': (lambda folder: shutil.rmtree(folder) or folder.mkdir(), 'is missing'),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_damaged_newest_checkpoint_gives_way_to_the_one_before(
    damage: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hurt, message = DAMAGES[damage]
    hurt(folder / '2')
    lines: list[str] = []
    checkpoints = Checkpoints(folder, report=lines.append)
    restored = checkpoints.restore(target_of(make_state()))
    assert restored is not None
    assert_same(restored[0], make_state(1))
    assert restored[1] == checkpoints.latest_step() == 1
    assert len(lines) == 1
    assert f'Checkpoint 2 in {folder} is unreadable' in lines[0]
    assert re.search(message, lines[0])
    assert steps_in(folder) == ['1', '2']  # reading changes nothing
    assert read_parts(folder, ('step',), report=lines.append) == ({'step': 1}, 1)
    assert lines[1:] == lines[:1]
    checkpoints.save(2, make_state(2))  # the run comes past this step again
    checkpoints.close()
    assert steps_in(folder) == ['1', '2', 'unreadable-2']
    assert checkpoints.latest_step() == 2
    assert capfd.readouterr() == ('', '')


@pytest.mark.parametrize('content', [b'', b'{', b'[]', b'{"item_handlers": 5}', b'\xff'])
def test_what_orbax_notes_beside_the_data_decides_nothing(content: bytes, folder: Path) -> None:
    (folder / '2' / '_CHECKPOINT_METADATA').write_bytes(content)
    restored = Checkpoints(folder).restore(target_of(make_state()))
    assert restored is not None
    assert_same(restored[0], make_state(2))


def test_what_only_resembles_a_checkpoint_is_left_alone(folder: Path) -> None:
    for name in ('007', 'latest', '2.orbax', '\N{FULLWIDTH DIGIT THREE}'):
        (folder / name).mkdir()
    checkpoints = Checkpoints(folder, keep=2)
    assert checkpoints.latest_step() == 2
    checkpoints.save(3, make_state(3))
    checkpoints.close()
    assert steps_in(folder) == sorted(
        ['2', '3', '007', 'latest', '2.orbax', '\N{FULLWIDTH DIGIT THREE}']
    )


def test_parts_of_no_checkpoint_are_refused(folder: Path) -> None:
    lines: list[str] = []
    for step in ('1', '2'):
        empty_all(folder / step)
    for place in (folder, folder / 'nowhere'):
        with pytest.raises(JsslError, match='no checkpoint that can be read in'):
            read_parts(place, ('params',), report=lines.append)
    assert len(lines) == 2


def test_a_second_damaged_checkpoint_of_a_step_gets_its_own_name(folder: Path) -> None:
    for _ in range(2):
        checkpoints = Checkpoints(folder, report=lambda line: None)
        contents(folder / '2').unlink()
        checkpoints.restore(target_of(make_state()))
        checkpoints.save(2, make_state(2))
        checkpoints.close()
    assert steps_in(folder) == ['1', '2', 'unreadable-2', 'unreadable-2-2']


def test_no_readable_checkpoint_is_an_error_every_time(folder: Path) -> None:
    for step in ('1', '2'):
        empty_all(folder / step)
    for _ in range(2):
        lines: list[str] = []
        with pytest.raises(JsslError, match=r'can be read \(tried \[2, 1\]\).*--workdir'):
            Checkpoints(folder, report=lines.append).restore(target_of(make_state()))
        assert len(lines) == 2
    assert steps_in(folder) == ['1', '2']


def rename(state: State, name: str) -> State:
    return state.replace(params={name: state.params['layer1.0']})


OTHERS = {
    'shape': (
        make_state(width=17),
        r"params\['layer1.0'\]\['bias'\] is bfloat16\[16\] there and bfloat16\[17\]",
    ),
    'dtype': (make_state().replace(step=jnp.zeros(())), r'step is int32\[\] there and float32\[\]'),
    'leaf that is missing': (
        rename(make_state(), 'other'),
        r"params\['other'\]\['bias'\] is absent there and bfloat16\[16\] in this run",
    ),
    'leaf too many': (
        make_state().replace(rng=None),
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
    step = int(re.match(r'stopped after (\d+) ', told[0][-1]).group(1))
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
