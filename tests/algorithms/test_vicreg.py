from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Batch
from tests.algorithms.runs import seen
from tests.algorithms.tiny_models import tiny_vicreg
from tests.checks import refused, well_scaled, widened


def start() -> tuple[Any, Any]:
    shapes = jax.eval_shape(tiny_vicreg().init, jax.random.key(0), seen())
    return well_scaled(shapes)


def test_the_weights_reach_the_loss() -> None:
    """The loss is the sum of its terms, which are what is watched."""
    weights: dict[str, Any] = {
        'invariance_weight': 2.0,
        'variance_weight': 3.0,
        'covariance_weight': 5.0,
    }
    with jax.enable_x64(True):
        loss, (_, metrics) = jax.jit(tiny_vicreg(**weights).loss)(*widened(start()), wide(seen()))
    terms = [float(metrics[name]) for name in ('invariance', 'variance', 'covariance')]
    assert all(term > 0 for term in terms)
    assert float(loss) == pytest.approx(np.dot(terms, [2, 3, 5]), rel=1e-12)


def wide(batch: Batch) -> Batch:
    return {**batch, 'views': widened(batch['views'])}


def test_what_cannot_be_used_is_refused() -> None:
    with refused('covariance_weight=-1.0'):
        tiny_vicreg(covariance_weight=-1.0)
    with refused('VICReg', 'two views', 'got 3'):
        tiny_vicreg().loss({}, {}, {'views': (jnp.zeros((4, 8, 8, 3)),) * 3})
