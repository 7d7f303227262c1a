"""Position tables of vision transformers: fixed sine-cosine ones, and resizing a stored one."""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jssl.errors import JsslError

Interpolation = Literal['plain', 'offset', 'antialiased']
BiasInterpolation = Literal['plain', 'linear', 'geometric']


def sincos_positions(
    grid: int | tuple[int, int],
    channels: int,
    *,
    temperature: float = 10000.0,
    cls_token: bool = True,
    columns_first: bool = False,
) -> np.ndarray:
    """The two-dimensional sine-cosine table (MoCo v3 and MAE; Vaswani et al. 2017, section 3.5).

    A quarter of the channels each holds sin(a w_k), cos(a w_k), sin(b w_k), cos(b w_k) with
    w_k = temperature^(-k / (channels / 4)), for a token with slow index a and fast index b.

    Args:
      grid: tokens a side. A pair (h, w) is enumerated as the reference does it, with the index
        along w slow; so it fits row-major tokens where h = w alone.
      channels: width of the tokens, a multiple of 4.
      temperature: ratio of the slowest to the fastest wave length.
      cls_token: whether a row of zeros for the class token comes first.
      columns_first: whether the first half of the channels is of the fast index, as in I-JEPA.

    Returns:
      float32 (1, tokens, channels).

    Raises:
      JsslError: if `channels` is no multiple of 4.
    """
    if channels % 4:
        raise JsslError(
            f'A sine-cosine position table needs a multiple of 4 channels, not {channels}; change '
            'embed_dims of the backbone.'
        )
    rows, columns = (grid, grid) if isinstance(grid, int) else grid
    slow = np.repeat(np.arange(columns), rows)
    fast = np.tile(np.arange(rows), columns)
    frequencies = temperature ** (-np.arange(channels // 4) / (channels // 4))
    order = (fast, slow) if columns_first else (slow, fast)
    angles = [np.outer(index, frequencies) for index in order]
    table = np.concatenate([wave(angle) for angle in angles for wave in (np.sin, np.cos)], axis=1)
    if cls_token:
        table = np.concatenate([np.zeros((1, channels)), table])
    return table[None].astype(np.float32)


def resize_positions(
    table: jax.Array,
    grid: tuple[int, int],
    *,
    extra_tokens: int = 1,
    interpolation: Interpolation = 'plain',
) -> jax.Array:
    """A position table for another grid, bicubic as PyTorch's; differentiable in the table.

    Args:
      table: (1, extra_tokens + n * n, C), row-major.
      grid: rows and columns of the new one.
      extra_tokens: rows at the front that stay as they are, the class token's.
      interpolation: 'plain' samples at (i + 0.5) n / size - 0.5 with a = -0.75; 'offset' puts
        size + 0.1 in place of the size, as DINO, iBOT and DINOv2 without registers do;
        'antialiased' is a = -0.5 with a kernel as wide as the step, where that is more than 1, and
        border weights that sum to 1, as in DINOv2 with registers.

    Returns:
      (1, extra_tokens + rows * columns, C); the table itself where the grid is its own.

    Raises:
      JsslError: if the table's patches are no square grid.
    """
    extra, patches = table[:, :extra_tokens], table[:, extra_tokens:]
    side = round(patches.shape[1] ** 0.5)
    if side * side != patches.shape[1]:
        raise JsslError(
            f'pos_embed has {patches.shape[1]} patch positions, which is no square grid; resize '
            'it before you load it.'
        )
    if grid == (side, side):
        return table
    resized = resize_map(patches.reshape(1, side, side, -1), grid, interpolation)
    return jnp.concatenate([extra, resized.reshape(1, -1, table.shape[-1])], axis=1)


def resize_map(
    maps: jax.Array, grid: tuple[int, int], interpolation: Interpolation = 'plain'
) -> jax.Array:
    """Maps (B, h, w, C) for another grid, bicubic as in `resize_positions`; differentiable.

    Args:
      maps: one vector for each place.
      grid: rows and columns of the new ones.
      interpolation: see `resize_positions`.
    """
    if grid == maps.shape[1:3]:
        return maps
    rows, columns = (
        jnp.asarray(_resize_weights(source, size, interpolation), maps.dtype)
        for source, size in zip(maps.shape[1:3], grid, strict=True)
    )
    exact = jax.lax.Precision.HIGHEST
    return jnp.einsum('yi,xj,bijc->byxc', rows, columns, maps, precision=exact)


def resize_biases(
    table: np.ndarray, entries: int, interpolation: BiasInterpolation = 'plain'
) -> np.ndarray:
    """Biases (n, heads) for a square with as many as `entries` relative positions.

    A class token's three come last, and stay. Without them the number of entries is the square of
    an odd one.

    Args:
      table: biases by relative position, row-major.
      entries: of the new one.
      interpolation: 'plain' is bicubic, as in Swin; 'linear' is bilinear, as in Hugging Face's
        BEiT; 'geometric' is bilinear between places whose distances grow away from the centre, so
        that near positions stay what they are, as in timm's BEiT. (BEiT's authors are bicubic
        between the same places.)
    """
    own = 0 if entries % 2 else 3
    wanted, had = math.isqrt(entries - own), math.isqrt(len(table) - own)
    weights = BIAS_WEIGHTS[interpolation](had, wanted)
    places = table[: had * had].reshape(had, had, -1)
    resized = np.einsum('yi,xj,ijh->yxh', weights, weights, places).reshape(wanted * wanted, -1)
    return np.concatenate([resized.astype(table.dtype), table[had * had :]])


def _linear_weights(source: int, target: int) -> np.ndarray:
    places = (np.arange(target) + 0.5) * source / target - 0.5
    return _between(np.arange(source), places)


def _geometric_weights(source: int, target: int) -> np.ndarray:
    """Places of the source are 0, 1, 1 + q, 1 + q + q^2, ...; the last is half the target's."""
    half = np.arange(source // 2)
    low, high = 1.01, 1.5
    while high - low > 1e-6:
        ratio = (low + high) / 2
        low, high = (low, ratio) if (ratio**half).sum() > target // 2 else (ratio, high)
    steps = np.cumsum(ratio**half)
    targets = np.arange(target) - target // 2
    return _between(np.concatenate([-steps[::-1], [0], steps]), targets)


def _between(sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The matrix (target, source) of a linear interpolation between places in order."""
    return np.stack([np.interp(targets, sources, row) for row in np.eye(len(sources))], axis=1)


def _resize_weights(source: int, target: int, interpolation: Interpolation) -> np.ndarray:
    """The matrix (target, source) of an interpolation along one axis."""
    if interpolation == 'antialiased':
        return _smooth_weights(source, target)
    return _cubic_weights(source, target, 0.1 if interpolation == 'offset' else 0.0)


def _cubic_weights(source: int, target: int, offset: float) -> np.ndarray:
    """Keys' cubic convolution with a = -0.75; the border repeats outwards."""
    places = (np.arange(target) + 0.5) * source / (target + offset) - 0.5
    first = np.floor(places).astype(int) - 1
    weights = np.zeros((target, source))
    for tap in range(4):
        index = np.clip(first + tap, 0, source - 1)
        np.add.at(weights, (np.arange(target), index), _cubic(places - first - tap, a=-0.75))
    return weights


def _smooth_weights(source: int, target: int) -> np.ndarray:
    """The cubic kernel with a = -0.5, stretched to the step; what is outside does not count."""
    step = source / target
    centers = (np.arange(target) + 0.5) * step
    distances = np.arange(source) + 0.5 - centers[:, None]
    weights = _cubic(distances / max(step, 1.0), a=-0.5)
    return weights / weights.sum(axis=1, keepdims=True)


BIAS_WEIGHTS: dict[BiasInterpolation, Callable[[int, int], np.ndarray]] = {
    'plain': lambda source, target: _cubic_weights(source, target, 0.0),
    'linear': _linear_weights,
    'geometric': _geometric_weights,
}


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * (x**3 - 5 * x**2 + 8 * x - 4)
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
