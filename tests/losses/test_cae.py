import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import context_autoencoder
from tests.checks import matrix

LATENT, TARGET = matrix(6, 4, 0.2), matrix(6, 4, 0.9)
EVEN, ZEROS = jnp.zeros((6, 3)), jnp.zeros(6, int)


def test_both_terms_are_the_references() -> None:
    """ALGORITHMS section 11, number 19."""
    with jax.enable_x64(True):
        given = (jnp.asarray(x) for x in (matrix(6, 5, 0.1), [0, 1, 2, 3, 4, 0], LATENT, TARGET))
        main, align = context_autoencoder(*given)
    assert float(main) == pytest.approx(1.7745427881293014, rel=1e-9)
    assert float(align) == pytest.approx(0.4556816585524381, rel=1e-9)


def test_the_weight_is_of_the_latents_alone() -> None:
    latent, target = (jnp.asarray(x, jnp.bfloat16) for x in (LATENT, TARGET))
    once, thrice = (context_autoencoder(EVEN, ZEROS, latent, target, w) for w in (1.0, 3.0))
    assert float(once[0]) == float(thrice[0]) == pytest.approx(np.log(3))
    assert float(thrice[1]) == pytest.approx(3 * float(once[1]))
    assert once[1].dtype == jnp.float32


def test_no_gradient_reaches_the_target() -> None:
    both = jax.grad(lambda x, y: context_autoencoder(EVEN, ZEROS, x, y)[1], (0, 1))
    reached, kept = both(jnp.asarray(LATENT), jnp.asarray(TARGET))
    assert reached.all()
    assert not kept.any()
