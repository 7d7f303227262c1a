import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import ibot, ibot_of_rows

DRAW = np.random.default_rng(0)
LOGITS = DRAW.standard_normal((3, 4, 5))
TARGETS = DRAW.dirichlet(np.ones(5), (3, 4))
MASK = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]])


def by_definition() -> float:
    logs = LOGITS / 0.1 - np.log(np.exp(LOGITS / 0.1).sum(axis=-1, keepdims=True))
    rows = -(TARGETS * logs).sum(axis=-1)
    return float((rows[0][[0, 2, 3]].mean() + 0 + rows[2][1]) / 3)


def test_images_count_alike_however_many_patches_are_masked() -> None:
    with jax.enable_x64(True):
        found = ibot(jnp.asarray(LOGITS), jnp.asarray(TARGETS), jnp.asarray(MASK, bool))
    assert float(found) == pytest.approx(by_definition(), rel=1e-12)


def test_a_list_that_is_filled_up_says_the_same() -> None:
    images, patches = [0, 0, 0, 2, 1, 1], [0, 2, 3, 1, 0, 0]
    with jax.enable_x64(True):
        logits, targets = (jnp.asarray(x[images, patches]) for x in (LOGITS, TARGETS))
        found = ibot_of_rows(logits, targets, jnp.array([1 / 3, 1 / 3, 1 / 3, 1, 0, 0]), 3)
    assert float(found) == pytest.approx(by_definition(), rel=1e-12)
