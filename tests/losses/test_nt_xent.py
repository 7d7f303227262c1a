import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import nt_xent, pair_similarities
from tests.checks import matrix, refused


def by_definition(first: np.ndarray, second: np.ndarray, temperature: float) -> float:
    """Equation 1 and algorithm 1 of the paper, term by term."""
    z = np.concatenate([first, second])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    count = len(first)

    def term(i: int, j: int) -> float:
        others = [np.exp(z[i] @ z[k] / temperature) for k in range(2 * count) if k != i]
        return -np.log(np.exp(z[i] @ z[j] / temperature) / sum(others))

    return float(np.mean([term(i, i + count) + term(i + count, i) for i in range(count)]) / 2)


def test_hand_made_value() -> None:
    rows = matrix(6, 4, 0.3)
    with jax.enable_x64(True):
        pair = jnp.asarray(rows[0::2]), jnp.asarray(rows[1::2])
        positive, _ = jax.jit(pair_similarities)(*pair)
        loss = jax.jit(nt_xent)(*pair, temperature=0.1)
    assert float(loss) == pytest.approx(0.44587255164440265, abs=1e-12)
    expected = np.repeat([0.81195032, 0.75921904, 0.75423255], 2)
    np.testing.assert_allclose(positive, expected, atol=1e-8)


@pytest.mark.parametrize('temperature', [0.1, 0.5])
def test_equation_1_term_by_term(temperature: float) -> None:
    first, second = np.random.default_rng(0).standard_normal((2, 5, 3))
    with jax.enable_x64(True):
        found = jax.jit(nt_xent)(first, second, temperature)
    assert float(found) == pytest.approx(by_definition(first, second, temperature), rel=1e-9)


def test_a_view_s_own_place_and_its_partner_s_are_no_negatives() -> None:
    _, negative = jax.jit(pair_similarities)(*np.random.default_rng(0).standard_normal((2, 4, 3)))
    pairs = np.kron(np.eye(4), np.ones((2, 2))).astype(bool)
    np.testing.assert_array_equal(np.isneginf(negative), pairs)


def test_a_projection_of_zeros_has_a_finite_gradient() -> None:
    gradient = jax.jit(jax.grad(nt_xent))(jnp.zeros((2, 3)), jnp.ones((2, 3)))
    assert jnp.isfinite(gradient).all()


def test_bfloat16_is_compared_in_float32() -> None:
    assert nt_xent(jnp.eye(2, dtype='bfloat16'), jnp.eye(2, dtype='bfloat16')).dtype == 'float32'


def test_a_single_image_has_no_others() -> None:
    with refused('a batch of one image has no others', 'config.batch_size'):
        nt_xent(jnp.ones((1, 8)), jnp.ones((1, 8)))
