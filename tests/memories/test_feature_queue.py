import jax
import jax.numpy as jnp
import numpy as np

from jssl.memories import feature_queue


def rows(value: float, count: int = 2) -> jax.Array:
    return jnp.full((count, 3), value)


def test_batches_enter_in_front_and_leave_at_the_end() -> None:
    queue = jnp.zeros((6, 3))
    for value in (1.0, 2.0, 3.0, 4.0):
        queue = feature_queue.push(queue, rows(value))
    np.testing.assert_array_equal(queue[:, 0], [4, 4, 3, 3, 2, 2])


def test_it_is_full_once_the_first_batch_has_reached_the_end() -> None:
    queue, full, fill = jnp.zeros((4, 3)), [], []
    for value in (1.0, 2.0, 3.0):
        full.append(bool(feature_queue.is_full(queue)))
        fill.append(float(feature_queue.fill(queue)))
        queue = feature_queue.push(queue, rows(value))
    assert full == [False, False, True]
    assert fill == [0, 0.5, 1]


def test_the_fill_of_several_queues_is_their_mean() -> None:
    queues = jnp.stack([jnp.zeros((4, 3)), jnp.ones((4, 3))])
    assert feature_queue.fill(queues) == 0.5


def test_features_keep_the_queue_s_precision_and_get_no_gradient() -> None:
    pushed = feature_queue.push(jnp.zeros((4, 3)), rows(1.0).astype(jnp.bfloat16))
    assert pushed.dtype == 'float32'
    gradient = jax.grad(lambda x: feature_queue.push(jnp.zeros((4, 3)), x).sum())(rows(1.0))
    assert not gradient.any()
