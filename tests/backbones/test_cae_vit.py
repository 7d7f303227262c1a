import jax
import jax.numpy as jnp
import numpy as np

from jssl.backbones import CAEViT, VisionTransformer
from tests.backbones.test_vit import ARCH, IMAGES, count, shapes_of, tiny
from tests.checks import applied


def test_parameter_count() -> None:
    assert count(shapes_of(CAEViT('base'), 224)[1]) == 85_807_872


def test_all_patches_in_order_are_the_whole_image() -> None:
    """And the whole image is what `VisionTransformer` makes of it, as other tests check that."""
    model, params = tiny(CAEViT)
    plain = VisionTransformer(
        ARCH, img_size=16, patch_size=4, fixed_positions=True, qkv_bias=False, layer_scale=0.1
    )
    patches, cls_token = applied(plain, {'params': params}, IMAGES, train=False)[-1]
    every = jnp.broadcast_to(jnp.arange(16), (2, 16))
    tokens = jax.jit(model.apply)({'params': params}, IMAGES, ids_keep=every)
    np.testing.assert_allclose(tokens[:, 0], cls_token, atol=1e-5)
    np.testing.assert_allclose(tokens[:, 1:], patches.reshape(2, 16, 16), atol=1e-5)


def test_what_is_hidden_is_not_seen() -> None:
    model, params = tiny(CAEViT)
    ids = jnp.array([[0, 5, 6], [15, 1, 2]])
    run = jax.jit(model.apply)
    tokens = run({'params': params}, IMAGES, ids_keep=ids)
    assert tokens.shape == (2, 4, 16)
    changed = IMAGES.at[0, 4:8, :4].set(9)  # patch 4, which neither image shows
    np.testing.assert_array_equal(run({'params': params}, changed, ids_keep=ids), tokens)


def test_the_patch_projection_begins_with_the_spread_asked_for() -> None:
    model = CAEViT(ARCH, img_size=16, patch_size=4, init_std=1.0)
    params = jax.jit(model.init)(jax.random.key(0), IMAGES)['params']
    assert abs(float(params['patch_embed']['projection']['kernel'].std()) - 1) < 0.15
    assert float(params['layers.0']['attn']['proj']['kernel'].std()) < 0.5
