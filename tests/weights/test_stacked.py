import jax
import jax.numpy as jnp
import numpy as np

from jssl.weights.stacked import stack_like, unstack
from tests.checks import assert_trees_close

BLOCKS = {
    'attn': {},
    'ffn': {'layers.0.0': {'kernel': jnp.arange(24.0).reshape(12, 2)}},
    'b': jnp.arange(12.0),
}
TREE = {
    'params': {'backbone': {'layers': BLOCKS, 'cls_token': jnp.ones(2)}, 'neck': jnp.zeros(1)},
    'state': {},
}


def test_stacked_blocks_are_told_apart_by_number() -> None:
    backbone = unstack(TREE)['params']['backbone']
    assert set(backbone) == {'cls_token', *(f'layers.{index}' for index in range(12))}
    np.testing.assert_array_equal(backbone['layers.10']['ffn']['layers.0.0']['kernel'], [20, 21])
    assert float(backbone['layers.3']['b']) == 3


def test_stacking_undoes_it_with_more_than_ten_blocks() -> None:
    # JAX orders keys as strings, 10 before 2.
    sorted_by_jax = jax.tree.map(lambda leaf: leaf + 1, unstack(TREE))
    expected = jax.tree.map(lambda leaf: leaf + 1, TREE)
    assert_trees_close(stack_like(sorted_by_jax, TREE), expected, rtol=0)


def test_blocks_that_are_not_stacked_stay_as_they_are() -> None:
    tree = {'layers.0': {'w': 1}, 'layers.1': {'w': 2}, 'ln1': 3}
    assert unstack(tree) == tree
    assert stack_like(tree, tree) == tree


def test_a_module_of_another_kind_may_have_the_same_name() -> None:
    tree = {'backbone': {'layers': {'conv': {'kernel': jnp.ones((3, 3, 1, 4))}}}}
    for made in (unstack(tree), stack_like(tree, tree)):
        assert_trees_close(made, tree, rtol=0)


def test_shapes_are_unstacked_like_arrays() -> None:
    shapes = jax.eval_shape(lambda: TREE)
    found = unstack(shapes)['params']['backbone']['layers.11']['ffn']['layers.0.0']['kernel']
    assert (found.shape, found.dtype) == ((2,), jnp.float32)
