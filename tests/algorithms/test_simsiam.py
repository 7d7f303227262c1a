import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithms import SimSiam
from jssl.backbones import ResNet
from jssl.heads import LatentPredictHead
from jssl.layers.normalize import feature_std
from jssl.losses import negative_cosine
from jssl.necks import NonLinearNeck
from tests.algorithms import linear
from tests.algorithms.tiny_models import Flatten
from tests.algorithms.tiny_models import linear as matrix
from tests.checks import assert_drawn_like

PREDICTOR = matrix(linear.WIDTH, linear.WIDTH, with_avg_pool=False)
BARE = SimSiam(Flatten(), matrix(linear.PIXELS, linear.WIDTH), LatentPredictHead(PREDICTOR))


def test_the_loss_is_half_that_of_each_prediction() -> None:
    targets = linear.projections(linear.ONLINE)
    predictions = [rows @ linear.PREDICTOR for rows in targets]
    cosines = [linear.cosine(predictions[i], targets[1 - i]) for i in range(2)]
    with jax.enable_x64(True):
        params = linear.params(predictor=True)
        loss, (_, metrics) = linear.loss(BARE, params, {})
        swapped, _ = linear.loss(BARE, params, {}, swapped=True)
    assert float(loss) == pytest.approx(-np.mean(cosines), rel=1e-9)
    assert float(swapped) == pytest.approx(-np.mean(cosines), rel=1e-9)
    unit = linear.unit(targets[0])
    assert float(metrics['feature_std']) == pytest.approx(unit.std(0).mean() * 5**0.5)


def test_the_gradient_takes_the_targets_as_constants() -> None:
    def pinned(neck: jax.Array, fixed: jax.Array) -> jax.Array:
        """The loss with targets from `fixed`."""
        rows = [jnp.asarray(view).reshape(linear.IMAGES, -1) for view in linear.VIEWS]
        losses = [
            negative_cosine(rows[i] @ neck @ linear.PREDICTOR, rows[1 - i] @ fixed)
            for i in range(2)
        ]
        return (losses[0] + losses[1]) / 2

    with jax.enable_x64(True):
        views = tuple(jnp.asarray(view) for view in linear.VIEWS)
        gradient = jax.grad(BARE.loss, has_aux=True)
        grads, _ = gradient(linear.params(predictor=True), {'batch_stats': {}}, {'views': views})
        expected = jax.grad(pinned)(jnp.asarray(linear.ONLINE), jnp.asarray(linear.ONLINE))
    np.testing.assert_allclose(grads['neck']['fc0']['kernel'], expected, rtol=1e-9, atol=1e-12)


def test_spread_is_1_on_the_sphere_and_0_for_equal_rows() -> None:
    rows = np.random.default_rng(0).standard_normal((4000, 32))
    assert float(feature_std(jnp.asarray(rows))) == pytest.approx(1, abs=0.01)
    assert float(feature_std(jnp.ones((8, 4)))) == pytest.approx(0, abs=1e-6)


def test_fresh_weights_are_drawn_as_the_reference_s() -> None:
    predictor = NonLinearNeck(
        256, 64, 256, with_last_bn=False, with_last_bias=True, with_avg_pool=False
    )
    neck = NonLinearNeck(512, 256, 256, 3, with_last_bn_affine=False)
    head = LatentPredictHead(predictor)
    algorithm = SimSiam(ResNet(18, zero_init_residual=True), neck, head)
    images = np.zeros((2, 32, 32, 3), 'float32')
    params, _ = jax.jit(algorithm.init)(jax.random.key(1), {'views': (images, images)})
    assert_drawn_like(params, 'simsiam')
