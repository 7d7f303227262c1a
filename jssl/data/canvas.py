"""The canvas: what the host makes of an image, and the device every view of."""

from typing import Any, NamedTuple


class Canvas(NamedTuple):
    """One decoded image, or a batch of them under one more axis in front.

    NumPy arrays on the host, JAX arrays on the device; a pytree, so that `jax.vmap` and
    `jax.tree.map` go through it.

    Attributes:
      pixels: uint8 `(S, S, C)`, RGB, grey or RGBA, the image in the top-left corner.
      size: int32 `(2,)`, the image's true height and width.
    """

    pixels: Any
    size: Any
