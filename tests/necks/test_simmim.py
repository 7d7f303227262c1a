import itertools

import jax
import jax.numpy as jnp
import numpy as np

from jssl.necks import SimMIMNeck
from jssl.necks.simmim import pixel_shuffle
from tests.checks import applied, refused


def test_pixel_shuffle_is_that_of_pytorch_s_documentation() -> None:
    """(*, C r^2, H, W) becomes (*, C, H r, W r): channels are plane, row, column."""
    x = np.arange(2 * 12 * 2 * 3).reshape(2, 12, 2, 3).astype('float32')
    expected = np.zeros((2, 3, 4, 6), 'float32')
    for channel, row, column in itertools.product(range(3), range(2), range(2)):
        expected[:, channel, row::2, column::2] = x[:, 4 * channel + 2 * row + column]
    found = pixel_shuffle(jnp.asarray(x.transpose(0, 2, 3, 1)), 2)
    np.testing.assert_array_equal(np.asarray(found).transpose(0, 3, 1, 2), expected)


def test_hand_made_value() -> None:
    """ALGORITHMS.md, golden value 23: the top left blocks of the three planes."""
    x = np.arange(48).reshape(1, 12, 2, 2).transpose(0, 2, 3, 1)
    corner = np.asarray(pixel_shuffle(jnp.asarray(x), 2))[0, :2, :2].transpose(2, 0, 1)
    np.testing.assert_array_equal(corner.reshape(3, 4), np.arange(0, 48, 4).reshape(3, 4))


def test_each_token_paints_the_pixels_below_it() -> None:
    neck = SimMIMNeck(5, encoder_stride=4)
    features = (jnp.ones((1, 2, 3, 5)),)
    params = neck.init(jax.random.key(0), features)
    assert params['params']['decoder.0']['kernel'].shape == (1, 1, 5, 48)
    bound = 5**-0.5
    assert float(jnp.abs(params['params']['decoder.0']['bias']).max()) <= bound
    moved = (features[0].at[0, 1, 2].add(1),)
    changed = applied(neck, params, moved) - applied(neck, params, features)
    assert changed.shape == (1, 8, 12, 3)
    places = np.argwhere(np.abs(changed[0]).max(axis=-1) > 0)
    assert places.min(axis=0).tolist() == [4, 8]
    assert places.max(axis=0).tolist() == [7, 11]


def test_a_map_of_another_width_is_refused() -> None:
    with refused('neck.in_channels=5', '6 channels'):
        jax.eval_shape(SimMIMNeck(5).init, jax.random.key(0), (jnp.ones((1, 2, 2, 6)),))
