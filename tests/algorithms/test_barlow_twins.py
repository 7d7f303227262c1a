import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Batch
from jssl.algorithms import BarlowTwins
from jssl.algorithms.barlow_twins import correlations
from jssl.backbones import ResNet
from jssl.heads import LatentCrossCorrelationHead
from jssl.necks import NonLinearNeck
from tests.algorithms.runs import seen
from tests.algorithms.tiny_models import BATCH, STEM, WIDTH, Stem, neck, tiny_barlow_twins
from tests.checks import assert_drawn_like, assert_trees_close, refused, well_scaled, widened

RUN = jax.jit(jax.value_and_grad(tiny_barlow_twins().loss, has_aux=True))


def run(seen: Batch) -> Any:
    """Loss, (state, metrics) and gradients of a batch in float64, see `widened`."""
    with jax.enable_x64(True):
        (loss, aux), grads = RUN(*widened(start()), widened(seen))
    return loss, aux, grads


def start(algorithm: BarlowTwins | None = None) -> tuple[Any, Any]:
    algorithm = algorithm or tiny_barlow_twins()
    return well_scaled(jax.eval_shape(algorithm.init, jax.random.key(0), seen()))


def equation(first: np.ndarray, second: np.ndarray) -> float:
    """Equations 1 and 2 of the paper; its correlation is that of centred features."""
    matrix = np.corrcoef(first.T, second.T)[:WIDTH, WIDTH:]
    diagonal = np.diag(matrix)
    return ((diagonal - 1) ** 2).sum() + 0.0051 * ((matrix**2).sum() - (diagonal**2).sum())


def test_the_loss_is_the_paper_s() -> None:
    params, state = start()
    encoder = tiny_barlow_twins().encoder

    @jax.jit
    def encode(images: jax.Array) -> jax.Array:
        variables = {'params': params, **state}
        return encoder.apply(variables, images, mutable=['batch_stats'])[0]

    loss, _, _ = run(seen())
    expected = equation(*(np.asarray(encode(view), 'float64') for view in seen()['views']))
    assert float(loss) == pytest.approx(expected, rel=1e-3)  # but for BN's epsilon


def test_the_views_are_normalised_one_after_the_other() -> None:
    (params, state), (first, second) = start(), seen()['views']
    after = run(seen())[1][0]['batch_stats']
    assert set(after) == {'backbone', 'neck', 'head'}
    stats = state['batch_stats']
    for view in (first, second):
        variables = {'params': params['backbone'], 'batch_stats': stats['backbone']}
        _, updates = STEM.apply(variables, view, mutable=['batch_stats'])
        stats = {**stats, 'backbone': updates['batch_stats']}
    assert_trees_close(after['backbone'], stats['backbone'], rtol=1e-5)


def test_the_order_of_images_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(BATCH)
    loss, _, grads = run(seen())
    same, _, same_grads = run({'views': tuple(view[order] for view in seen()['views'])})
    assert float(same) == pytest.approx(float(loss), rel=1e-10)
    assert_trees_close(same_grads, grads, rtol=1e-9, atol=1e-9)


def test_loss_weight_scales_loss_and_gradient_and_nothing_else() -> None:
    weighted = jax.jit(jax.value_and_grad(tiny_barlow_twins(loss_weight=0.25).loss, has_aux=True))
    views = seen()
    loss, aux, grads = run(views)
    with jax.enable_x64(True):
        (quarter, same), quarter_grads = weighted(*widened((*start(), views)))
    assert float(quarter) == pytest.approx(float(loss) / 4, rel=1e-10)
    expected = jax.tree.map(lambda g: np.asarray(g) / 4, grads)
    assert_trees_close(quarter_grads, expected, rtol=1e-9, atol=1e-9)
    assert_trees_close(same, aux, rtol=1e-10)


def test_the_weight_of_redundancy_reaches_the_loss() -> None:
    losses = [
        float(jax.jit(tiny_barlow_twins(off_diagonal_weight=weight).loss)(*start(), seen())[0])
        for weight in (0.0, 1.0, 2.0)
    ]
    assert losses[0] < losses[1]
    assert losses[2] - losses[1] == pytest.approx(losses[1] - losses[0], rel=1e-4)


def test_what_is_watched() -> None:
    metrics = correlations(jnp.array([[1.0, 0.3], [-0.3, 0.5]]))
    assert float(metrics['on_diagonal']) == pytest.approx(0.75)
    assert float(metrics['off_diagonal']) == pytest.approx(0.3)


def test_bfloat16_compute_keeps_the_loss_in_float32() -> None:
    algorithm = BarlowTwins(
        Stem(dtype=jnp.bfloat16),
        neck(3, with_last_bn=False, dtype=jnp.bfloat16),
        tiny_barlow_twins().head,
    )
    loss, (state, _) = jax.jit(algorithm.loss)(*start(), seen())
    assert {leaf.dtype for leaf in jax.tree.leaves((loss, state))} == {jnp.dtype('float32')}
    assert float(loss) == pytest.approx(float(run(seen())[0]), rel=0.1)


@pytest.mark.parametrize('copies', [1, 3])
def test_two_views_are_needed(copies: int) -> None:
    with refused('BarlowTwins', 'two views', f'got {copies}'):
        tiny_barlow_twins().loss({}, {}, {'views': (jnp.zeros((4, 8, 8, 3)),) * copies})


def published(depth: int, in_channels: int, width: int, out: int) -> BarlowTwins:
    return BarlowTwins(
        ResNet(depth=depth, zero_init_residual=True),
        NonLinearNeck(
            in_channels, width, out, num_layers=3, with_last_bn=False, kaiming_uniform=True
        ),
        LatentCrossCorrelationHead(out),
    )


def test_parameter_count_of_the_published_model() -> None:
    images = jax.ShapeDtypeStruct((2, 64, 64, 3), 'float32')
    algorithm = published(50, 2048, 8192, 8192)
    params, state = jax.eval_shape(algorithm.init, jax.random.key(0), {'views': (images, images)})
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == 174_535_744
    assert state['batch_stats']['head']['bn']['mean'].shape == (8192,)


def test_fresh_parameters_of_the_neck_are_drawn_as_in_the_reference() -> None:
    projection = published(18, 512, 512, 512).neck
    params = jax.jit(projection.init)(jax.random.key(0), (jnp.zeros((2, 512)),))['params']
    assert_drawn_like({'neck': params}, 'barlowtwins')
