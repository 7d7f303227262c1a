"""Rotary positions: queries and keys of patches turn by an angle that says where they are."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jssl.checks import Checked, Count, NonNegative, Positive
from jssl.errors import JsslError, suggest

DRAWS = 5  # numbers a block takes: two for the shift, two for the jitter, one for the rescale


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rotation:
    """By how much the channels of a head turn.

    Attributes:
      sine: of the angles, (..., N, d), the same in both halves of the channels.
      cosine: likewise.
      adjacent: whether channels that turn together stand side by side, as in EVA-02, or half a
        head apart, as in DINOv3.
    """

    sine: jax.Array
    cosine: jax.Array
    adjacent: bool = dataclasses.field(default=False, metadata={'static': True})


@dataclasses.dataclass(frozen=True)
class Rotary(Checked):
    """Angles of two axes (Su et al. 2021, RoFormer; Simeoni et al. 2025, DINOv3).

    The coordinate u of a row or a column lies in [-1, 1]; channel j of a head turns by
    2 pi u / period_j. In training coordinates may move: u <- (u + shift) jitter rescale.

    With `reference` u is the number of the row or column, and the angle u / period_j (Fang et al.
    2023, EVA-02, whose base is 10000).

    Attributes:
      base: period_j = base^(4 j / d) for d channels of a head.
      periods: the shortest and the longest period in place of `base`, the others evenly between
        in their logarithm.
      coordinates: 'separate' divides rows by their number and columns by theirs, 'max' and 'min'
        both by the larger or the smaller of the two.
      reference: rows and columns of a grid that all others are stretched to, of which patches are
        counted from 0; None for coordinates in [-1, 1].
      adjacent: see `Rotation`.
      shift: largest shift of each axis, drawn evenly; 0 for none.
      jitter: largest factor of each axis, drawn evenly in its logarithm; None for none.
      rescale: largest factor of both axes, drawn likewise; None for none.
    """

    base: Positive = 100.0
    periods: tuple[Positive, Positive] | None = None
    coordinates: Literal['separate', 'max', 'min'] = 'separate'
    reference: Count | None = None
    adjacent: bool = False
    shift: NonNegative = 0.0
    jitter: Positive | None = None
    rescale: Positive | None = None

    @property
    def is_random(self) -> bool:
        """Whether training moves the coordinates."""
        return bool(self.shift) or self.jitter is not None or self.rescale is not None


def make_rotary(options: Mapping[str, Any] | None) -> Rotary | None:
    """What `config.model.backbone.rotary` describes; None for None.

    Raises:
      JsslError: for an entry that is none of `Rotary`'s fields, or a value out of its range.
    """
    if options is None:
        return None
    names = [field.name for field in dataclasses.fields(Rotary)]
    for key in options:
        if key not in names:
            raise JsslError(
                f'config.model.backbone.rotary has an entry {key!r}. {suggest(key, names)}'
            )
    return Rotary(**options)


def rotary_periods(rotary: Rotary, channels: int) -> np.ndarray:
    """The periods float32 (channels / 4,) of a head with so many channels.

    Raises:
      JsslError: if `channels` is no multiple of 4.
    """
    if channels % 4:
        raise JsslError(
            f'Rotary positions need heads with a multiple of 4 channels, not {channels}; change '
            'embed_dims or num_heads in config.model.backbone.arch.'
        )
    count = channels // 4
    if rotary.periods is None:
        return (rotary.base ** (np.arange(count) / count)).astype(np.float32)
    return np.geomspace(*rotary.periods, count).astype(np.float32)


def rotary_table(
    rotary: Rotary,
    grid: tuple[int, int],
    channels: int,
    draws: jax.Array | None = None,
    dtype: Any = jnp.float32,
) -> Rotation:
    """Sines and cosines of all patches, each (rows * columns, channels), row-major.

    Args:
      rotary: what the angles are.
      grid: rows and columns of patches.
      channels: of a head.
      draws: (5,), evenly in [0, 1): where in their ranges the shifts of rows and columns, their
        jitters and the rescale are; None for none of them.
      dtype: of the table.
    """
    axes = np.meshgrid(*_axes(rotary, grid), indexing='ij')
    places = np.stack(axes, axis=-1).reshape(-1, 2)
    coordinates = _moved(rotary, jnp.asarray(places, dtype), draws)
    periods = jnp.asarray(rotary_periods(rotary, channels), dtype)
    turns = 2 * np.pi if rotary.reference is None else 1.0
    angles = turns * coordinates[:, :, None] / periods
    angles = jnp.tile(angles.reshape(len(places), -1), 2)
    return Rotation(jnp.sin(angles), jnp.cos(angles), rotary.adjacent)


def _axes(rotary: Rotary, grid: tuple[int, int]) -> list[np.ndarray]:
    """The coordinates of rows, and of columns."""
    if rotary.reference is not None:
        return [np.arange(count) / count * rotary.reference for count in grid]
    sizes = {'separate': grid, 'max': (max(grid),) * 2, 'min': (min(grid),) * 2}
    return [
        2 * (np.arange(count) + 0.5) / size - 1
        for count, size in zip(grid, sizes[rotary.coordinates], strict=True)
    ]


def _moved(rotary: Rotary, coordinates: jax.Array, draws: jax.Array | None) -> jax.Array:
    """Coordinates (N, 2) after shift, jitter and rescale."""
    if draws is None:
        return coordinates
    signed = (2 * draws - 1).astype(coordinates.dtype)
    coordinates += rotary.shift * signed[:2]
    if rotary.jitter is not None:
        coordinates *= jnp.exp(np.log(rotary.jitter) * signed[2:4])
    if rotary.rescale is not None:
        coordinates *= jnp.exp(np.log(rotary.rescale) * signed[4])
    return coordinates


def rotary_tables(
    rotary: Rotary,
    blocks: int,
    grid: tuple[int, int],
    channels: int,
    *,
    train: bool,
    draws: jax.Array | None,
    dtype: Any,
) -> Rotation:
    """`rotary_table` of all blocks, (blocks, rows * columns, channels); draws matter in training.

    The tables are at least float32, whatever `dtype` the tokens have.

    Raises:
      JsslError: where training moves the coordinates and no `draws` (blocks, 5) came.
    """
    dtype = jnp.promote_types(dtype, jnp.float32)
    if not (train and rotary.is_random):
        table = rotary_table(rotary, grid, channels, dtype=dtype)
        return jax.tree.map(lambda one: jnp.broadcast_to(one, (blocks, *one.shape)), table)
    if draws is None:
        raise JsslError(
            'config.model.backbone.rotary is random in training, and no draws came with the call; '
            'pass rotary_draws=jssl.layers.rotary.draw_rotary(key, num_layers) with it, or leave '
            'out shift, jitter and rescale, such as by --config.model.backbone.rotary={}.'
        )
    return jax.vmap(lambda one: rotary_table(rotary, grid, channels, one, dtype))(draws)


def draw_rotary(key: jax.Array, blocks: int) -> jax.Array:
    """Draws (blocks, 5) of `rotary_table`, new ones for every block."""
    return jax.random.uniform(key, (blocks, DRAWS))


def rotate(x: jax.Array, rotation: Rotation) -> jax.Array:
    """Queries or keys turned by their place: x cos + (-b, a) sin, where (a, b) are halves of x.

    Of adjacent channels the first ones become the first half, in queries and keys alike, whose
    products do not change by that.

    Args:
      x: (B, N, heads, d).
      rotation: sines and cosines (n, d), or (B, n, d), of the last n tokens; those before them, the
        class token and registers, do not turn.
    """
    if rotation.adjacent:
        x = jnp.concatenate([x[..., ::2], x[..., 1::2]], axis=-1)
    sine, cosine = (table[..., None, :] for table in (rotation.sine, rotation.cosine))
    start = x.shape[1] - sine.shape[-3]
    patches = x[:, start:].astype(sine.dtype)
    first, second = jnp.split(patches, 2, axis=-1)
    turned = patches * cosine + jnp.concatenate([-second, first], axis=-1) * sine
    return jnp.concatenate([x[:, :start], turned.astype(x.dtype)], axis=1)
