import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithms import SimMIM
from jssl.backbones import SimMIMSwinTransformer, SwinTransformer
from jssl.heads import SimMIMHead
from jssl.necks import SimMIMNeck
from tests.checks import assert_drawn_like, well_scaled

ARCH = {'embed_dims': 8, 'depths': (1,), 'num_heads': (2,)}
SIZES: dict[str, Any] = {'img_size': 16, 'patch_size': 4, 'window_size': 4, 'out_indices': (0,)}
MODEL = SimMIMSwinTransformer(ARCH, drop_path_rate=0.0, use_abs_pos_embed=True, **SIZES)
IMAGES = jax.random.normal(jax.random.key(1), (2, 16, 16, 3))
MASK = jnp.zeros((2, 4, 4), bool).at[:, 1, 2].set(True)
RUN = jax.jit(MODEL.apply)


@functools.cache
def variables() -> Any:
    init = functools.partial(MODEL.init, train=False, mask=MASK)
    return well_scaled(jax.eval_shape(init, jax.random.key(0), IMAGES))


def test_a_masked_patch_is_replaced_by_the_token() -> None:
    [hidden] = RUN(variables(), IMAGES, mask=MASK)
    assert hidden.shape == (2, 4, 4, 8)
    [again] = RUN(variables(), IMAGES.at[:, 4:8, 8:12].add(9.0), mask=MASK)
    np.testing.assert_array_equal(again, hidden)
    [seen] = RUN(variables(), IMAGES, mask=0 * MASK)
    assert np.abs(hidden - seen).max() > 1e-3


def test_without_a_mask_it_is_a_swin_transformer() -> None:
    plain = SwinTransformer(ARCH, drop_path_rate=0.0, use_abs_pos_embed=True, **SIZES)
    rest = {k: v for k, v in variables()['params'].items() if k != 'mask_token'}
    [expected] = jax.jit(plain.apply)({'params': rest}, IMAGES)
    np.testing.assert_allclose(RUN(variables(), IMAGES)[0], expected, atol=1e-6)


def test_a_masked_patch_keeps_its_position() -> None:
    """Two masked patches differ by their positions alone, so these are added after the masking."""
    everything = jnp.ones((2, 4, 4), bool)
    [hidden] = RUN(variables(), IMAGES, mask=everything)
    assert np.abs(hidden[:, 0, 0] - hidden[:, 3, 3]).max() > 1e-3
    np.testing.assert_allclose(hidden[0], hidden[1], atol=1e-6)


def test_initial_values_are_distributed_as_the_reference_s() -> None:
    arch = {'embed_dims': 32, 'depths': (2, 2, 2, 2), 'num_heads': (1, 2, 4, 8)}
    backbone = SimMIMSwinTransformer(arch, img_size=128, window_size=4)
    model = SimMIM(backbone, SimMIMNeck(256), SimMIMHead())
    batch = {'views': (jnp.zeros((1, 128, 128, 3)),)}
    params, state = jax.jit(model.init)(jax.random.key(1), batch)
    assert state == {}
    assert_drawn_like(params, 'simmim')


@pytest.mark.parametrize(
    ('arch', 'window', 'count'), [('base', 6, 86_725_304), ('large', 12, 195_198_708)]
)
def test_published_sizes(arch: str, window: int, count: int) -> None:
    images = jax.ShapeDtypeStruct((1, 192, 192, 3), 'float32')
    mask = jax.ShapeDtypeStruct((1, 48, 48), bool)
    model = SimMIMSwinTransformer(arch, window_size=window, pad_small_map=window == 12)
    init = functools.partial(model.init, train=False)
    shapes = jax.eval_shape(init, jax.random.key(0), images, mask=mask)
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)) == count
