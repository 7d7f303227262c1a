"""What several tests share: tiny models, the golden tables' matrix, and comparisons."""

import contextlib
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import pytest

from jssl.algorithms import SimCLR
from jssl.backbones import ResNet
from jssl.errors import JsslError
from jssl.heads import ContrastiveHead
from jssl.interop.mmselfsup import export_state
from jssl.necks import NonLinearNeck
from tests import golden


def matrix(rows: int, columns: int, shift: float) -> np.ndarray:
    """sin(0.7 row + 1.3 column + shift), the input of the hand-made golden values."""
    return np.sin(0.7 * np.arange(rows)[:, None] + 1.3 * np.arange(columns) + shift)


def tiny_simclr(**head: float) -> SimCLR:
    """SimCLR on a residual network of one block, which compiles in about two seconds."""
    return SimCLR(
        backbone=ResNet(10, 8, strides=(2,), out_indices=(1,), cifar_stem=True),
        neck=NonLinearNeck(in_channels=8, hid_channels=8, out_channels=8),
        head=ContrastiveHead(**head),
    )


@contextlib.contextmanager
def refused(*parts: str) -> Iterator[pytest.ExceptionInfo[JsslError]]:
    """The block raises the user's error, one paragraph long, with all of `parts` in it."""
    with pytest.raises(JsslError) as caught:
        yield caught
    message = str(caught.value)
    assert '\n' not in message
    for part in parts:
        assert part in message, message


def assert_trees_close(tree: Any, expected: Any, **bounds: Any) -> None:
    """Equal structure, and every leaf within `rtol` and `atol`."""
    assert structure(tree) == structure(expected)
    for leaf, wanted in zip(jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, wanted, **bounds)


def widened(tree: Any) -> Any:
    """The same arrays, those in float32 as float64; for tests of what is exact but for rounding.

    In float32 a ReLU, a maximum or a nearest neighbour near its edge takes either side, as the
    processor rounds, and a step later the difference is one of the gradients, not of rounding.
    """
    return jax.tree.map(
        lambda leaf: leaf.astype('float64') if leaf.dtype == 'float32' else leaf, tree
    )


def applied(module: nn.Module, variables: Any, *arguments: Any, **options: Any) -> Any:
    """`module.apply`, whose result is a pair only with `mutable`, which its type does not tell."""
    return module.apply(variables, *arguments, **options)


def structure(tree: Any) -> Any:
    """`jax.tree.structure`, whose results can be compared though their type does not tell."""
    return jax.tree.structure(tree)


def adaptive_mean(maps: np.ndarray, side: int) -> np.ndarray:
    """Means of PyTorch's `adaptive_avg_pool2d` of (B, h, w, C), in float64.

    Window i goes from floor(i n / side) up to, not including, ceil((i + 1) n / side).
    """
    for axis in (1, 2):
        length = maps.shape[axis]
        windows = [range(i * length // side, -((-i - 1) * length // side)) for i in range(side)]
        means = [maps.take(window, axis).mean(axis, dtype='float64') for window in windows]
        maps = np.stack(means, axis)
    return maps


def well_scaled(shapes: Any) -> Any:
    """Values for the variables of a model, drawn by NumPy: compiling an `init` takes far longer."""
    draw = np.random.default_rng(0)

    def value(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> jax.Array:
        normal = draw.standard_normal(leaf.shape)
        if path[-1].key in ('scale', 'var'):
            normal = np.exp(0.2 * normal)
        elif path[-1].key in ('bias', 'mean'):
            normal *= 0.1
        else:
            normal *= np.prod(leaf.shape[:-1]) ** -0.5
        return jax.device_put(normal.astype(leaf.dtype))  # `jnp.asarray` would compile it

    return jax.tree.map_with_path(value, shapes)


def assert_drawn_like(params: Any, model: str) -> None:
    """Fresh `params` have the distributions that the reference's own initialisation has.

    The bounds are five standard errors for means and deviations; extremes of normal draws vary by
    a third of a deviation. Skipped where the folders hold no such model, or one of other sizes.
    """
    tables = [golden.settings(path)['models'] for path in golden.files_of('part_init_stats')]
    table = next((found[model] for found in tables if model in found), None)
    if table is None:
        pytest.skip(f'part_init_stats has no {model}' if golden.files() else golden.MISSING)
    exported = export_state(params)
    if any(list(x.shape) != table[key]['shape'] for key, x in exported.items() if key in table):
        pytest.skip(f'{model} has other sizes in part_init_stats than here')
    compare_draws(exported, table)


def compare_draws(exported: dict[str, np.ndarray], table: golden.Meta) -> None:
    """Arrays in the reference's names against their rows of `part_init_stats`."""
    for key, fresh in exported.items():
        values, stats = np.asarray(fresh, np.float64), table[key]
        assert list(values.shape) == stats['shape'], key
        error = 5 * stats['std'] / np.sqrt(values.size)
        assert abs(values.mean() - stats['mean']) <= np.sqrt(2) * error, key
        assert abs(values.std() - stats['std']) <= error, key
        assert abs(values.min() - stats['min']) <= 1.7 * stats['std'], key
        assert abs(values.max() - stats['max']) <= 1.7 * stats['std'], key
