"""What a look into a step shows: every array by its name, in the order of the computation."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jssl.networks import forward
from jssl.training import sharding
from jssl.training.inspection import Inspection, make_inspection
from jssl.training.rows import as_rows
from tests.training import toy


class Parts(nn.Module):
    """Two layers, the second of which divides by `scale`."""

    @nn.compact
    def __call__(self, x: jax.Array, scale: jax.Array) -> jax.Array:
        x = nn.Dense(4, name='first')(x.reshape(len(x), -1))
        return nn.Dense(2, name='second')(x / scale)


@dataclasses.dataclass(frozen=True)
class TwoPasses(toy.Toy):
    """Two passes of `Parts`; `scale` is that of the second, and of a metric with the same fate."""

    scale: float = 1.0

    def init(self, rng: jax.Array, batch: Any) -> tuple[Any, Any]:
        return {'backbone': Parts().init(rng, batch['views'][0], jnp.ones(()))['params']}, {}

    def loss(self, params: Any, state: Any, batch: Any) -> Any:
        first, _ = forward(Parts(), params['backbone'], {}, batch['views'][0], jnp.ones(()))
        scale = jnp.float32(self.scale)
        second, _ = forward(Parts(), params['backbone'], {}, batch['views'][0], scale)
        return jnp.mean(first * second), (state, {'spread': jnp.std(second)})


def seen(scale: float) -> Inspection:
    experiment = toy.experiment(TwoPasses(scale=scale))
    batch = sharding.put_batch(experiment.loader[0], experiment.mesh)
    data = sharding.put_replicated(as_rows(experiment.arrays), experiment.mesh)
    state, inspect = experiment.make_state(), make_inspection(experiment)
    found = inspect(state, batch, data)
    _, metrics = experiment.step(state, batch, data)  # nothing of the state was donated before
    for name in ('loss', 'spread'):
        np.testing.assert_array_equal(found.terms[name], metrics[name])
    np.testing.assert_allclose(found.gradients[''], metrics['grad_norm'], rtol=1e-6)
    np.testing.assert_array_equal(found.index, experiment.loader[0]['index'])
    assert found.views[0].shape == (16, 8, 8, 3)
    return found


def test_arrays_are_named_in_the_order_of_the_computation() -> None:
    found = seen(scale=1.0)
    assert found.not_finite == []
    order = (
        "before the step: params['backbone']['first']['bias']",
        "batch['views'][0]",
        *('features: first (Dense)', 'features: second (Dense)', 'features: Parts'),
        *('features: first (Dense), pass 2', 'features: Parts, pass 2'),
        *("terms['loss']", "terms['spread']", "gradients['backbone']['first']['bias']"),
        "updates['backbone']['first']['bias']",
        "after the step: params['backbone']['first']['bias']",
    )
    places = [found.names.index(name) for name in order]
    assert places == sorted(places)
    assert {'', 'backbone', 'backbone.first', 'backbone.second'} == found.gradients.keys()
    assert float(found.updates['backbone']) > 0


def test_the_first_that_is_not_finite_is_the_module_where_it_began() -> None:
    assert seen(scale=0.0).not_finite[0] == 'features: second (Dense), pass 2'
