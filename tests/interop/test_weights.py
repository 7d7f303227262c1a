from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from jssl.interop.weights import read_weights
from tests.checks import refused

ARRAYS = {'a.w': np.arange(6, dtype='float32').reshape(2, 3), 'b': np.ones(2, 'float16')}


def assert_same(found: dict[str, np.ndarray]) -> None:
    assert found.keys() == ARRAYS.keys()
    for key, value in ARRAYS.items():
        assert found[key].dtype == value.dtype
        np.testing.assert_array_equal(found[key], value)


def test_both_kinds_of_files(tmp_path: Path) -> None:
    save_file(ARRAYS, tmp_path / 'x.safetensors')
    np.savez(tmp_path / 'x.npz', **ARRAYS)
    assert_same(read_weights(tmp_path / 'x.safetensors'))
    assert_same(read_weights(str(tmp_path / 'x.npz')))


def test_a_pickle_is_not_read_but_the_command_is_named(tmp_path: Path) -> None:
    with refused('pickle', f'jssl.interop.convert {tmp_path}/x.pth {tmp_path}/x.safetensors'):
        read_weights(tmp_path / 'x.pth')
    np.savez(tmp_path / 'evil.npz', x=np.array([{}], object))
    with refused('evil.npz', 'could not be read'):
        read_weights(tmp_path / 'evil.npz')


@pytest.mark.parametrize('name', ['x.safetensors', 'x.npz'])
def test_missing_and_broken_files_are_named(tmp_path: Path, name: str) -> None:
    with refused(name, 'could not be read'):
        read_weights(tmp_path / name)
    (tmp_path / name).write_bytes(b'PK\x03\x04 no such thing')
    with refused(name, 'could not be read'):
        read_weights(tmp_path / name)
