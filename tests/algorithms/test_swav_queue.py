"""When SwAV's queues start, when they are full, and what they hold."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.algorithm import Run
from tests.algorithms.test_swav import as_views, bare, prototypes, queue_of
from tests.checks import matrix, refused


def history(steps_per_epoch: int, start_epoch: int, steps: int, length: int = 9) -> dict[str, Any]:
    """What is watched in a run of a queue of four batches of two images."""
    run = Run(samples=2, steps_per_epoch=steps_per_epoch, epochs=9)
    head = {'num_prototypes': 3}
    algorithm = bare(4, run, head, queue_length=length, queue_start_epoch=start_epoch)
    batch = as_views(matrix(4, 4, 0.3).astype('float32'), 2)
    state, loss, seen = queue_of(algorithm, batch), jax.jit(algorithm.loss), []
    params = prototypes(matrix(3, 4, 0.8).astype('float32'))
    for step in range(steps):
        _, (state, metrics) = loss(params, state, {**batch, 'step': jnp.array(step)})
        seen.append(metrics)
    return {key: [float(metrics[key]) for metrics in seen] for key in seen[0]}


def test_the_queue_starts_in_its_epoch_and_is_used_once_full() -> None:
    seen = history(steps_per_epoch=3, start_epoch=1, steps=9)
    assert seen['queue_fill'] == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1]
    assert seen['queue_used'] == [0] * 7 + [1, 1]


def test_every_epoch_asks_again_whether_the_queue_is_full() -> None:
    """A full queue answers at once; one whose last row is zero again waits."""
    run = Run(samples=2, steps_per_epoch=2, epochs=9)
    algorithm = bare(4, run, {'num_prototypes': 3}, queue_length=4, queue_start_epoch=0)
    batch = as_views(matrix(4, 4, 0.3).astype('float32'), 2)
    state, loss = queue_of(algorithm, batch), jax.jit(algorithm.loss)
    params = prototypes(matrix(3, 4, 0.8).astype('float32'))
    used = {}
    for step in (1, 2):  # inside the first epoch, and at the start of the second
        before, now = {**state, 'queue_used': jnp.array(True)}, {**batch, 'step': jnp.array(step)}
        used[step] = bool(loss(params, before, now)[1][0]['queue_used'])
    assert used == {1: True, 2: False}


def test_one_full_queue_is_enough_for_those_after_it() -> None:
    """As in the reference the flag is one for all crops, set as they come."""
    run = Run(samples=2, steps_per_epoch=9, epochs=9)
    algorithm = bare(4, run, {'num_prototypes': 3}, queue_length=2, queue_start_epoch=0)
    batch = as_views(matrix(4, 4, 0.3).astype('float32'), 2)
    params = prototypes(matrix(3, 4, 0.8).astype('float32'))
    state, loss = queue_of(algorithm, batch), jax.jit(algorithm.loss)
    full = jnp.asarray(matrix(2, 4, 0.1), 'float32')
    losses = []
    for queues in ((0 * full, 0 * full), (full, 0 * full), (0 * full, full)):
        held = jnp.stack(queues)[:, None]  # of one batch
        losses.append(float(loss(params, {**state, 'feature_queue': held}, batch)[0]))
    codes = algorithm._codes
    unit = params['head']['loss.prototypes']['kernel']
    unit = unit / jnp.linalg.norm(unit, axis=0)
    scores = [
        view[:, 0, 0] / jnp.linalg.norm(view[:, 0, 0], axis=1, keepdims=True) @ unit
        for view in batch['views']
    ]

    def expected(*stored: Any) -> float:
        terms = [
            -jnp.mean(
                jnp.sum(codes(scores[i], stored[i]) * jax.nn.log_softmax(scores[1 - i] / 0.1), 1)
            )
            for i in range(2)
        ]
        return float(sum(terms) / 2)

    np.testing.assert_allclose(losses[0], expected(None, None), rtol=1e-5)
    stored = (full @ unit)[None]
    np.testing.assert_allclose(losses[1], expected(stored, 0 * stored), rtol=1e-5)
    np.testing.assert_allclose(losses[2], expected(None, stored), rtol=1e-5)


def test_the_queue_holds_whole_batches() -> None:
    run = Run(samples=2, steps_per_epoch=3, epochs=9)
    batch = as_views(matrix(4, 4, 0.3), 2)
    algorithm = bare(4, run, {}, queue_length=9)
    assert queue_of(algorithm, batch)['feature_queue'].shape == (2, 4, 2, 4)
    with refused('model.queue_length=1', 'batch of 2', 'multiple of 2'):
        queue_of(bare(4, run, {}, queue_length=1), batch)
