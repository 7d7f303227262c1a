import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from jssl.interop.bring import weights_in
from jssl.weights.files import read_weights
from tests.checks import refused

FILES: dict[str, dict[str, np.ndarray]] = {
    'model-1-of-2.safetensors': {'a': np.arange(3, dtype='float32'), 'spare': np.ones(1)},
    'model-2-of-2.safetensors': {'b': np.ones((2, 2), 'float16')},
}
PLACES = {'a': 'model-1-of-2.safetensors', 'b': 'model-2-of-2.safetensors'}


def index_of(folder: Path, places: Any) -> Path:
    for name, arrays in FILES.items():
        save_file(arrays, folder / name)
    path = folder / 'model.safetensors.index.json'
    path.write_text(json.dumps({'metadata': {'total_size': 1}, 'weight_map': places}))
    return path


def test_arrays_of_several_files_come_together(tmp_path: Path) -> None:
    path = index_of(tmp_path, PLACES)
    assert weights_in(tmp_path) == path
    found = read_weights(path)
    assert found.keys() == {'a', 'b'}
    np.testing.assert_array_equal(found['a'], [0, 1, 2])
    assert found['b'].dtype == 'float16'


@pytest.mark.parametrize(
    ('places', 'words'),
    [
        ({}, 'no weight_map'),
        ([1], 'no weight_map'),
        ({'a': '../model-1-of-2.safetensors'}, 'beside it'),
        ({'a': '/etc/passwd'}, 'beside it'),
        ({'a': 5}, 'beside it'),
        ({'a': 'model-1-of-2.pth'}, 'beside it'),
        ({'a': 'model-9.safetensors'}, 'no file'),
        ({'c': 'model-1-of-2.safetensors'}, "'c'"),
    ],
)
def test_an_index_that_lies_is_refused(places: Any, words: str, tmp_path: Path) -> None:
    with refused('index.json', words):
        read_weights(index_of(tmp_path, places))


@pytest.mark.parametrize('text', ['', '[', '[' * 100_000, '\udcff', '{"weight_map": null}'])
def test_what_is_no_index_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / 'model.safetensors.index.json'
    path.write_bytes(text.encode(errors='surrogateescape'))
    with refused('index.json', 'could not be read'):
        read_weights(path)
