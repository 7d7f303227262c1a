import jax.numpy as jnp
import numpy as np

from jssl.backbones import ResNet
from jssl.layers.shuffle import has_grouped_norm, unshuffle
from jssl.necks import LinearNeck, NonLinearNeck


def test_unshuffling_undoes_a_shuffle() -> None:
    rows, shuffle = np.arange(10).reshape(5, 2), np.array([3, 0, 4, 1, 2])
    order = jnp.asarray(shuffle)
    images, labels = unshuffle((jnp.asarray(rows[shuffle]), order), order)
    np.testing.assert_array_equal(images, rows)
    np.testing.assert_array_equal(labels, np.arange(5))


def test_a_group_in_backbone_or_neck_is_found() -> None:
    plain, neck = ResNet(depth=10), LinearNeck(8, 8)
    assert not has_grouped_norm(plain, neck)
    assert has_grouped_norm(plain.clone(bn_group_size=4), neck)
    assert has_grouped_norm(plain, NonLinearNeck(8, 8, 8, bn_group_size=4))
