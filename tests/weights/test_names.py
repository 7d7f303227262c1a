"""Keys and layouts of files; `tests.interop` has them for whole models."""

import jax.numpy as jnp
import numpy as np

from jssl.weights.names import key_of, load_tree, save_tree
from tests.checks import assert_trees_close, refused

TREE = {
    'conv': {'kernel': jnp.arange(24.0).reshape(1, 2, 3, 4), 'bias': jnp.arange(4.0)},
    'norm': {'scale': jnp.ones(3), 'var': jnp.ones(3)},
    'dense.0': {'kernel': jnp.arange(6.0).reshape(2, 3)},
}


def test_names_and_layouts_are_pytorch_s() -> None:
    found = save_tree(TREE)
    shapes = {key: array.shape for key, array in found.items()}
    assert shapes == {
        'conv.weight': (4, 3, 1, 2),
        'conv.bias': (4,),
        'norm.weight': (3,),
        'norm.running_var': (3,),
        'dense.0.weight': (3, 2),
    }
    assert found['conv.weight'][3, 1, 0, 1] == TREE['conv']['kernel'][0, 1, 1, 3]
    assert_trees_close(load_tree(found, TREE), TREE, rtol=0)


def test_a_key_may_be_said_by_the_caller_and_a_leaf_kept() -> None:
    renamed = lambda names: None if names[0] == 'norm' else f'net.{key_of(names)}'  # noqa: E731
    found = save_tree(TREE, renamed)
    assert set(found) == {'net.conv.weight', 'net.conv.bias', 'net.dense.0.weight'}
    zeros = {key: np.zeros_like(array) for key, array in found.items()}
    loaded = load_tree(zeros | {'again.x': np.ones(1)}, TREE, renamed, unread=('again.',))
    assert_trees_close(loaded['norm'], TREE['norm'], rtol=0)
    assert not loaded['conv']['bias'].any()
    with refused('1 keys', 'again.x'):
        load_tree(zeros | {'again.x': np.ones(1)}, TREE, renamed)
