from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Batch
from jssl.losses import sigreg, view_spread
from tests.algorithms.runs import seen
from tests.algorithms.tiny_models import BATCH, SIDE, WIDTH, Flatten, linear, tiny_lejepa
from tests.checks import refused, structure, well_scaled, widened

MODEL = tiny_lejepa(Flatten(), neck=linear(SIDE * SIDE * 3, WIDTH), weight=0.25)


def drawn(copies: int = 3) -> Batch:
    return MODEL.draw(jax.random.key(3), {}, seen(copies=copies))


def start() -> tuple[Any, Any]:
    return well_scaled(jax.eval_shape(MODEL.init, jax.random.key(0), seen(copies=3)))


def test_the_loss_is_the_paper_s() -> None:
    """Of a linear network: the embeddings of every view, and the mean of the first two."""
    batch = drawn()
    assert batch['directions'].shape == (WIDTH, 16)
    with jax.enable_x64(True):
        params, state = widened(start())
        views, directions = widened((batch['views'], batch['directions']))
        batch = {**batch, 'views': views, 'directions': directions}
        loss, (_, metrics) = jax.jit(MODEL.loss)(params, state, batch)
        rows = jnp.stack([view.reshape(BATCH, -1) for view in views])
        embeddings = rows @ params['neck']['fc0']['kernel']
        normality = float(jax.jit(sigreg)(embeddings, directions))
        agreement = float(jax.jit(view_spread, static_argnums=1)(embeddings, 2))
        found = {name: float(metrics[name]) for name in ('sigreg', 'invariance')}
    assert found == pytest.approx({'sigreg': normality, 'invariance': agreement}, rel=1e-9)
    assert float(loss) == pytest.approx(normality / 4 + 3 * agreement / 4, rel=1e-9)


def test_crops_of_two_sizes_go_through_together() -> None:
    """The embeddings of a view do not depend on its size's place among the others."""
    model = tiny_lejepa()
    batch = model.draw(jax.random.key(3), {}, seen(copies=3))
    small = batch['views'][2][:, ::2, ::2]
    params, state = well_scaled(jax.eval_shape(model.init, jax.random.key(0), batch))
    run = jax.jit(model.loss)
    loss, (after, _) = run(params, state, {**batch, 'views': (*batch['views'], small)})
    assert np.isfinite(loss)
    assert structure(after) == structure(state)
    assert float(loss) != float(run(params, state, batch)[0])


def test_what_cannot_be_used_is_refused() -> None:
    with refused('config.model.feat_dim=4', f'out_channels={WIDTH}'):
        jax.eval_shape(tiny_lejepa(feat_dim=4).init, jax.random.key(0), seen(copies=3))
    with refused('global_views=4', 'got 3', 'MultiCrop'):
        jax.eval_shape(tiny_lejepa(global_views=4).init, jax.random.key(0), seen(copies=3))
