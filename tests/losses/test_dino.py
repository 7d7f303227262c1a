import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import centered_targets, dino, pair_cross_entropies, soft_cross_entropy
from tests.algorithms import linear
from tests.checks import refused

DRAW = np.random.default_rng(0)
LOGITS = DRAW.standard_normal((4, 5, 6))  # of two global and two local crops of five images
TEACHER = DRAW.standard_normal((2, 5, 6))
CENTER = DRAW.standard_normal(6)


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


def test_equation_3_pair_by_pair() -> None:
    with jax.enable_x64(True):
        logits, teacher, center = map(jnp.asarray, (LOGITS, TEACHER, CENTER))
        targets = centered_targets(teacher, center, 0.07)
        found = dino(logits, targets)
        pairs = pair_cross_entropies(logits, targets)
    expected = softmax((TEACHER - CENTER) / 0.07)
    np.testing.assert_allclose(targets, expected, rtol=1e-12)
    terms = {
        (q, v): -(expected[q] * np.log(softmax(LOGITS[v] / 0.1))).sum(axis=-1).mean()
        for q in range(2)
        for v in range(4)
    }
    np.testing.assert_allclose(pairs, [[terms[q, v] for v in range(4)] for q in range(2)])
    others = [value for (q, v), value in terms.items() if q != v]
    assert float(found) == pytest.approx(np.mean(others), rel=1e-12)


def test_no_gradient_reaches_the_teacher() -> None:
    def loss(logits: jax.Array, teacher: jax.Array) -> jax.Array:
        return dino(logits, centered_targets(teacher, jnp.zeros(6), 0.04))

    reached, kept = jax.grad(loss, (0, 1))(jnp.asarray(LOGITS), jnp.asarray(TEACHER))
    assert reached.any()
    assert not kept.any()


def test_a_sure_target_is_a_label() -> None:
    labels = np.array([0, 3, 1, 1, 2])
    with jax.enable_x64(True):
        found = soft_cross_entropy(jnp.asarray(LOGITS[0]), jax.nn.one_hot(labels, 6), 0.5).mean()
    assert float(found) == pytest.approx(linear.cross_entropy(LOGITS[0] / 0.5, labels))


def test_a_single_crop_has_no_other() -> None:
    with refused('two global crops'):
        dino(jnp.zeros((1, 3, 4)), jnp.zeros((1, 3, 4)))
