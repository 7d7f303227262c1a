import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jssl.layers.attention import SelfAttention
from jssl.layers.relative_attention import RelativeAttention, relative_positions
from tests import golden
from tests.checks import applied, well_scaled

INDEX = 'relative_position_index'


def has_windows(meta: golden.Meta) -> bool:
    return any(key.endswith(INDEX) for key in meta['state_spec'])


@golden.each('backbone', 'step', of=has_windows)
def test_the_index_tables_of_the_reference(path: Path) -> None:
    saved = golden.File(path)
    for key, table in saved.group('stored').items():
        if key.endswith(INDEX):
            np.testing.assert_array_equal(relative_positions(math.isqrt(len(table))), table)


def test_equal_distances_share_an_entry_and_others_do_not() -> None:
    index = relative_positions(3)
    places = np.stack(np.divmod(np.arange(9), 3))
    distances = places[:, :, None] - places[:, None, :]
    keys = [tuple(distances[:, i, j]) for i in range(9) for j in range(9)]
    pairs = set(zip(keys, index.ravel().tolist(), strict=True))
    assert len(pairs) == len(set(keys)) == len(set(index.ravel().tolist())) == 25


def test_the_class_token_has_three_entries_of_its_own() -> None:
    index = relative_positions(2, cls_token=True)
    np.testing.assert_array_equal(index[1:, 1:], relative_positions(2))
    assert (index[0, 1:] == 9).all()
    assert (index[1:, 0] == 10).all()
    assert index[0, 0] == 11


def test_the_bias_is_added_to_the_scaled_logits_of_its_head() -> None:
    x = jax.random.normal(jax.random.key(1), (2, 5, 8))
    module = RelativeAttention(2, side=2, cls_token=True)
    params = well_scaled(jax.eval_shape(module.init, jax.random.key(0), x))['params']
    table = params['relative_position_bias_table']
    assert table.shape == (2, 12)
    bias = np.zeros((1, 2, 5, 5), 'float32')
    for row in range(5):
        for column in range(5):
            bias[0, :, row, column] = table[:, relative_positions(2, cls_token=True)[row, column]]
    plain = {key: value for key, value in params.items() if key != 'relative_position_bias_table'}
    expected = applied(SelfAttention(2), {'params': plain}, x, jnp.asarray(bias))
    np.testing.assert_allclose(applied(module, {'params': params}, x), expected, atol=1e-6)
    without = applied(SelfAttention(2), {'params': plain}, x)
    assert np.abs(expected - without).max() > 1e-2
