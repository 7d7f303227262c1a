"""Images of a data set as rows: the same ones come out, however they are kept."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.data import Canvas
from jssl.training.rows import Rows, as_rows
from jssl.training.step import gather


def whole() -> dict[str, Any]:
    pixels = np.random.default_rng(0).integers(256, size=(5, 4, 4, 3), dtype=np.uint8)
    return {'canvas': Canvas(pixels, np.full((5, 2), 4, np.int32)), 'label': np.arange(5)}


def test_images_come_out_of_rows_as_they_went_in() -> None:
    data, index = whole(), jnp.array([3, 0, 3])
    rows: Any = as_rows(data)
    assert rows['canvas'].pixels.rows.shape == (5, 48)
    assert np.shares_memory(rows['canvas'].pixels.rows, data['canvas'].pixels)  # no second copy
    for kept in (rows, data):
        found: Any = jax.jit(gather)({'index': index}, jax.tree.map(jnp.asarray, kept))
        np.testing.assert_array_equal(found['canvas'].pixels, data['canvas'].pixels[[3, 0, 3]])
        np.testing.assert_array_equal(found['canvas'].size, np.full((3, 2), 4))
        np.testing.assert_array_equal(found['label'], [3, 0, 3])
    assert as_rows(None) is None


def test_shapes_become_rows_alike() -> None:
    data = whole()
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), data)
    found: Any = as_rows(shapes)
    assert isinstance(found['canvas'].pixels, Rows)
    assert found['canvas'].pixels.rows.shape == (5, 48)
    assert found['canvas'].pixels.shape == (4, 4, 3)
