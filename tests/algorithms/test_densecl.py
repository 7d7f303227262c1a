import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithms import DenseCL
from jssl.algorithms.densecl import match_cells
from jssl.networks import forward
from tests.algorithms import linear, runs, tiny_models
from tests.checks import refused

QUEUES = [
    linear.unit(np.random.default_rng(seed).standard_normal((32, tiny_models.WIDTH)))
    for seed in (1, 2)
]


@functools.cache
def first() -> tuple[Any, Any]:
    return jax.jit(tiny_models.tiny_densecl().init)(jax.random.key(0), runs.seen())


def start(**fields: Any) -> tuple[DenseCL, Any, Any]:
    return tiny_models.tiny_densecl(**fields), *first()


def with_queues(state: Any) -> Any:
    queues = {'queue': jnp.asarray(QUEUES[0]), 'queue2': jnp.asarray(QUEUES[1])}
    return {**state, **queues, 'queue2_ptr': jnp.array(16, 'int32')}


def contrast(query: np.ndarray, key: np.ndarray, queue: np.ndarray) -> float:
    """Softmax over a positive and the queue, temperature 0.5."""
    logits = np.concatenate([(query * key).sum(1, keepdims=True), query @ queue.T], axis=1) / 0.5
    return linear.cross_entropy(logits, np.zeros(len(logits), int))


def test_both_losses_are_those_of_images_and_of_matched_cells() -> None:
    algorithm, params, state = start(loss_lambda=0.3)
    state = with_queues(state)  # the first update copies, so both networks are one
    loss, (after, metrics) = jax.jit(algorithm.loss)(params, state, runs.seen())
    outputs = [
        forward(algorithm.encoder, params, state['batch_stats'], view)[0]
        for view in runs.seen()['views']
    ]
    query, key = ([linear.unit(np.asarray(array)) for array in output] for output in outputs)
    rows = np.arange(tiny_models.BATCH)[:, None]
    matched = key[2][rows, (query[0] @ key[0].swapaxes(1, 2)).argmax(axis=2)]
    flat = (query[2].reshape(-1, tiny_models.WIDTH), matched.reshape(-1, tiny_models.WIDTH))
    single = 0.7 * contrast(query[1], key[1], QUEUES[0])
    dense = 0.3 * contrast(*flat, QUEUES[1])
    assert float(metrics['loss_single']) == pytest.approx(single, rel=1e-5)
    assert float(metrics['loss_dense']) == pytest.approx(dense, rel=1e-5)
    assert float(loss) == pytest.approx(single + dense, rel=1e-5)
    np.testing.assert_allclose(after['queue'][:16], key[1], atol=1e-5)
    np.testing.assert_allclose(after['queue2'][16:], key[3], atol=1e-5)
    assert [int(after[pointer]) for pointer in ('queue_ptr', 'queue2_ptr')] == [16, 0]
    assert float(metrics['queue2_norm']) == pytest.approx(1)


def test_the_dense_loss_can_wait() -> None:
    algorithm, params, state = start(start_iters=2)
    run = jax.jit(jax.value_and_grad(algorithm.loss, has_aux=True))
    shares = []
    for step in range(4):
        batch = {**runs.seen(), 'step': jnp.array(step)}
        (_, (_, metrics)), grads = run(params, with_queues(state), batch)
        shares.append(float(metrics['loss_dense']) > 0)
        assert np.any(grads['neck']['mlp2.0']['kernel']) == shares[-1]
    assert shares == [False, False, True, True]


def test_cells_are_matched_to_the_most_similar_and_of_equals_to_the_first() -> None:
    query = jnp.asarray(np.eye(3)[None])
    key = jnp.asarray(np.eye(3)[[[2, 0, 0]]])
    np.testing.assert_array_equal(match_cells(query, key), [[1, 0, 0]])


def test_predictions_are_unit_features_of_every_cell() -> None:
    algorithm, params, state = start()
    assert algorithm.predicts == 'features'
    images = runs.seen()['views'][0]
    cells = algorithm.predict(params, state, runs.seen())
    assert cells.shape == (tiny_models.BATCH, 4, 4, tiny_models.WIDTH)
    variables = {'params': params['backbone'], 'batch_stats': state['batch_stats']['backbone']}
    features = np.asarray(algorithm.backbone.apply(variables, images, train=False)[-1])
    norm = np.linalg.norm(features, axis=-1, keepdims=True)
    np.testing.assert_allclose(cells, features / np.maximum(norm, 1e-12), atol=1e-6)


@pytest.mark.parametrize('share', [-0.1, 1.5])
def test_a_weight_outside_0_to_1_is_refused(share: float) -> None:
    with refused(f'DenseCL.loss_lambda={share}', 'between 0 and 1'):
        tiny_models.tiny_densecl(loss_lambda=share)


def test_the_neck_s_grid_must_be_the_backbone_s() -> None:
    plain = tiny_models.tiny_densecl()
    algorithm = dataclasses.replace(plain, neck=plain.neck.clone(num_grid=2))
    with refused('4 cells', 'gives 16', 'model.neck.num_grid=None'):
        jax.eval_shape(algorithm.init, jax.random.key(0), runs.seen())
