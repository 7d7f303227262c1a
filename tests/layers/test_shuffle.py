import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import use_abstract_mesh

from jssl.backbones import ResNet
from jssl.layers.shuffle import has_grouped_norm, shuffled, unshuffle
from jssl.necks import LinearNeck, NonLinearNeck
from jssl.training import sharding


def test_unshuffling_undoes_a_shuffle() -> None:
    rows, shuffle = np.arange(10).reshape(5, 2), np.array([3, 0, 4, 1, 2])
    order = jnp.asarray(shuffle)
    images, labels = unshuffle((jnp.asarray(rows[shuffle]), order), order)
    np.testing.assert_array_equal(images, rows)
    np.testing.assert_array_equal(labels, np.arange(5))


def test_every_device_has_its_share_of_shuffled_images() -> None:
    mesh = sharding.make_mesh()
    images, shuffle = np.arange(32.0).reshape(16, 2), np.random.default_rng(0).permutation(16)
    given = jax.device_put(images, sharding.batch_sharding(mesh))
    with use_abstract_mesh(mesh.abstract_mesh):
        there = jax.jit(shuffled)(given, shuffle)
        back = jax.jit(unshuffle)(there, shuffle)
    np.testing.assert_array_equal(there, images[shuffle])
    np.testing.assert_array_equal(back, images)
    assert there.sharding == back.sharding == given.sharding


def test_a_group_in_backbone_or_neck_is_found() -> None:
    plain, neck = ResNet(depth=10), LinearNeck(8, 8)
    assert not has_grouped_norm(plain, neck)
    assert has_grouped_norm(plain.clone(bn_group_size=4), neck)
    assert has_grouped_norm(plain, NonLinearNeck(8, 8, 8, bn_group_size=4))
