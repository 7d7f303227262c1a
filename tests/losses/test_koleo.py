from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jssl.losses import koleo
from tests import golden
from tests.checks import refused
from tests.losses.parts import both_precisions, part


@both_precisions
@golden.each('part_dinov2_koleo', 'part_dinov3_koleo')
def test_the_reference_s_loss(path: Path, dtype: str) -> None:
    """Two nearly equal rows make DINOv2's gradient large, and a float32 one less exact."""
    with part(path, dtype) as saved:
        for number, case in enumerate(saved.meta['settings']):
            features = saved.input(f'features{number}')
            if 'samples' in case:
                assert features.shape == (case['samples'], case['dim'])
            neighbors = case.get('topk', 1)
            loss = partial(koleo, neighbors=neighbors)
            value, gradient = jax.jit(jax.value_and_grad(loss))(features)
            saved.check(f'loss{number}', value)
            saved.check(f'grad{number}', gradient, 1e-7 if dtype == 'float64' else 1e-3)


def test_the_nearest_is_one_of_the_own_group() -> None:
    features, loss = np.random.default_rng(0).standard_normal((8, 3)), jax.jit(koleo)
    halves = [loss(half) for half in (features[:4], features[4:])]
    whole = jax.jit(partial(koleo, group_size=4))(features)
    np.testing.assert_allclose(whole, np.mean(halves), rtol=1e-5)


def test_equal_features_have_a_finite_loss_and_gradient() -> None:
    value, gradient = jax.jit(jax.value_and_grad(koleo))(jnp.ones((4, 3)))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_groups_that_do_not_divide_the_batch_are_refused() -> None:
    with refused('config.model.koleo_group_size=3', '8 features', 'divisor of 8'):
        koleo(jnp.ones((8, 2)), group_size=3)


def test_groups_without_a_neighbour_are_refused() -> None:
    with refused('a group of 1 has 0 others', 'config.batch_size to 2 or more'):
        koleo(jnp.ones((1, 2)))
    with refused('the 4 nearest', 'config.model.koleo_group_size to 5 or more'):
        koleo(jnp.ones((8, 2)), group_size=4, neighbors=4)
