import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.memories.queue import enqueue, init_queue, queue_health
from tests.checks import refused

QUEUE, START = np.zeros((6, 3), 'float32'), jnp.zeros((), 'int32')


def rows(value: float, count: int = 2) -> jax.Array:
    return jnp.full((count, 3), float(value))


def test_it_starts_with_random_unit_rows() -> None:
    queue = init_queue(jax.random.key(0), 512, 16)
    np.testing.assert_allclose(jnp.linalg.norm(queue, axis=1), 1, rtol=1e-6)
    assert np.abs(queue.mean(0)).max() < 0.05
    assert np.asarray(queue.std(0)) == pytest.approx(0.25, abs=0.03)


def test_new_rows_overwrite_the_oldest_around_the_ring() -> None:
    queue, pointer = jnp.asarray(QUEUE), START
    step = jax.jit(enqueue)
    for value, expected in [(1, [1, 1, 0, 0, 0, 0]), (2, [1, 1, 2, 2, 0, 0])]:
        queue, pointer = step(queue, pointer, rows(value))
        np.testing.assert_array_equal(queue[:, 0], expected)
    queue, pointer = step(*step(queue, pointer, rows(3)), rows(4))
    np.testing.assert_array_equal(queue, np.repeat([4, 4, 2, 2, 3, 3], 3).reshape(6, 3))
    assert int(pointer) == 2
    assert pointer.dtype == 'int32'


def test_a_batch_may_fill_it() -> None:
    queue, pointer = enqueue(jnp.asarray(QUEUE), START, rows(1, 6))
    np.testing.assert_array_equal(queue, 1)
    assert int(pointer) == 0


@pytest.mark.parametrize(('count', 'remedy'), [(4, 'set it to 4'), (5, '5'), (8, 'set it to 8')])
def test_a_queue_that_is_no_multiple_of_the_batch_is_refused(count: int, remedy: str) -> None:
    with refused('model.queue_len=6', f'{count} keys', remedy, 'config.batch_size'):
        jax.eval_shape(enqueue, QUEUE, START, rows(1, count))


def test_no_gradient_flows_into_the_rows_and_their_precision_is_the_queue_s() -> None:
    grad = jax.grad(lambda new: enqueue(jnp.asarray(QUEUE), START, new)[0].sum())(rows(1))
    np.testing.assert_array_equal(grad, 0)
    assert enqueue(jnp.asarray(QUEUE), START, rows(1).astype('bfloat16'))[0].dtype == 'float32'


@pytest.mark.parametrize(('written', 'fill'), [(0, 0), (3, 0.5), (6, 1), (60, 1)])
def test_its_health_is_how_much_is_written_and_how_long_rows_are(written: int, fill: float) -> None:
    health = queue_health(jnp.asarray(QUEUE).at[:3, 0].set(2.0), jnp.array(written))
    assert {key: float(value) for key, value in health.items()} == {
        'queue_fill': fill,
        'queue_norm': 1.0,
    }
