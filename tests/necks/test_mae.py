from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.augment.masks import random_masking
from jssl.necks import MAEPretrainDecoder
from jssl.weights.stacked import stack_like, unstack
from tests.checks import applied, assert_trees_close, refused, well_scaled

SMALL: dict[str, Any] = {'decoder_embed_dim': 8, 'decoder_depth': 1, 'decoder_num_heads': 2}
DECODER = MAEPretrainDecoder(num_patches=9, patch_size=2, embed_dim=6, **SMALL)
NOISE = jax.random.uniform(jax.random.key(0), (2, 9))
KEEP, RESTORE, MASK = random_masking(NOISE, 4)
LATENT = jax.random.normal(jax.random.key(1), (2, 5, 6))


def variables(decoder: MAEPretrainDecoder) -> Any:
    shapes = jax.eval_shape(decoder.init, jax.random.key(0), LATENT, RESTORE)
    return well_scaled(shapes)


RUN = jax.jit(DECODER.apply)


def test_every_patch_is_predicted_wherever_it_stands_among_the_visible() -> None:
    """Another order of the visible tokens, told by `ids_restore`, changes nothing."""
    params = variables(DECODER)
    out = RUN(params, LATENT, RESTORE)
    assert out.shape == (2, 9, 12)
    order = jnp.array([2, 0, 3, 1])  # new place i holds the former place order[i]
    shuffled = jnp.concatenate([LATENT[:, :1], LATENT[:, 1:][:, order]], axis=1)
    places = jnp.concatenate([jnp.argsort(order), jnp.arange(4, 9)])
    again = RUN(params, shuffled, places[RESTORE])
    np.testing.assert_allclose(again, out, rtol=1e-4, atol=1e-5)


def test_hidden_patches_differ_by_their_positions_alone() -> None:
    params = variables(DECODER)
    hidden = np.asarray(RUN(params, LATENT, RESTORE))[0][np.asarray(MASK[0])]
    assert np.abs(hidden[0] - hidden[1]).max() > 1e-3
    params['params']['decoder_pos_embed'] = jnp.zeros((1, 10, 8))
    hidden = np.asarray(RUN(params, LATENT, RESTORE))[0][np.asarray(MASK[0])]
    np.testing.assert_allclose(hidden, np.broadcast_to(hidden[0], hidden.shape), atol=1e-5)


def test_remat_and_scan_change_nothing_and_positions_are_fixed() -> None:
    deep = MAEPretrainDecoder(
        num_patches=9, patch_size=2, embed_dim=6, **(SMALL | {'decoder_depth': 2})
    )
    scanned = deep.clone(scan_layers=True, remat=True)
    params = variables(deep)
    stacked = stack_like(params, jax.eval_shape(scanned.init, jax.random.key(0), LATENT, RESTORE))
    assert stacked['params']['decoder_blocks']['ln1']['scale'].shape == (2, 8)

    def gradient(decoder: MAEPretrainDecoder, params: Any) -> Any:
        loss = lambda p: jnp.sum(jnp.sin(applied(decoder, p, LATENT, RESTORE)))  # noqa: E731
        return unstack(jax.jit(jax.grad(loss))(params))['params']

    plain = gradient(deep, params)
    assert_trees_close(gradient(deep.clone(remat=True), params), plain, atol=1e-5)
    assert_trees_close(gradient(scanned, stacked), plain, atol=1e-5)
    assert not np.any(plain['decoder_pos_embed'])
    assert deep.is_frozen('decoder_pos_embed')
    assert not deep.is_frozen('mask_token')


@pytest.mark.parametrize(
    ('arch', 'width', 'patches', 'count'),
    [
        ('B', 768, (196, 16), 26_109_184),
        ('L', 1024, (196, 16), 26_240_256),
        ('H', 1280, (256, 14), 26_309_708),
    ],
)
def test_published_sizes(arch: str, width: int, patches: tuple[int, int], count: int) -> None:
    decoder = MAEPretrainDecoder(*patches, embed_dim=width)
    latent = jax.ShapeDtypeStruct((1, 50, width), 'float32')
    restore = jax.ShapeDtypeStruct((1, patches[0]), 'int32')
    shapes = jax.eval_shape(decoder.init, jax.random.key(0), latent, restore)
    assert sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(shapes)) == count


def test_an_encoder_of_another_size_is_refused() -> None:
    with refused('neck.embed_dim=6', 'neck.embed_dim=5'):
        jax.eval_shape(DECODER.init, jax.random.key(0), LATENT[..., :5], RESTORE)
    with refused('neck.num_patches=9', 'neck.num_patches=8'):
        jax.eval_shape(DECODER.init, jax.random.key(0), LATENT, RESTORE[:, :8])
