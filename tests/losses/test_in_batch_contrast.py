import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import batch_similarities, in_batch_contrast
from tests.algorithms import linear
from tests.checks import refused

DRAW = np.random.default_rng(0)
PREDICTIONS, TARGETS = DRAW.standard_normal((2, 5, 3))


def test_the_targets_of_the_batch_are_the_classes() -> None:
    cosines = linear.unit(PREDICTIONS) @ linear.unit(TARGETS).T
    with jax.enable_x64(True):
        found = jax.jit(in_batch_contrast)(PREDICTIONS, TARGETS, 0.2)
        similarities = jax.jit(batch_similarities)(PREDICTIONS, TARGETS)
    np.testing.assert_allclose(similarities, cosines, rtol=1e-9)
    expected = linear.cross_entropy(cosines / 0.2, np.arange(5))
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_no_gradient_reaches_the_targets() -> None:
    both = jax.jit(jax.grad(in_batch_contrast, (0, 1)))(PREDICTIONS, TARGETS)
    assert both[0].all()
    assert not both[1].any()


def test_a_single_image_has_no_others() -> None:
    with refused('a batch of one image has no others', 'config.batch_size'):
        in_batch_contrast(jnp.ones((1, 8)), jnp.ones((1, 8)))
