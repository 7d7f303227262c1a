import functools
import json
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from jssl.interop.safetensors import load_backbone
from jssl.target_generators import DALLE
from jssl.weights.files import read_weights, write_weights
from tests.checks import refused

ARRAYS = {'a.w': np.arange(6, dtype='float32').reshape(2, 3), 'b': np.ones(2, 'float16')}


def assert_same(found: dict[str, np.ndarray]) -> None:
    assert found.keys() == ARRAYS.keys()
    for key, value in ARRAYS.items():
        assert found[key].dtype == value.dtype
        np.testing.assert_array_equal(found[key], value)


def file_of(header: Any, data: bytes = b'') -> bytes:
    """A .safetensors file."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack('<Q', len(text)) + text + data


def entry(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    """What a header says of an array."""
    return {'dtype': dtype, 'shape': shape, 'data_offsets': [start, end]}


def test_both_kinds_of_files(tmp_path: Path) -> None:
    save_file(ARRAYS, tmp_path / 'x.safetensors')
    np.savez(tmp_path / 'x.npz', **ARRAYS)  # type: ignore[arg-type]
    np.savez_compressed(tmp_path / 'y.NPZ', **ARRAYS)  # type: ignore[arg-type]
    assert_same(read_weights(tmp_path / 'x.safetensors'))
    assert_same(read_weights(str(tmp_path / 'x.npz')))
    (tmp_path / 'y.NPZ.npz').rename(tmp_path / 'y.NPZ')
    assert_same(read_weights(tmp_path / 'y.NPZ'))


def test_a_pickle_is_not_read_but_the_command_is_named(tmp_path: Path) -> None:
    (tmp_path / 'my weights.pth').write_bytes(b'x')
    with refused(
        'pickle',
        f"jssl import '{tmp_path}/my weights.pth' '{tmp_path}/my weights.safetensors'",
    ):
        read_weights(tmp_path / 'my weights.pth')


@pytest.mark.parametrize('name', ['x.safetensors', 'x.npz'])
def test_missing_and_broken_files_are_named(tmp_path: Path, name: str) -> None:
    with refused(name, 'There is no file'):
        read_weights(tmp_path / name)
    (tmp_path / name).write_bytes(b'PK\x03\x04 no such thing')
    with refused(name, 'could not be read'):
        read_weights(tmp_path / name)


@pytest.mark.parametrize('path', ['', '.', '/', 'no\0such', 'x' * 5000])
def test_what_is_no_file_is_no_traceback(path: str) -> None:
    with refused('no file', 'path'):
        read_weights(path)
    with refused('is not there', 'jssl import dalle_encoder.pth'):
        DALLE(weights=path).load({})


def test_bfloat16_is_read_exactly(tmp_path: Path) -> None:
    values = np.array([1.0, -0.15625, 3.0e38, 1e-38, 0.0, -2.5], 'float32')
    values = (values.view('uint32') & 0xFFFF0000).view('float32')  # what 16 bits can hold
    half = (values.view('uint32') >> 16).astype('uint16')
    (tmp_path / 'x.safetensors').write_bytes(
        file_of({'w': entry('BF16', [2, 3], 0, 12)}, half.tobytes())
    )
    found = read_weights(tmp_path / 'x.safetensors')['w']
    assert found.dtype == 'float32'
    np.testing.assert_array_equal(found, values.reshape(2, 3))


@pytest.mark.parametrize('dtype', ['F8_E4M3', 'F8_E5M2', 'C64', 'I8', 'I32', 'U16', 'BOOL'])
def test_other_types_than_floats_are_named(tmp_path: Path, dtype: str) -> None:
    size = {'C64': 8, 'I32': 4, 'U16': 2}.get(dtype, 1)
    written = file_of({'layer.w': entry(dtype, [8], 0, 8 * size)}, bytes(8 * size))
    (tmp_path / 'x.safetensors').write_bytes(written)
    with refused('x.safetensors', "'layer.w'", 'floating-point'):
        read_weights(tmp_path / 'x.safetensors')


TWO = entry('F32', [2], 0, 8)
HEADERS = {
    'a list': file_of([]),
    'no json': file_of(b'hello'),
    'not utf-8': file_of(b'\xff\xfe{}'),
    'deep': file_of(b'[' * 50_000),
    'longer than the file': struct.pack('<Q', 10**8) + b'{',
    'of 2^63 bytes': struct.pack('<Q', 2**63) + b'{',
    'short': b'\1\2',
    'empty': b'',
    'no arrays': file_of({}),
    'numbers as metadata': file_of({'__metadata__': {'x': 5}, 'a': TWO}, bytes(8)),
    'a surrogate': file_of({'a\ud800': TWO}, bytes(8)),
    'more bytes': file_of({'a': TWO}, bytes(9)),
    'cut': file_of({'a': TWO}, bytes(7)),
    'another shape': file_of({'a': entry('F32', [3], 0, 8)}, bytes(8)),
    'a negative shape': file_of({'a': entry('F32', [-2], 0, 8)}, bytes(8)),
    'an overflow': file_of({'a': entry('F32', [2**62, 4], 0, 8)}, bytes(8)),
    'an unknown type': file_of({'a': entry('XYZ', [2], 0, 8)}, bytes(8)),
    'a terabyte': file_of({'a': entry('F32', [2], 0, 10**12)}, bytes(8)),
    'an overlap': file_of({'a': TWO, 'b': TWO}, bytes(8)),
    'a hole': file_of({'a': entry('F32', [2], 8, 16)}, bytes(16)),
}


@pytest.mark.parametrize('kind', HEADERS)
def test_a_header_that_lies_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / 'x.safetensors').write_bytes(HEADERS[kind])
    with refused('x.safetensors', 'could not be read'):
        read_weights(tmp_path / 'x.safetensors')


@pytest.mark.parametrize('wrong', [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_named(tmp_path: Path, wrong: float) -> None:
    weights = {'fine': np.ones(3, 'float32'), 'conv.w': np.array([1, wrong, 1], 'float16')}
    np.savez(tmp_path / 'x.npz', **weights)  # type: ignore[arg-type]
    save_file(weights, tmp_path / 'x.safetensors')
    for name in ('x.npz', 'x.safetensors'):
        with refused(name, "'conv.w'", '1 of 3'):
            read_weights(tmp_path / name)


def test_counters_and_tables_of_positions_come_along(tmp_path: Path) -> None:
    weights = {
        'bn.num_batches_tracked': np.array(7),
        'attn.relative_position_index': np.arange(4).reshape(2, 2),
        'encoder_k.steps': np.array(5, 'int32'),
        'queue_ptr': np.zeros(1, 'int64'),
        'w': np.ones(2),
    }
    np.savez(tmp_path / 'x.npz', **weights)  # type: ignore[arg-type]
    save_file(weights, tmp_path / 'x.safetensors')
    for name in ('x.npz', 'x.safetensors'):
        found = read_weights(tmp_path / name)
        assert {key: value.dtype for key, value in found.items()} == {
            key: value.dtype for key, value in weights.items()
        }


def test_the_backbone_of_a_run_is_read_by_the_same_rules(tmp_path: Path) -> None:
    path = tmp_path / 'backbone.safetensors'
    save_file({'conv1.weight': np.full(2, np.nan)}, path)
    with refused('backbone.safetensors', "'conv1.weight'", 'NaN'):
        load_backbone(path)
    save_file({'conv1.weight': np.ones(2)}, path)
    assert load_backbone(path).keys() == {'backbone.conv1.weight'}


def test_what_is_written_may_be_read_by_whom_the_folder_allows(tmp_path: Path) -> None:
    (tmp_path / 'any').touch()
    write_weights(tmp_path / 'x.safetensors', ARRAYS, {'algorithm': 'SimCLR'})
    assert_same(read_weights(tmp_path / 'x.safetensors'))
    modes = {path.name: path.stat().st_mode for path in tmp_path.iterdir()}
    assert modes == {'any': modes['any'], 'x.safetensors': modes['any']}


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / 'x.safetensors').symlink_to(tmp_path / 'elsewhere')
    write_weights(tmp_path / 'x.safetensors', {'a': np.zeros(2, np.float32)})
    assert [path.name for path in tmp_path.iterdir()] == ['x.safetensors']
    assert read_weights(tmp_path / 'x.safetensors')['a'].shape == (2,)


def test_two_that_write_one_file_do_not_hinder_each_other(tmp_path: Path) -> None:
    """As two processes do: each writes while the other does, and the last one's stays."""
    path = tmp_path / 'x.safetensors'
    arrays = [{'a': np.full(1000, value, np.float32)} for value in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(functools.partial(write_weights, path), arrays))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert len(np.unique(read_weights(path)['a'])) == 1


def test_what_is_transposed_or_cut_out_is_written_as_it_reads(tmp_path: Path) -> None:
    whole = np.arange(24, dtype='float32').reshape(2, 3, 4)
    arrays: dict[str, Any] = {
        'turned': whole.transpose(2, 0, 1),
        'cut': whole[:, ::2],
        'scalar': np.float32(3),
    }
    write_weights(tmp_path / 'weights.safetensors', arrays)
    found = read_weights(tmp_path / 'weights.safetensors')
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
