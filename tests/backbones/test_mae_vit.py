import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithms import MAE
from jssl.backbones import DINOViT, IJEPAViT, MAEViT, MaskFeatViT
from jssl.heads import MAEPretrainHead
from jssl.necks import MAEPretrainDecoder
from tests.checks import assert_drawn_like, refused, well_scaled

ARCH = {'embed_dims': 16, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 32}
MODEL = MAEViT(ARCH, img_size=16, patch_size=4)
MASKED = MaskFeatViT(ARCH, img_size=16, patch_size=4)
IMAGES = jax.random.normal(jax.random.key(1), (2, 16, 16, 3))
ALL = jnp.tile(jnp.arange(16), (2, 1))
MASK = jnp.zeros((2, 4, 4), bool).at[:, 1, 2].set(True)
RUN = jax.jit(MODEL.apply, static_argnames='train')
RUN_MASKED = jax.jit(MASKED.apply, static_argnames='train')


@functools.cache
def variables(kind: str) -> Any:
    init = {
        'mae': functools.partial(MODEL.init, train=False, ids_keep=ALL),
        'maskfeat': functools.partial(MASKED.init, train=False, mask=MASK),
    }
    return well_scaled(jax.eval_shape(init[kind], jax.random.key(0), IMAGES))


def test_all_patches_in_any_order_give_the_whole_image_s_tokens() -> None:
    [(whole, cls_token)] = RUN(variables('mae'), IMAGES, train=False)
    order = jax.random.permutation(jax.random.key(0), 16)
    tokens = RUN(variables('mae'), IMAGES, train=False, ids_keep=ALL[:, order])
    expected = whole.reshape(2, 16, 16)[:, order]
    np.testing.assert_allclose(tokens[:, 1:], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(tokens[:, 0], cls_token, rtol=1e-4, atol=1e-5)


def test_what_is_hidden_cannot_be_seen() -> None:
    visible = jnp.array([[0, 3, 9, 14], [1, 2, 5, 15]])
    run = functools.partial(RUN, variables('mae'), train=False, ids_keep=visible)
    tokens = run(IMAGES)
    assert tokens.shape == (2, 5, 16)
    np.testing.assert_array_equal(run(IMAGES.at[0, 4:8, 4:8].add(9.0)), tokens)  # patch 5 of 0
    assert np.any(run(IMAGES.at[1, 4:8, 4:8].add(9.0)) != tokens)


def test_the_matrices_have_as_many_rows_as_there_are_visible_patches() -> None:
    """The encoder's products grow with the visible patches; nothing in it has the others' rows."""

    def flops(count: int) -> float:
        call = functools.partial(MODEL.apply, train=False)
        compiled = jax.jit(call).lower(variables('mae'), IMAGES, ids_keep=ALL[:, :count])
        costs: Any = compiled.cost_analysis()
        return costs['flops']

    embedding = 2 * 2 * 16 * (4 * 4 * 3) * 16
    few, many = (flops(count) - embedding for count in (3, 15))
    assert few / many < 4 / 16 * 1.1


def test_count_of_visible_patches_is_the_reference_s() -> None:
    base = MAEViT('base')
    assert base.count_visible(196) == 49
    assert MAEViT('huge', patch_size=14).count_visible(256) == 64
    assert MAEViT('base', mask_ratio=0.6).count_visible(196) == 78


@pytest.mark.parametrize(
    ('ratio', 'words'), [(1.0, 'below 1'), (-0.1, 'at least 0'), (0.99, 'of the 16 patches')]
)
def test_a_ratio_that_leaves_nothing_is_refused(ratio: float, words: str) -> None:
    with refused(f'mask_ratio={ratio}', words):
        MAEViT(ARCH, img_size=16, patch_size=4, mask_ratio=ratio)


def test_initial_values_are_distributed_as_the_reference_s() -> None:
    arch = {'embed_dims': 128, 'num_layers': 2, 'num_heads': 4, 'feedforward_channels': 512}
    small: dict[str, Any] = {'decoder_embed_dim': 96, 'decoder_depth': 2, 'decoder_num_heads': 4}
    model = MAE(
        MAEViT(arch, img_size=64),
        MAEPretrainDecoder(num_patches=16, embed_dim=128, **small),
        MAEPretrainHead(),
    )
    batch = {'views': (jnp.zeros((1, 64, 64, 3)),)}
    params, state = jax.jit(model.init)(jax.random.key(0), batch)
    assert state == {}
    assert_drawn_like(params, 'mae')


@pytest.mark.parametrize(
    ('arch', 'patch', 'count'),
    [('base', 16, 85_798_656), ('large', 16, 303_301_632), ('huge', 14, 630_764_800)],
)
def test_published_sizes(arch: str, patch: int, count: int) -> None:
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), 'float32')
    model = MAEViT(arch, patch_size=patch)
    shapes = jax.eval_shape(functools.partial(model.init, train=False), jax.random.key(0), images)
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)) == count


def test_a_masked_patch_is_replaced_by_the_token() -> None:
    run = functools.partial(RUN_MASKED, variables('maskfeat'), train=False)
    [(hidden, cls_token)] = run(IMAGES, mask=MASK)
    assert hidden.shape == (2, 4, 4, 16)
    assert cls_token.shape == (2, 16)
    below = (slice(None), slice(4, 8), slice(8, 12))
    [(again, _)] = run(IMAGES.at[below].add(9.0), mask=MASK)
    np.testing.assert_array_equal(again, hidden)
    [(seen, _)] = run(IMAGES, mask=0 * MASK)
    [(whole, _)] = run(IMAGES)
    np.testing.assert_allclose(whole, seen, atol=1e-5)
    assert np.abs(hidden - seen).max() > 1e-3


@pytest.mark.parametrize('kind', [MaskFeatViT, IJEPAViT, DINOViT])
def test_matrices_begin_with_the_spread_asked_for(kind: Any) -> None:
    """All of them but DINO's patch projection, which begins as PyTorch's convolution."""
    model = kind(ARCH, img_size=16, patch_size=4, init_std=0.3)
    params = jax.jit(functools.partial(model.init, train=False))(jax.random.key(0), IMAGES)
    flat = jax.tree_util.tree_leaves_with_path(params['params'])
    kernels = {jax.tree_util.keystr(path): leaf for path, leaf in flat if leaf.ndim > 1}
    spreads = {name: float(leaf.std()) for name, leaf in kernels.items() if 'kernel' in name}
    assert len(spreads) == 2 * 4 + 1
    if kind is DINOViT:
        [patch] = [name for name in spreads if 'patch_embed' in name]
        assert spreads.pop(patch) == pytest.approx(1 / 144**0.5, rel=0.15)
    assert spreads == pytest.approx(dict.fromkeys(spreads, 0.3), rel=0.15)


def test_maskfeat_trains_its_positions() -> None:
    assert not MASKED.is_frozen('pos_embed')
    assert MODEL.is_frozen('pos_embed')
    assert MASKED.get_layer_depth('mask_token') == (0, 4)
