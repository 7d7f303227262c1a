import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import swapped_prediction


@pytest.mark.parametrize('views', [(0, 1), (2,)])
def test_the_loss_is_the_mean_cross_entropy_of_all_pairs_of_views(views: tuple[int, ...]) -> None:
    draw = np.random.default_rng(0)
    scores, codes = draw.standard_normal((6, 4, 3)), draw.dirichlet(np.ones(3), (len(views), 6))
    terms = []
    for view, code in zip(views, codes, strict=True):
        for other in set(range(4)) - {view}:
            p = np.exp(scores[:, other] / 0.3)
            p /= p.sum(axis=1, keepdims=True)
            terms.append(-(code * np.log(p)).sum(axis=1).mean())
    loss = functools.partial(swapped_prediction, views=views, temperature=0.3)
    with jax.enable_x64(True):
        found = loss(jnp.asarray(scores), [jnp.asarray(code) for code in codes])
    assert float(found) == pytest.approx(np.mean(terms), rel=1e-12)


def test_at_least_float32() -> None:
    scores, codes = jnp.zeros((4, 2, 3), jnp.bfloat16), [jnp.full((4, 3), 1 / 3)] * 2
    assert swapped_prediction(scores, codes).dtype == 'float32'
