import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import use_abstract_mesh

from jssl.backbones import ResNet
from jssl.layers.shuffle import draw_shuffle, has_grouped_norm, shuffled, unshuffle
from jssl.necks import LinearNeck, NonLinearNeck
from jssl.training import sharding


@pytest.mark.parametrize(
    ('size', 'batch', 'shape', 'together'),
    [
        (4, 16, (4, 4), 1),  # from each group one
        (8, 16, (2, 8), 4),  # half of both
        (2, 16, (8, 2), 1),  # from two groups one each
        (4, 24, (1, 24), None),  # six groups, and four places
        (16, 16, (1, 16), None),
    ],
)
def test_a_group_is_drawn_from_as_many_others_as_can_be(
    size: int, batch: int, shape: tuple[int, int], together: int | None
) -> None:
    modules = LinearNeck(8, 8), ResNet(depth=10, bn_group_size=size)
    shuffle = draw_shuffle(jax.random.key(0), batch, *modules)
    assert shuffle.shape == shape
    order = np.asarray(shuffled(jnp.arange(batch), shuffle))
    np.testing.assert_array_equal(np.sort(order), np.arange(batch))
    np.testing.assert_array_equal(unshuffle(order, shuffle), np.arange(batch))
    for group in order.reshape(-1, size) // size if together else ():
        assert {*np.unique(group, return_counts=True)[1].tolist()} == {together}
    other = shuffled(jnp.arange(batch), draw_shuffle(jax.random.key(1), batch, *modules))
    assert (np.asarray(other) != order).any()


def test_the_smaller_group_decides() -> None:
    modules = ResNet(depth=10, bn_group_size=8), NonLinearNeck(8, 8, 8, bn_group_size=4)
    assert draw_shuffle(jax.random.key(0), 16, *modules).shape == (4, 4)


@pytest.mark.parametrize(('groups', 'kind'), [(8, ' all-to-all('), (4, ' all-gather(')])
def test_devices_send_each_other_what_they_need(groups: int, kind: str) -> None:
    """Without a group that lies on several devices, and with one."""
    mesh = sharding.make_mesh()
    network = ResNet(depth=10, bn_group_size=32 // groups)
    images, shuffle = np.arange(64.0).reshape(32, 2), draw_shuffle(jax.random.key(0), 32, network)
    given = jax.device_put(images, sharding.batch_sharding(mesh))
    with use_abstract_mesh(mesh.abstract_mesh):
        run = jax.jit(shuffled).lower(given, shuffle).compile()
        there = run(given, jax.device_put(shuffle, run.input_shardings[0][1]))
        back = jax.jit(unshuffle)(there, shuffle)
    np.testing.assert_array_equal(there, shuffled(jnp.asarray(images), shuffle))
    np.testing.assert_array_equal(back, images)
    assert there.sharding == back.sharding == given.sharding
    sent = re.findall(r' (?:all|collective|reduce)-[a-z-]+\(', run.as_text() or '')
    assert set(sent) == {kind}


def test_a_group_in_backbone_or_neck_is_found() -> None:
    plain, neck = ResNet(depth=10), LinearNeck(8, 8)
    assert not has_grouped_norm(plain, neck)
    assert has_grouped_norm(plain.clone(bn_group_size=4), neck)
    assert has_grouped_norm(plain, NonLinearNeck(8, 8, 8, bn_group_size=4))
