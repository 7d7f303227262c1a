"""`jssl embed` as a process that is killed, and as a job of two."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jssl.augment.views import CenterView
from jssl.backbones import ResNet
from jssl.inference.pretrained import Frozen, Pretrained
from jssl.runs.describe import describe
from tests.checks import well_scaled
from tests.conftest import QUICK, ROOT

pytestmark = pytest.mark.slow
COUNT = 4000  # four parts


@pytest.fixture(scope='module')
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images, and beside it the weights of a network."""
    folder, draw = tmp_path_factory.mktemp('embed'), np.random.default_rng(0)
    (folder / 'photos').mkdir()
    for number in range(COUNT):
        levels = draw.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(levels).save(folder / 'photos' / f'{number:04}.bmp')
    backbone = ResNet(10, 8, strides=(2,), out_indices=(1,), cifar_stem=True)
    algorithm, view = Frozen(backbone), CenterView(size=16, resize=16)
    views = {'views': (jnp.zeros((1, 16, 16, 3)),)}
    params, state = well_scaled(jax.eval_shape(algorithm.init, jax.random.key(0), views))
    told = describe(backbone, view, 16, 3)
    Pretrained(algorithm, params, state, view, 16, metadata=told).save(folder / 'it.safetensors')
    return folder


def start(folder: Path, out: str, *more: str) -> subprocess.Popen[str]:
    flags = f'--xla_force_host_platform_device_count=2 {QUICK}'
    given = ['it.safetensors', '--data=folder:photos', f'--out={out}', *more]
    return subprocess.Popen(
        [sys.executable, '-m', 'jssl', 'embed', *given],
        cwd=folder,
        env=os.environ | {'XLA_FLAGS': flags, 'PYTHONPATH': str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    said, _ = process.communicate(timeout=300)
    assert process.returncode == status, said
    return said


@pytest.fixture(scope='module')
def whole(photos: Path) -> np.ndarray:
    """The features, by a process that nothing happens to."""
    finish(start(photos, 'whole.npz'))
    return np.load(photos / 'whole.npz')['features']


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_is_killed_is_gone_on_with(
    photos: Path, whole: np.ndarray, number: signal.Signals
) -> None:
    out = f'{number.name}.npz'
    process = start(photos, out)
    while not (photos / f'{out}.parts' / '000001.npz').exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    said = finish(process, -number if number == signal.SIGKILL else 128 + number)
    assert 'Traceback' not in said
    assert number == signal.SIGKILL or 'jssl: stopped; the same command continues.' in said
    assert not (photos / out).exists()
    assert 'images that are there already' in finish(start(photos, out))
    np.testing.assert_array_equal(np.load(photos / out)['features'], whole)
    assert not (photos / f'{out}.parts').exists()


def test_two_processes_share_the_parts(photos: Path, whole: np.ndarray) -> None:
    with socket.socket() as probe:
        probe.bind(('localhost', 0))
        port = probe.getsockname()[1]
    job = [f'--coordinator=localhost:{port}', '--processes=2']
    both = [start(photos, 'both.npz', *job, f'--process={i}') for i in range(2)]
    said = [finish(process) for process in both]
    assert f'both.npz: {COUNT:,} images' in said[0]
    assert f'{COUNT:,} images' not in said[1]
    np.testing.assert_allclose(np.load(photos / 'both.npz')['features'], whole, rtol=1e-6)
