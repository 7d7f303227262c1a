from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.normalize import l2_normalize
from jssl.memories import ODCMemory, odc
from tests import parity
from tests.checks import refused

SMALL = 8  # a cluster of the golden memory with fewer members is dissolved
merge = jax.jit(odc.merge_small_clusters, static_argnums=1)


@pytest.fixture(scope='module')
def saved(golden: Path) -> Any:
    return parity.reference(golden, 'part_odc_memory')


def set_up(features: np.ndarray, labels: np.ndarray) -> odc.Memory:
    centroids = jnp.zeros((6, features.shape[1]))
    return odc.update_centroids(odc.Memory(jnp.asarray(features), jnp.asarray(labels), centroids))


def updated(saved: Any) -> odc.Memory:
    """The memory after the three recorded batches, and new centroids."""
    arrays = saved.arrays
    bank = l2_normalize(jnp.asarray(arrays['in/features']))
    memory = set_up(bank, arrays['in/labels'].astype('int32'))
    np.testing.assert_allclose(memory.centroids, arrays['out/init/centroids'], atol=1e-6)
    update = jax.jit(odc.update_samples, static_argnums=3)
    for batch, ratio in enumerate(saved.meta['change_ratios']):
        index, features = (jnp.asarray(arrays[f'in/{name}{batch}']) for name in ('idx', 'new'))
        memory, changed = update(memory, index, features, saved.meta['momentum'])
        assert float(changed) == pytest.approx(ratio)
        expected = arrays[f'out/update{batch}/feature_bank']
        np.testing.assert_allclose(memory.bank, expected, atol=1e-6)
        np.testing.assert_array_equal(memory.labels, arrays[f'out/update{batch}/label_bank'])
    return odc.update_centroids(memory)


def test_updates_and_small_clusters_of_the_reference(saved: Any) -> None:
    memory = updated(saved)
    np.testing.assert_allclose(memory.centroids, saved.arrays['out/centroids'], atol=1e-6)
    sizes = odc.cluster_sizes(memory.labels, 6)
    np.testing.assert_array_equal(sizes, saved.meta['counts_before_debias'])
    small = np.asarray(sizes < SMALL)
    memory = odc.dissolve(memory, jnp.asarray(small))
    for turn, empty in enumerate(np.flatnonzero(small)):
        largest = odc.cluster_sizes(memory.labels, 6).argmax()
        members = odc.find_members(memory.labels, largest)
        recorded = saved.arrays[f'in/partition{turn}']
        assert int(members.size) == len(recorded)
        part = jnp.zeros(len(members.places), bool).at[: len(recorded)].set(recorded == 1)
        memory, halves = odc.move_part(memory, members, part, largest, jnp.asarray(empty))
        np.testing.assert_array_equal(halves, np.bincount(recorded))
    np.testing.assert_array_equal(memory.labels, saved.arrays['out/debias/label_bank'])
    np.testing.assert_allclose(memory.centroids, saved.arrays['out/debias/centroids'], atol=1e-6)


def test_a_clear_split_is_the_reference_s_up_to_which_half_is_which(saved: Any) -> None:
    features, labels = (saved.arrays[f'in/clear/{name}'] for name in ('features', 'labels'))
    bank = l2_normalize(jnp.asarray(features))
    memory = merge(set_up(bank, labels.astype('int32')), SMALL)
    expected, centroids = (
        saved.arrays[f'out/clear/{name}'] for name in ('label_bank', 'centroids')
    )
    swap = np.arange(6)
    if memory.labels[1] != expected[1]:  # the halves are 0 and 1
        swap[:2] = 1, 0
    np.testing.assert_array_equal(swap[np.asarray(memory.labels)], expected)
    np.testing.assert_allclose(np.asarray(memory.centroids)[swap], centroids, atol=1e-6)


def test_no_small_cluster_is_left_and_centroids_are_means(saved: Any) -> None:
    memory = merge(updated(saved), SMALL)
    assert odc.cluster_sizes(memory.labels, 6).min() > 0
    again = odc.update_centroids(memory)
    touched = np.flatnonzero(np.any(memory.centroids != updated(saved).centroids, axis=1))
    assert len(touched)
    np.testing.assert_allclose(memory.centroids[touched], again.centroids[touched], atol=1e-6)


def test_nothing_changes_while_no_cluster_is_small(saved: Any) -> None:
    memory = updated(saved)
    for before, after in zip(memory, merge(memory, 4), strict=True):
        np.testing.assert_array_equal(before, after)


def test_loss_weights_of_the_reference(saved: Any) -> None:
    labels = jnp.asarray(saved.arrays['in/labels_with_empty'])
    expected = saved.arrays['out/loss_weight_with_empty']
    np.testing.assert_allclose(odc.class_weights(labels, 6), expected, rtol=1e-5)
    labels = jnp.asarray(saved.arrays['out/clear/label_bank'])
    for name, power in (('default', 0.5), ('pow09', 0.9)):
        weights = odc.class_weights(labels, 6, power)
        np.testing.assert_allclose(weights, saved.arrays[f'out/loss_weight_{name}'], rtol=1e-5)


def test_two_means_over_several_chunks() -> None:
    draw = np.random.default_rng(0)
    side = draw.random(4 * odc.ROWS) < 0.3
    bank = draw.standard_normal((len(side), 3)).astype('float32') + 8 * side[:, None]
    labels = np.where(draw.random(len(side)) < 0.7, 2, 1).astype('int32')
    members = odc.find_members(jnp.asarray(labels), jnp.asarray(2))
    part = np.asarray(jax.jit(odc.split_in_two)(jnp.asarray(bank), members))[: int(members.size)]
    expected = side[labels == 2]
    assert len(part) > 2 * odc.ROWS
    assert (part == expected).all() or (part == ~expected).all()


def test_equal_members_are_halved() -> None:
    members = odc.find_members(jnp.zeros(10, 'int32'), jnp.asarray(0))
    part = odc.split_in_two(jnp.ones((10, 3)), members)
    assert int(part[:10].sum()) == 5


def test_members_of_many_small_clusters_move_in_several_rounds() -> None:
    count = 5 * odc.ROWS
    labels = jnp.where(jnp.arange(count) < 10, 2, jnp.arange(count) % 2)
    bank = jnp.eye(3)[jnp.arange(count) % 3]
    memory = odc.Memory(bank, labels, jnp.eye(3))
    moved = odc.dissolve(memory, jnp.array([True, True, False]))
    np.testing.assert_array_equal(moved.labels, 2)


def test_an_empty_cluster_keeps_its_centroid() -> None:
    memory = odc.Memory(jnp.ones((4, 2)), jnp.zeros(4, 'int32'), jnp.full((2, 2), 7.0))
    np.testing.assert_array_equal(odc.update_centroids(memory).centroids, [[1, 1], [7, 7]])


def test_settings_out_of_range_are_refused(saved: Any) -> None:
    with refused('ODCMemory.min_cluster=0', 'at least 1'):
        ODCMemory(8, 6, min_cluster=0)
    with refused('ODCMemory.momentum=0', 'positive number of at most 1'):
        ODCMemory(8, 6, momentum=0)
    with refused('num_classes=6', 'min_cluster=20', '120 images', 'there are 60'):
        ODCMemory(8, 6, length=60)
    with refused('60 images', '6 clusters', 'min_cluster=11'):
        odc.merge_small_clusters(updated(saved), 11)
