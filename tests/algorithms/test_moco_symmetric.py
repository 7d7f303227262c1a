import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.normalize import l2_normalize
from jssl.losses import info_nce
from tests.algorithms.runs import seen
from tests.algorithms.tiny_models import BATCH, SIDE, WIDTH, Flatten, linear, tiny_symmetric_moco
from tests.checks import well_scaled


def test_both_directions_are_the_mean_of_each() -> None:
    """Without batch norm, and with a teacher that is its student still."""
    model = tiny_symmetric_moco(Flatten())
    model = dataclasses.replace(model, neck=linear(SIDE * SIDE * 3, WIDTH))
    batch = seen()
    params, state = well_scaled(jax.eval_shape(model.init, jax.random.key(0), batch))
    counters = {'queue_ptr': jnp.zeros((), jnp.int32)}
    loss, (after, _) = jax.jit(model.loss)(params, {**state, **counters}, batch)
    kernel = params['neck']['fc0']['kernel']
    rows = [l2_normalize(view.reshape(BATCH, -1) @ kernel) for view in batch['views']]
    both = info_nce(rows[0], rows[1], state['queue'], 0.5)
    both += info_nce(rows[1], rows[0], state['queue'], 0.5)
    assert float(loss) == pytest.approx(float(both) / 2, rel=1e-4)
    np.testing.assert_allclose(after['queue'][: 2 * BATCH], jnp.concatenate(rows), rtol=1e-3)
