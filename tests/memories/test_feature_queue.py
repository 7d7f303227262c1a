import jax
import jax.numpy as jnp
import numpy as np

from jssl.memories import feature_queue

START, YES, NO = jnp.array(0), jnp.array(True), jnp.array(False)


def features(value: float, images: int = 2) -> jax.Array:
    """A batch for two queues, of which the second holds the negative."""
    return jnp.stack([jnp.full((images, 3), value), jnp.full((images, 3), -value)])


def test_a_batch_takes_the_place_of_the_oldest() -> None:
    queues, pointer, push = jnp.zeros((2, 3, 2, 3)), START, jax.jit(feature_queue.push)
    places = []
    for value in (1.0, 2.0, 3.0, 4.0):
        queues, pointer = push(queues, pointer, features(value), YES)
        places.append(int(pointer))
    assert places == [1, 2, 0, 1]
    np.testing.assert_array_equal(queues[0, :, :, 0], [[4, 4], [2, 2], [3, 3]])
    np.testing.assert_array_equal(queues[1], -queues[0])


def test_nothing_changes_before_it_fills() -> None:
    given = jnp.arange(36.0).reshape(2, 3, 2, 3)
    queues, pointer = feature_queue.push(given, jnp.array(1), features(9.0), NO)
    np.testing.assert_array_equal(queues, given)
    assert pointer == 1


def test_it_is_full_once_the_first_batch_is_the_oldest() -> None:
    queues, pointer, full, fill = jnp.zeros((2, 2, 2, 3)), START, [], []
    for value in (1.0, 2.0, 3.0):
        full.append(feature_queue.is_full(queues, pointer).tolist())
        fill.append(float(feature_queue.fill(queues)))
        queues, pointer = feature_queue.push(queues, pointer, features(value), YES)
    assert full == [[False, False], [False, False], [True, True]]
    assert fill == [0, 0.5, 1]


def test_each_queue_says_by_the_last_row_of_its_oldest_batch_whether_it_is_full() -> None:
    queues = jnp.zeros((2, 2, 2, 3)).at[0, 1, 1].set(1).at[1, 1, 0].set(1)
    assert feature_queue.is_full(queues, jnp.array(1)).tolist() == [True, False]
    assert feature_queue.is_full(queues, START).tolist() == [False, False]
    assert feature_queue.fill(queues) == 0.25


def test_features_keep_the_queue_s_precision_and_get_no_gradient() -> None:
    empty = jnp.zeros((2, 2, 2, 3))
    pushed, _ = feature_queue.push(empty, START, features(1.0).astype(jnp.bfloat16), YES)
    assert pushed.dtype == 'float32'
    gradient = jax.grad(lambda x: feature_queue.push(empty, START, x, YES)[0].sum())(features(1.0))
    assert not gradient.any()
