"""Archives of NumPy's that are damaged, or made to do harm."""

import io
import pickle
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jssl.weights.files import read_weights
from tests.checks import refused


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(text: str, data: bytes = b'', version: int = 1) -> bytes:
    """A .npy whose header is `text`."""
    padded = text.encode().ljust(117) + b'\n'
    return b'\x93NUMPY' + bytes([version, 0]) + struct.pack('<H', len(padded)) + padded + data


def shaped(shape: str, data: bytes = b'', dtype: str = '<f4') -> bytes:
    return header(f"{{'descr':'{dtype}','fortran_order':False,'shape':{shape}}}", data)


def archive(*entries: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # that a name comes twice
        with zipfile.ZipFile(file, 'w', method) as made:
            for name, data in entries:
                made.writestr(name, data)
    return file.getvalue()


def savez(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def patched(at: int, value: int) -> bytes:
    """An archive of one array with a byte changed where its entry is described, both times."""
    data = bytearray(archive(('a.npy', npy(np.ones(9)))))
    data[data.find(b'PK\x01\x02') + at + 2] = value
    data[at] = value
    return bytes(data)


class Harmful:
    """Its unpickling would write a file."""

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (Path('harm'),))


HOSTILE = {
    'a bare array': npy(np.ones(3)),
    'a pickle': pickle.dumps(Harmful()),
    'nothing': b'',
    'one letter': b'P',
    'no entries': archive(),
    'objects': savez(a=np.array([Harmful(), 1], object)),
    'a pickle as an array': archive(('a.npy', pickle.dumps(Harmful()))),
    'an entry of text': archive(('a.txt', b'hello')),
    'a name twice': archive(('a.npy', npy(np.ones(3))), ('a.npy', npy(np.zeros(3)))),
    'an encrypted entry': patched(6, 1),
    'an unknown method': patched(8, 99),
    'bzip2': archive(('a.npy', npy(np.ones(3))), method=zipfile.ZIP_BZIP2),
    'lzma': archive(('a.npy', npy(np.ones(3))), method=zipfile.ZIP_LZMA),
    'another checksum': patched(14, 7),
    'a terabyte of shape': archive(('a.npy', shaped('(1000000000000,)'))),
    'a negative shape': archive(('a.npy', shaped('(-1,)', bytes(16)))),
    'two negative ones': archive(('a.npy', shaped('(-2,-2)', bytes(16)))),
    'too few values': archive(('a.npy', shaped('(5,)', bytes(16)))),
    'too many values': archive(('a.npy', shaped('(3,)', bytes(16)))),
    'half a header': archive(('a.npy', header("{'descr':'<f4','fortran"))),
    'code as a header': archive(('a.npy', header("__import__('os').mkdir('harm')"))),
    'a deep header': archive(('a.npy', header('(' * 110))),
    'a header of nothing': archive(('a.npy', header('\0'))),
    'another version': archive(('a.npy', header('{}', version=3))),
    'a list that lost an entry': savez(a=np.ones(2), b=np.ones(2)).replace(
        b'\2\0\2\0', b'\3\0\3\0'
    ),
    'no array at all': archive(('a.npy', b'')),
}


@pytest.mark.parametrize('kind', HOSTILE)
def test_it_is_refused_in_a_sentence(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path('x.npz').write_bytes(HOSTILE[kind])
    with refused('x.npz', 'could not be read'):
        read_weights('x.npz')
    assert [path.name for path in tmp_path.iterdir()] == ['x.npz']


@pytest.mark.parametrize(
    'array',
    [
        np.ones(2, 'complex64'),
        np.array(['x', 'y']),
        np.zeros(2, 'V8'),
        np.zeros(2, [('x', '<f4')]),
        np.arange(4),
        np.ones(3, bool),
        np.ones(2, 'datetime64[s]'),
        np.ones(2, 'longdouble'),
    ],
    ids=lambda array: str(array.dtype),
)
def test_an_array_that_is_no_weight_is_named(array: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / 'x.npz', **{'layer.w': array})  # type: ignore[arg-type]
    with refused('x.npz', "'layer.w'", 'floating-point'):
        read_weights(tmp_path / 'x.npz')


def test_every_order_and_shape_is_read(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        'columns first': np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        'other bytes first': np.arange(3, dtype='>f4'),
        'a scalar': np.array(2.5),
        'no rows': np.zeros((0, 4), 'float32'),
        'params/../conv': np.ones((2, 1, 3)),  # a name, which is no path
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / 'x.npz', **arrays)
        found = read_weights(tmp_path / 'x.npz')
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[name].shape == array.shape
            assert found[name].dtype == array.dtype.newbyteorder('=')
            np.testing.assert_array_equal(found[name], array)
    assert [path.name for path in tmp_path.iterdir()] == ['x.npz']


def peak(path: Path) -> int:
    """The most memory that reading takes."""
    tracemalloc.start()
    try:
        read_weights(path)
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        path.with_suffix('.peak').write_text(str(most))
    return most


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / 'x.npz', a=np.zeros(20_000_000, 'float32'))
    with refused('x.npz', '80 MB', '0.0'):
        peak(tmp_path / 'x.npz')
    assert int((tmp_path / 'x.peak').read_text()) < 2_000_000


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_arrays_are_in_memory_once(save: Any, tmp_path: Path) -> None:
    array = np.random.default_rng(0).standard_normal(1_000_000)
    save(tmp_path / 'x.npz', a=array, b=array)
    assert peak(tmp_path / 'x.npz') < 1.5 * 2 * array.nbytes
