"""Convolutions equal the plain ones, in values and gradients, and accelerators' programs too."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers import conv
from jssl.layers.conv import convolve

NAMES = ('NHWC', 'HWIO', 'NHWC')
plain = functools.partial(jax.lax.conv_general_dilated, dimension_numbers=NAMES)
ours = functools.partial(convolve, dimension_numbers=NAMES)


@pytest.fixture
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small arrays are large, and a gradient is a sum over some images at a time."""
    monkeypatch.setattr(conv, 'LARGE', 3)
    monkeypatch.setattr(conv, 'WIDE', 2)
    monkeypatch.setattr(conv, 'PIXELS', 30)


def arrays(image: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    draw = np.random.default_rng(0)
    return jax.device_put(draw.normal(size=image)), jax.device_put(draw.normal(size=kernel))


def gradients(function: Any, x: jax.Array, kernel: jax.Array) -> Any:
    """The value, and the gradients of a sum in which every output has another weight."""

    def weighed(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
        y = function(x, kernel)
        return (y * jnp.cos(jnp.arange(y.size)).reshape(y.shape)).sum(), y

    (_, y), by = jax.jit(jax.value_and_grad(weighed, (0, 1), has_aux=True))(x, kernel)
    return y, *by


CASES = {
    'odd sides': ((3, 7, 5, 4), (3, 3, 4, 6), (1, 1), ((1, 1), (1, 1)), {}),
    'kernel 5 x 2, lop-sided': ((2, 9, 6, 4), (5, 2, 4, 4), (1, 1), ((3, 0), (0, 2)), {}),
    'no padding': ((2, 6, 6, 4), (3, 3, 4, 4), (1, 1), ((0, 0), (0, 0)), {}),
    'tiny': ((3, 2, 2, 4), (3, 3, 4, 6), (1, 1), ((1, 1), (1, 1)), {}),
    'tiny, one row, lop-sided': ((3, 1, 2, 4), (4, 3, 4, 4), (1, 1), ((1, 2), (0, 2)), {}),
    'tiny, strided': ((2, 4, 3, 4), (3, 3, 4, 5), (2, 2), ((1, 1), (1, 1)), {}),
    'strided': ((2, 7, 6, 4), (3, 3, 4, 4), (2, 2), ((1, 1), (1, 1)), {}),
    'pointwise': ((2, 5, 4, 3), (1, 1, 3, 4), (1, 1), ((0, 0), (0, 0)), {}),
    'pointwise, strided': ((2, 7, 6, 3), (1, 1, 3, 4), (2, 3), ((0, 0), (0, 0)), {}),
    'pointwise, padded': ((2, 5, 4, 4), (1, 1, 4, 4), (1, 1), ((1, 0), (0, 1)), {}),
    'groups': ((2, 6, 6, 8), (3, 3, 4, 8), (1, 1), ((1, 1), (1, 1)), {'feature_group_count': 2}),
    'dilated': ((2, 6, 6, 4), (3, 3, 4, 4), (1, 1), ((1, 1), (1, 1)), {'rhs_dilation': (2, 2)}),
}


@pytest.mark.usefixtures('float64', 'small_is_large')
@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_values_and_gradients_are_those_of_a_plain_convolution(case: Any) -> None:
    image, kernel, strides, padding, options = case
    keywords = {'window_strides': strides, 'padding': padding, **options}
    expected = gradients(functools.partial(plain, **keywords), *arrays(image, kernel))
    keywords['strides'] = keywords.pop('window_strides')
    found = gradients(functools.partial(ours, **keywords), *arrays(image, kernel))
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


def operations(platform: str, image: tuple[int, ...], kernel: tuple[int, ...]) -> list[int]:
    """How many convolutions and products the gradient has as it is lowered for a platform."""
    borders = ((kernel[0] // 2,) * 2,) * 2

    def loss(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return ours(x, kernel, (1, 1), borders).sum()

    shapes = [jax.ShapeDtypeStruct(shape, 'float32') for shape in (image, kernel)]
    traced = jax.jit(jax.grad(loss, (0, 1))).trace(*shapes)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    return [text.count(f'stablehlo.{name}') for name in ('convolution', 'dot_general')]


@pytest.mark.usefixtures('small_is_large')
@pytest.mark.parametrize(('side', 'expected'), [(1, [0, 2]), (3, [1, 3])])
def test_only_programs_for_cpus_hold_the_products(side: int, expected: list[int]) -> None:
    shapes = (2, 12, 12, 4), (side, side, 4, 4)
    assert operations('cpu', *shapes) == expected
    for platform in ('tpu', 'cuda', 'rocm'):
        assert operations(platform, *shapes) == [2, 0]


@pytest.mark.parametrize(
    ('side', 'width', 'expected'),
    [
        *((12, 64, [1, 3]), (11, 64, [2, 0]), (12, 63, [2, 0])),
        *((2, 64, [0, 2]), (3, 64, [2, 0]), (2, 63, [2, 0])),
    ],
)
def test_products_are_taken_where_they_gain(side: int, width: int, expected: list[int]) -> None:
    assert operations('cpu', (2, side, side, width), (3, 3, width, width)) == expected


def test_a_few_images_at_once_unless_devices_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for images, side, expected in (
        (32, 32, 2),
        (31, 32, 31),
        (32, 12, 16),
        (32, 4, 32),
        (8, 56, 1),
    ):
        assert conv._images_at_once(jnp.zeros((images, side, side, 0))) == expected
    monkeypatch.setattr(conv, 'row_parts', lambda: 2)
    assert conv._images_at_once(jnp.zeros((32, 32, 32, 0))) == 32
