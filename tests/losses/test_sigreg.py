from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jssl.losses import sigreg, view_spread
from tests import golden
from tests.losses.parts import both_precisions, part


@both_precisions
@golden.each('part_sigreg')
def test_the_reference_s_statistic(path: Path, dtype: str) -> None:
    with part(path, dtype) as saved:
        for number, case in enumerate(saved.meta['settings']):
            rows, directions = (saved.input(f'{n}{number}') for n in ('embeddings', 'directions'))
            assert rows.shape == (case['views'], case['samples'], case['dim'])
            assert directions.shape[1] == case['slices']
            loss = partial(sigreg, t_max=case['t_max'], points=case['n_points'])
            value, gradient = jax.jit(jax.value_and_grad(loss))(rows, directions)
            saved.check(f'loss{number}', value, 1e-7 if dtype == 'float64' else None)
            saved.check(f'grad{number}', gradient, 1e-6 if dtype == 'float64' else None)


def test_directions_of_any_length_count_alike() -> None:
    rows, loss = np.random.default_rng(0).standard_normal((2, 8, 4)), jax.jit(sigreg)
    scales = np.array([0.1, 1.0, 5.0, 30.0])
    np.testing.assert_allclose(loss(rows, np.eye(4) * scales), loss(rows, np.eye(4)), 1e-5)


def test_views_are_pulled_to_their_mean() -> None:
    views = np.random.default_rng(0).standard_normal((3, 4, 2))
    with jax.enable_x64(True):
        for targets in (None, 2):
            mean = views[:targets].mean(0)
            expected = np.mean([(views[v] - mean) ** 2 for v in range(3)])
            found = view_spread(jnp.asarray(views), targets)
            np.testing.assert_allclose(found, expected, rtol=1e-12)
