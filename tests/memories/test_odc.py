from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.normalize import l2_normalize
from jssl.memories import ODCMemory, odc
from tests import golden
from tests.checks import refused

merge = jax.jit(odc.merge_small_clusters, static_argnums=1)


def set_up(features: np.ndarray, labels: np.ndarray, classes: int) -> odc.Memory:
    bank = l2_normalize(jnp.asarray(features))
    centroids = jnp.zeros((classes, features.shape[1]))
    return odc.update_centroids(odc.Memory(bank, jnp.asarray(labels, 'int32'), centroids))


def own(sizes: tuple[int, ...] = (17, 4, 14, 7, 10, 8)) -> odc.Memory:
    """A memory of drawn features in clusters of these sizes."""
    features = np.random.default_rng(0).standard_normal((sum(sizes), 8)).astype('float32')
    return set_up(features, np.repeat(np.arange(len(sizes)), sizes), len(sizes))


def updated(saved: golden.File) -> odc.Memory:
    """The memory after the recorded batches, and new centroids."""
    arrays, meta = saved.arrays, saved.meta
    features, labels = arrays['in/features'], arrays['in/labels']
    assert features.shape == (meta['length'], meta['feat_dim'])
    memory = set_up(features, labels, meta['num_classes'])
    np.testing.assert_allclose(memory.bank, arrays['out/init/feature_bank'], atol=1e-6)
    np.testing.assert_allclose(memory.centroids, arrays['out/init/centroids'], atol=1e-6)
    update = jax.jit(odc.update_samples, static_argnums=3)
    for batch, ratio in enumerate(meta['change_ratios']):
        index, new = (jnp.asarray(arrays[f'in/{name}{batch}']) for name in ('idx', 'new'))
        memory, changed = update(memory, index, new, meta['momentum'])
        assert float(changed) == pytest.approx(ratio)
        expected = arrays[f'out/update{batch}/feature_bank']
        np.testing.assert_allclose(memory.bank, expected, atol=1e-6)
        np.testing.assert_array_equal(memory.labels, arrays[f'out/update{batch}/label_bank'])
    return odc.update_centroids(memory)


def check_recorded_splits(saved: golden.File, memory: odc.Memory) -> None:
    """Small clusters are dissolved, and filled by the halves that the reference's k-means made."""
    classes = saved.meta['num_classes']
    np.testing.assert_allclose(memory.centroids, saved.arrays['out/centroids'], atol=1e-6)
    sizes = odc.cluster_sizes(memory.labels, classes)
    np.testing.assert_array_equal(sizes, saved.meta['counts_before_debias'])
    small = np.asarray(sizes < saved.meta['min_cluster'])
    assert small.sum() == saved.meta['partitions']
    memory = odc.dissolve(memory, jnp.asarray(small))
    for turn, empty in enumerate(np.flatnonzero(small)):
        largest = odc.cluster_sizes(memory.labels, classes).argmax()
        members = odc.find_members(memory.labels, largest)
        recorded = saved.arrays[f'in/partition{turn}']
        assert int(members.size) == len(recorded)
        part = jnp.zeros(len(members.places), bool).at[: len(recorded)].set(recorded == 1)
        memory, halves = odc.move_part(memory, members, part, largest, jnp.asarray(empty))
        np.testing.assert_array_equal(halves, np.bincount(recorded))
    np.testing.assert_array_equal(memory.labels, saved.arrays['out/debias/label_bank'])
    np.testing.assert_allclose(memory.centroids, saved.arrays['out/debias/centroids'], atol=1e-6)


def check_clear_split(saved: golden.File) -> None:
    """A split that every start finds, up to which half is which."""
    given, expected = saved.group('in/clear'), saved.group('out/clear')
    classes = saved.meta['num_classes']
    before = set_up(given['features'], given['labels'], classes)
    assert (odc.cluster_sizes(before.labels, classes) < saved.meta['min_cluster']).sum() == 1
    memory = merge(before, saved.meta['min_cluster'])
    labels = expected['label_bank']
    same = [np.bincount(labels[np.asarray(memory.labels) == c]).argmax() for c in range(classes)]
    np.testing.assert_array_equal(np.asarray(same)[memory.labels], labels)
    np.testing.assert_allclose(memory.centroids, expected['centroids'][same], atol=1e-6)
    halves = np.bincount(given['partition'])
    assert set(halves) <= set(np.bincount(memory.labels, minlength=classes))


def check_loss_weights(saved: golden.File) -> None:
    arrays, classes = saved.arrays, saved.meta['num_classes']
    weights = odc.class_weights(jnp.asarray(arrays['in/labels_with_empty']), classes)
    np.testing.assert_allclose(weights, arrays['out/loss_weight_with_empty'], rtol=1e-5)
    labels = jnp.asarray(arrays['out/clear/label_bank'])
    for name, power in (('default', 0.5), ('pow09', 0.9)):
        weights = odc.class_weights(labels, classes, power)
        np.testing.assert_allclose(weights, arrays[f'out/loss_weight_{name}'], rtol=1e-5)


@golden.each('part_odc_memory')
def test_the_memory_of_the_reference(path: Path) -> None:
    # How often ten starts of the reference's k-means found the same split is no number of ours.
    with golden.whole(path, '*same_split_in_10_starts', 'clear.partitions') as saved:
        check_recorded_splits(saved, updated(saved))
        check_clear_split(saved)
        check_loss_weights(saved)


def test_no_small_cluster_is_left_and_centroids_are_means() -> None:
    memory = merge(own(), 8)
    assert odc.cluster_sizes(memory.labels, 6).min() > 0
    again = odc.update_centroids(memory)
    touched = np.flatnonzero(np.any(memory.centroids != own().centroids, axis=1))
    assert len(touched)
    np.testing.assert_allclose(memory.centroids[touched], again.centroids[touched], atol=1e-6)


def test_nothing_changes_while_no_cluster_is_small() -> None:
    for before, after in zip(own(), merge(own(), 4), strict=True):
        np.testing.assert_array_equal(before, after)


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


def test_settings_out_of_range_are_refused() -> None:
    with refused('ODCMemory.min_cluster=0', 'at least 1'):
        ODCMemory(8, 6, min_cluster=0)
    with refused('ODCMemory.momentum=0', 'positive number of at most 1'):
        ODCMemory(8, 6, momentum=0)
    with refused('num_classes=6', 'min_cluster=20', '120 images', 'there are 60'):
        ODCMemory(8, 6).check_samples(60)
    with refused('60 images', '6 clusters', 'min_cluster=11'):
        odc.merge_small_clusters(own(), 11)
