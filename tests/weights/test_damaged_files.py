"""Hundreds of files with a byte changed, a piece replaced or the end cut off."""

import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from jssl.errors import JsslError
from jssl.interop.convert import convert
from jssl.weights.files import read_weights

ARRAYS = {
    'backbone.conv1.weight': np.linspace(-1, 1, 360, dtype='float32').reshape(30, 3, 4),
    'fc.bias': np.ones(90, 'float64'),
}
Reader = Callable[[Path], dict[str, np.ndarray]]


def npz(write: Any) -> bytes:
    file = io.BytesIO()
    write(file, **ARRAYS)
    return file.getvalue()


def checkpoint(archive: bool) -> bytes:
    torch = pytest.importorskip('torch')
    file = io.BytesIO()
    tensors = {key: torch.from_numpy(value) for key, value in ARRAYS.items()}
    torch.save({'state_dict': tensors}, file, _use_new_zipfile_serialization=archive)
    return file.getvalue()


def damaged(whole: bytes, seed: int, count: int) -> Iterator[bytes]:
    draw = random.Random(seed)
    for _ in range(count):
        data, kind, place = bytearray(whole), draw.randrange(4), draw.randrange(len(whole))
        if kind == 0:
            data[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            data[place : place + draw.randrange(1, 9)] = draw.randbytes(4)
        else:
            data[place : place + 8] = draw.choice([b'\0' * 8, b'\xff' * 8, b'9' * 8])
        yield bytes(data)


def outcomes(path: Path, files: Iterator[bytes], read: Reader) -> Iterator[dict[str, np.ndarray]]:
    """What can be read of the files; an error that is none of ours ends it."""
    said = []
    for data in files:
        path.write_bytes(data)
        try:
            yield read(path)
        except JsslError as error:
            said.append(str(error))
    assert len(said) > 100
    assert all('\n' not in message and len(message) < 1000 for message in said)


def converted(path: Path) -> dict[str, np.ndarray]:
    target = path.with_suffix('.safetensors')
    convert(path, target)
    return read_weights(target)


def assert_whole(found: dict[str, np.ndarray]) -> None:
    assert found.keys() == ARRAYS.keys()
    for key, value in ARRAYS.items():
        np.testing.assert_array_equal(found[key], value)


@pytest.mark.slow
@pytest.mark.parametrize('write', [np.savez, np.savez_compressed])
def test_an_archive_of_arrays_is_whole_or_refused(write: Any, tmp_path: Path) -> None:
    for found in outcomes(tmp_path / 'x.npz', damaged(npz(write), 3, 400), read_weights):
        assert_whole(found)


@pytest.mark.slow
def test_safetensors_give_finite_floats_or_are_refused(tmp_path: Path) -> None:
    whole = save(ARRAYS, {'algorithm': 'SimCLR'})
    for found in outcomes(tmp_path / 'x.safetensors', damaged(whole, 5, 400), read_weights):
        assert all(np.isfinite(array).all() for array in found.values())
        assert sum(array.size for array in found.values()) <= 4 * len(whole)


@pytest.mark.slow
@pytest.mark.parametrize('archive', [True, False])
def test_a_checkpoint_of_pytorch_is_whole_or_refused(archive: bool, tmp_path: Path) -> None:
    files = damaged(checkpoint(archive), 7, 300)
    for found in outcomes(tmp_path / 'x.pth', files, converted):
        if archive:  # the older format has no checksum
            assert_whole(found)
