import jax
import jax.numpy as jnp
import pytest

from jssl.losses import cross_entropy, latent_alignment
from tests.checks import matrix

LATENT, TARGET = matrix(6, 4, 0.2), matrix(6, 4, 0.9)


def test_the_terms_of_cae_are_the_references() -> None:
    """ALGORITHMS section 11, number 19; there the second is multiplied by its weight of 2."""
    with jax.enable_x64(True):
        main = cross_entropy(jnp.asarray(matrix(6, 5, 0.1)), jnp.array([0, 1, 2, 3, 4, 0]))
        align = latent_alignment(jnp.asarray(LATENT), jnp.asarray(TARGET))
    assert float(main) == pytest.approx(1.7745427881293014, rel=1e-9)
    assert float(align) == pytest.approx(0.4556816585524381 / 2, rel=1e-9)


def test_no_gradient_reaches_the_target() -> None:
    reached, kept = jax.grad(latent_alignment, (0, 1))(jnp.asarray(LATENT), jnp.asarray(TARGET))
    assert reached.all()
    assert not kept.any()


def test_bfloat16_is_averaged_in_float32() -> None:
    rows = (jnp.asarray(array, 'bfloat16') for array in (LATENT, TARGET))
    assert latent_alignment(*rows).dtype == 'float32'
