"""Files larger than the memory: what is not wanted is never read."""

import json
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from jssl.interop.bring import bring
from jssl.weights.files import open_weights
from tests.checks import refused
from tests.interop.layouts.test_layouts import file_of

HUGE = 1_500_000_000  # numbers of an array that takes no room on the disk
SMALL = 64  # MB that importing a small network may take, whatever lies beside it
WANTED = file_of('dino')  # a network called teacher.backbone, of 30 kB
OTHERS = {
    f'student.{number}': np.random.default_rng(number).standard_normal(500_000) for number in (0, 1)
}
IMPORT = """
import pathlib, sys
from jssl.backbones import VisionTransformer
from jssl.inference.carry import carry
network = VisionTransformer(
    dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=16), img_size=12,
    patch_size=4)
def memory(kind):  # in kB: VmRSS now, VmHWM at most since the last reset
    lines = pathlib.Path('/proc/self/status').read_text().splitlines()
    return int(next(line for line in lines if line.startswith(kind)).split()[1])
pathlib.Path('/proc/self/clear_refs').write_text('5')
before = memory('VmRSS')
carry(sys.argv[1], sys.argv[2], 'timm', backbone=network, report=lambda line: None)
print(memory('VmHWM') - before)
"""


def sparse(path: Path, arrays: Mapping[str, np.ndarray], name: str, count: int) -> Path:
    """A .safetensors file with one more array of zeros that nobody has written."""
    header: dict[str, Any] = {}
    end = 0
    for key, value in arrays.items():
        header[key] = dict(dtype='F32', shape=value.shape, data_offsets=[end, end + value.nbytes])
        end += value.nbytes
    header[name] = dict(dtype='F32', shape=[count], data_offsets=[end, end + 4 * count])
    text = json.dumps(header).encode()
    data = b''.join(value.tobytes() for value in arrays.values())
    with path.open('wb') as file:
        file.write(struct.pack('<Q', len(text)) + text + data)
        file.truncate(8 + len(text) + end + 4 * count)
    return path


@pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='Linux counts memory there')
def test_a_small_network_comes_out_of_gigabytes_in_little_memory(tmp_path: Path) -> None:
    source = sparse(tmp_path / 'it.safetensors', WANTED, 'student.backbone.big', HUGE)
    assert source.stat().st_size > 4 * HUGE
    if source.stat().st_blocks * 512 > HUGE:
        pytest.skip('the file system writes what is not there')
    target = tmp_path / 'out'
    command = [sys.executable, '-c', IMPORT, str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < SMALL * 1024
    assert bring(target).arrays.keys() == bring(source).arrays.keys()


def written(kind: str, folder: Path) -> Path:
    arrays: Any = WANTED | OTHERS
    if kind == 'shards':
        save_file(WANTED, folder / 'one.safetensors')
        save_file(OTHERS, folder / 'two.safetensors')
        places = dict.fromkeys(WANTED, 'one.safetensors') | dict.fromkeys(OTHERS, 'two.safetensors')
        path = folder / 'it.safetensors.index.json'
        path.write_text(json.dumps({'weight_map': places}))
        return path
    path = folder / f'it.{kind.split()[0]}'
    if kind == 'safetensors':
        save_file(arrays, path)
    else:
        (np.savez_compressed if 'compressed' in kind else np.savez)(path, **arrays)
    return path


@pytest.mark.parametrize('kind', ['safetensors', 'shards', 'npz', 'npz compressed'])
def test_what_is_not_wanted_takes_no_memory(kind: str, tmp_path: Path) -> None:
    path = written(kind, tmp_path)
    bring(path)  # what is imported, or kept for ever, is so now
    tracemalloc.start()
    try:
        brought = bring(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "2 more beside 'teacher.backbone.'" in brought.said
    assert peak < OTHERS['student.0'].nbytes / 4


def test_arrays_are_judged_when_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / 'it.safetensors'
    save_file({'wanted': np.ones((2, 3), 'float16'), 'other': np.array([1, np.nan])}, path)
    with open_weights(path) as weights:
        assert weights['wanted'].shape == (2, 3)
        assert np.asarray(weights['wanted']).dtype == 'float16'
        assert np.asarray(weights['wanted'], 'float32').dtype == 'float32'
        with refused(str(path), "'other'", '1 of 2'):
            np.asarray(weights['other'])
    with refused(str(path), 'could not be read'):  # the file is closed
        np.asarray(weights['wanted'])
