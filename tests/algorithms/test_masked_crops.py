"""Masks and masked patches by groups of neighbours: no patch leaves its device."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.algorithms.masked_crops import draw_masks, masked_rows
from jssl.augment.masks import most_masked, stratified_masks
from jssl.networks import forward
from jssl.planning import hlo, traffic
from jssl.training import sharding
from tests.algorithms import tiny_masked

IMAGES, SIDE = 256, 4  # eight groups of 32 images
OPTIONS: dict[str, Any] = {'share': 0.5, 'ratios': (0.1, 0.5)}


@functools.cache
def masks() -> jax.Array:
    draw = functools.partial(draw_masks, stratified_masks, **OPTIONS)
    return jax.jit(draw, static_argnums=(1, 2))(jax.random.key(0), 2 * IMAGES, SIDE)


def test_every_group_of_neighbours_has_all_strata() -> None:
    drawn = np.asarray(masks()).reshape(2, 8, 32, -1)
    assert (drawn.any(axis=3).sum(axis=(0, 2)) <= 32).all()
    counts = drawn.sum(axis=(0, 2, 3))
    most = most_masked(64, SIDE, **OPTIONS)
    assert (0.7 * most < counts).all()
    assert (counts <= most).all()
    assert len({group.tobytes() for group in drawn.swapaxes(0, 1)}) == 8


def test_patches_are_numbered_within_their_group() -> None:
    by_image, (index, weights) = masked_rows(masks(), 'float32', **OPTIONS)
    assert index.shape == (8, most_masked(64, SIDE, **OPTIONS))
    of_groups = np.asarray(by_image).reshape(8, -1)
    for group, numbers, weight in zip(of_groups, index, weights.reshape(index.shape), strict=True):
        np.testing.assert_array_equal(numbers[weight > 0], np.flatnonzero(group))


def test_patches_are_picked_without_leaving_their_device() -> None:
    """The program of eight devices sends gradients, and else nothing."""
    model = tiny_masked.tiny_dinov2()
    network, mesh = model.network, sharding.make_mesh()
    crops = jax.ShapeDtypeStruct((IMAGES, 2, 8, 8, 3), 'float32')
    subsets = jax.ShapeDtypeStruct((1, 2, 16, 22), 'int32')

    @jax.value_and_grad
    def squares(params: Any, crops: jax.Array, masks: jax.Array, subsets: jax.Array) -> jax.Array:
        by_image, patches = masked_rows(masks, crops.dtype, **OPTIONS)
        seen, _ = forward(network, params, {}, (crops,), patches, by_image, [{'subsets': subsets}])
        return jnp.mean(seen.patch_logits**2) + jnp.mean(seen.logits**2)

    batch = {'views': tuple(jax.ShapeDtypeStruct((2, s, s, 3), 'float32') for s in (8, 8, 6))}
    params, _ = jax.eval_shape(model.init, jax.random.key(0), batch)
    split, whole = sharding.batch_sharding(mesh), sharding.replicated(mesh)
    places = (whole, split, whole, whole)
    with jax.set_mesh(mesh):
        program = jax.jit(squares, in_shardings=places, out_shardings=whole)
        found = program.lower(params, crops, masks(), subsets).compile()
    sent = traffic.collectives(hlo.read(found.as_text() or ''), devices=8)
    assert {message.kind for message in sent} == {'all-reduce'}, sent
