"""The predictor of I-JEPA."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.necks import IJEPAPredictor
from tests.checks import assert_trees_close, refused, well_scaled

PREDICTOR = IJEPAPredictor(
    num_patches=9, embed_dims=6, predictor_embed_dims=8, depth=1, num_heads=2, mlp_ratio=2
)
CONTEXT = jnp.array([[0, 1, 3, 4], [1, 2, 4, 5]])
TARGETS = jnp.array([[[7, 8], [5, 8]], [[6, 7], [0, 3]]])
LATENT = jax.random.normal(jax.random.key(1), (2, 4, 6))
RUN = jax.jit(PREDICTOR.apply)


def predict(predictor: IJEPAPredictor, params: Any) -> Any:
    return predictor.apply(params, LATENT, CONTEXT, TARGETS)


def variables() -> Any:
    inputs = (LATENT, CONTEXT, TARGETS)
    return well_scaled(jax.eval_shape(PREDICTOR.init, jax.random.key(0), *inputs))


def test_each_block_is_predicted_on_its_own_from_the_whole_context() -> None:
    params = variables()
    out = RUN(params, LATENT, CONTEXT, TARGETS)
    assert out.shape == (2, 2, 2, 6)
    other = RUN(params, LATENT, CONTEXT, TARGETS.at[:, 1].set(2))
    np.testing.assert_allclose(other[:, 0], out[:, 0], rtol=1e-5, atol=1e-6)
    order = jnp.array([2, 0, 3, 1])  # tokens are told apart by their positions alone
    again = RUN(params, LATENT[:, order], CONTEXT[:, order], TARGETS)
    np.testing.assert_allclose(again, out, rtol=1e-4, atol=1e-5)
    for changed in (LATENT.at[:, 0].add(1), LATENT.at[:, 3].add(1)):
        assert (np.abs(RUN(params, changed, CONTEXT, TARGETS) - out).max(axis=(2, 3)) > 1e-4).all()


def test_patches_of_a_block_differ_by_their_positions_which_are_fixed() -> None:
    params = variables()
    out = RUN(params, LATENT, CONTEXT, TARGETS)
    assert np.abs(out[:, :, 0] - out[:, :, 1]).max() > 1e-3
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(predict(PREDICTOR, p))))
    assert not np.any(gradient(params)['params']['predictor_pos_embed'])
    assert PREDICTOR.is_frozen('predictor_pos_embed')
    assert not PREDICTOR.is_frozen('mask_token')


def test_remat_changes_nothing() -> None:
    def gradient(predictor: IJEPAPredictor) -> Any:
        loss = jax.grad(lambda p: jnp.sum(jnp.sin(predict(predictor, p))))
        return jax.jit(loss)(variables())

    assert_trees_close(gradient(PREDICTOR.clone(remat=True)), gradient(PREDICTOR), atol=1e-5)


def test_tokens_of_another_width_and_oblong_images_are_refused() -> None:
    with refused('neck.embed_dims=6', 'neck.embed_dims=5'):
        jax.eval_shape(PREDICTOR.init, jax.random.key(0), LATENT[..., :5], CONTEXT, TARGETS)
    with refused('neck.num_patches=10', 'such as 9'):
        oblong = PREDICTOR.clone(num_patches=10)
        jax.eval_shape(oblong.init, jax.random.key(0), LATENT, CONTEXT, TARGETS)
