import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Batch
from jssl.algorithms import SimCLR
from jssl.backbones import ResNet
from jssl.heads import ContrastiveHead
from jssl.necks import NonLinearNeck
from tests.checks import assert_trees_close, refused, tiny_simclr, well_scaled, widened
from tests.losses.test_nt_xent import by_definition

IMAGES = 6
RUN = jax.jit(jax.value_and_grad(tiny_simclr().loss, has_aux=True))


def views(images: int = IMAGES) -> Batch:
    """Two views of each image: the image and noise."""
    draw = np.random.default_rng(0)
    scene = draw.standard_normal((images, 8, 8, 3))
    noisy = [scene + 0.5 * draw.standard_normal(scene.shape) for _ in range(2)]
    return {'views': tuple(jnp.asarray(view) for view in noisy)}


def start() -> tuple[Any, Any]:
    return well_scaled(jax.eval_shape(tiny_simclr().init, jax.random.key(0), views()))


def run(seen: Batch | None = None) -> Any:
    """Loss, state, metrics and gradients in float64, see `widened`."""
    with jax.enable_x64(True):
        (loss, (state, metrics)), grads = RUN(*widened(start()), seen or views())
    return loss, state, metrics, grads


class Flatten(nn.Module):
    """A backbone without parameters, to see the loss bare."""

    def __call__(self, images: jax.Array, train: bool = True) -> tuple[jax.Array]:
        return (images.reshape(len(images), -1),)


def linear_simclr(**head: float) -> SimCLR:
    neck = NonLinearNeck(12, 5, 5, num_layers=1, with_last_bn=False)
    return SimCLR(backbone=Flatten(), neck=neck, head=ContrastiveHead(**head))


@pytest.mark.parametrize('temperature', [0.1, 0.5])
def test_the_loss_is_nt_xent(temperature: float) -> None:
    algorithm = linear_simclr(temperature=temperature)
    draw = np.random.default_rng(0)
    images = [draw.standard_normal((IMAGES, 2, 2, 3)) for _ in range(2)]
    kernel = draw.standard_normal((12, 5))
    first, second = (image.reshape(IMAGES, -1) @ kernel for image in images)
    with jax.enable_x64(True):
        params = {'neck': {'fc0': {'kernel': jnp.asarray(kernel)}}}
        batch = {'views': tuple(jnp.asarray(image) for image in images)}
        loss, _ = jax.jit(algorithm.loss)(params, {'batch_stats': {}}, batch)
    assert loss.dtype == 'float64'
    assert float(loss) == pytest.approx(by_definition(first, second, temperature), rel=1e-9)


def test_a_model_without_batch_norm_can_be_initialised() -> None:
    batch = {'views': (jnp.zeros((4, 2, 2, 3)),) * 2}
    params, state = linear_simclr().init(jax.random.key(0), batch)
    assert params['neck']['fc0']['kernel'].shape == (12, 5)
    assert not jax.tree.leaves(state)


def test_a_batch_norm_group_may_be_as_large_as_both_views_together() -> None:
    backbone = tiny_simclr().backbone.clone(bn_group_size=2 * IMAGES)
    algorithm = SimCLR(backbone=backbone, neck=tiny_simclr().neck, head=ContrastiveHead())
    shapes = jax.eval_shape(algorithm.init, jax.random.key(0), views())
    jax.eval_shape(algorithm.loss, *shapes, views())


@pytest.mark.parametrize('copies', [1, 3])
def test_two_views_are_needed(copies: int) -> None:
    batch = {'views': (jnp.zeros((4, 8, 8, 3)),) * copies}
    with refused('two views', f'got {copies}', 'copies=2'):
        linear_simclr().loss({}, {}, batch)


@pytest.mark.usefixtures('float64')
def test_the_order_of_images_and_of_views_does_not_matter() -> None:
    (first, second), order = views()['views'], np.array([3, 0, 5, 1, 4, 2])
    loss, state, _, grads = run()
    for other in ((first[order], second[order]), (second, first)):
        same, same_state, _, same_grads = run({'views': other})
        assert float(same) == pytest.approx(float(loss), rel=1e-10)
        assert_trees_close(same_state, state, atol=1e-10)
        assert_trees_close(same_grads, grads, atol=1e-10)


@pytest.mark.usefixtures('float64')
def test_both_views_share_their_batch_statistics_and_only_those_change() -> None:
    params, state = widened(start())
    after = run()[1]
    together, encoder = jnp.concatenate(views()['views']), tiny_simclr().encoder
    apply = jax.jit(lambda x: encoder.apply({'params': params, **state}, x, mutable='batch_stats'))
    assert_trees_close(after, apply(together)[1], rtol=1e-10)
    moved = jax.tree.map(lambda new, old: bool((new != old).any()), after, state)
    assert all(jax.tree.leaves(moved))


@pytest.mark.usefixtures('float64')
def test_loss_weight_scales_loss_and_gradient_and_nothing_else() -> None:
    weighted = jax.jit(jax.value_and_grad(tiny_simclr(loss_weight=0.25).loss, has_aux=True))
    loss, *aux, grads = run()
    (quarter, same_aux), quarter_grads = weighted(*widened(start()), views())
    assert float(quarter) == pytest.approx(float(loss) / 4, rel=1e-10)
    assert_trees_close(quarter_grads, jax.tree.map(lambda g: g / 4, grads), rtol=1e-9, atol=1e-12)
    assert_trees_close(same_aux, tuple(aux), rtol=1e-10)


def test_accuracy_counts_the_views_whose_partner_is_nearest() -> None:
    algorithm, params = linear_simclr(), {'neck': {'fc0': {'kernel': jnp.eye(12, 5)}}}
    points = jnp.eye(4, 12).reshape(4, 2, 2, 3)

    @jax.jit
    def accuracy(order: jax.Array) -> jax.Array:
        batch = {'views': (points, points[order])}
        return algorithm.loss(params, {'batch_stats': {}}, batch)[1][1]['accuracy']

    assert accuracy(jnp.array([0, 1, 2, 3])) == 1
    assert accuracy(jnp.array([1, 2, 3, 0])) == 0
    assert accuracy(jnp.array([0, 1, 3, 2])) == 0.5


def test_bfloat16_compute_keeps_the_loss_in_float32() -> None:
    plain = tiny_simclr()
    algorithm = SimCLR(
        backbone=plain.backbone.clone(dtype=jnp.bfloat16),
        neck=plain.neck.clone(dtype=jnp.bfloat16),
        head=plain.head,
    )
    loss, (state, _) = jax.jit(algorithm.loss)(*start(), views())
    assert {leaf.dtype for leaf in jax.tree.leaves((loss, state))} == {jnp.dtype('float32')}
    assert float(loss) == pytest.approx(float(run()[0]), rel=0.05)


def test_parameter_count_of_the_published_model() -> None:
    algorithm = SimCLR(
        backbone=ResNet(depth=50),
        neck=NonLinearNeck(in_channels=2048, hid_channels=2048, out_channels=128),
        head=ContrastiveHead(),
    )
    images = jax.ShapeDtypeStruct((2, 64, 64, 3), 'float32')
    batch = {'views': (images, images)}
    params, _ = jax.eval_shape(algorithm.init, jax.random.key(0), batch)
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == 27_968_832
