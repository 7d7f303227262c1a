"""A data set on the device, whose images lie one after the other."""

import math
from typing import Any

import flax.struct
import jax

from jssl.algorithm import Batch


@flax.struct.dataclass
class Rows:
    """The images of a data set as rows of bytes, which a device has one after the other.

    A TPU lays an array (N, S, S, C) out with N innermost, so that a batch of images would be picked
    out of all of them: it reads and writes the whole set anew in every step.

    Attributes:
      rows: (N, D).
      shape: of an image, whose product is D.
    """

    rows: Any
    shape: tuple[int, ...] = flax.struct.field(pytree_node=False)

    def __getitem__(self, index: jax.Array) -> jax.Array:
        """The images (B, *shape) with these numbers."""
        return self.rows[index].reshape(-1, *self.shape)


def as_rows(data: Batch | None) -> Batch | None:
    """A data set with its pixels (N, S, S, C) as `Rows`; None where there is none on the device.

    Args:
      data: with a `canvas`, in arrays of NumPy, of JAX, or in shapes.
    """
    if data is None:
        return None
    canvas = data['canvas']
    number, *shape = canvas.pixels.shape
    flat = number, math.prod(shape)
    if isinstance(canvas.pixels, jax.ShapeDtypeStruct):
        rows: Any = jax.ShapeDtypeStruct(flat, canvas.pixels.dtype)
    else:
        rows = canvas.pixels.reshape(flat)
    return {**data, 'canvas': canvas._replace(pixels=Rows(rows, tuple(shape)))}
