from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from jssl.data import Canvas
from jssl.training import sharding
from tests.checks import refused

BIG = sharding.SMALLEST_SHARDED


def spec(shape: tuple[int, ...], fsdp: int = 4) -> P:
    """How an array of that shape is split."""
    leaf = jax.ShapeDtypeStruct(shape, 'float32')
    return sharding.state_shardings(leaf, sharding.make_mesh(fsdp=fsdp)).spec


@pytest.mark.parametrize(
    ('options', 'shape'),
    [
        ({}, (8, 1)),
        ({'fsdp': 2}, (4, 2)),
        ({'fsdp': 8}, (1, 8)),
        ({'devices': 4, 'fsdp': 2}, (2, 2)),
    ],
)
def test_a_mesh_has_two_axes(options: dict[str, Any], shape: tuple[int, int]) -> None:
    mesh = sharding.make_mesh(**options)
    assert mesh.axis_names == ('data', 'fsdp')
    assert mesh.devices.shape == shape
    assert len({device.id for device in mesh.devices.flat}) == mesh.size


@pytest.mark.parametrize('devices', [0, None])
def test_without_a_number_all_devices_are_taken(devices: int | None) -> None:
    assert sharding.make_mesh(devices=devices).size == len(jax.devices())


def test_more_devices_than_there_are_is_refused() -> None:
    with refused('config.mesh.devices=9', 'sees 8', 'cpu'):
        sharding.make_mesh(devices=9)


@pytest.mark.parametrize('fsdp', [3, 0, -1, 16])
def test_fsdp_must_divide_the_devices(fsdp: int) -> None:
    with refused(f'config.mesh.fsdp={fsdp}', '8 devices'):
        sharding.make_mesh(fsdp=fsdp)


@pytest.mark.parametrize(
    ('shape', 'expected'),
    [
        ((BIG, 4), P('fsdp')),
        ((4, BIG), P(None, 'fsdp')),
        ((3, 3, 256, 512), P(None, None, None, 'fsdp')),
        ((BIG + 1, 8), P(None, 'fsdp')),  # the larger axis does not divide
        ((BIG + 1, 3), P()),  # none does
        ((BIG - 4,), P()),  # small
        ((BIG,), P('fsdp')),
        ((), P()),
    ],
)
def test_the_largest_axis_that_divides_is_split(shape: tuple[int, ...], expected: P) -> None:
    assert spec(shape) == expected


def test_without_fsdp_everything_is_replicated() -> None:
    assert spec((BIG, 4), fsdp=1) == P()


def test_a_split_array_takes_its_part_of_the_memory() -> None:
    leaf = jnp.zeros((BIG, 2))
    placed = jax.device_put(leaf, sharding.state_shardings(leaf, sharding.make_mesh(fsdp=4)))
    assert {shard.data.shape for shard in placed.addressable_shards} == {(BIG // 4, 2)}


def test_a_batch_is_split_by_rows_over_all_devices_in_order() -> None:
    mesh = sharding.make_mesh(fsdp=2)
    placed = sharding.put_batch(
        {'index': np.arange(16), 'canvas': Canvas(np.ones((16, 2, 2, 3)), np.ones((16, 2)))}, mesh
    )
    assert placed['canvas'].size.sharding == sharding.batch_sharding(mesh)
    rows = {
        shard.index[0].start: np.asarray(shard.data) for shard in placed['index'].addressable_shards
    }
    assert len(rows) == 8
    for start, values in rows.items():
        np.testing.assert_array_equal(values, [start, start + 1])


def test_a_batch_whose_parts_do_not_divide_is_refused() -> None:
    mesh = sharding.make_mesh()
    sharding.check_batch_size(32, mesh, accumulate=2)
    with refused(
        *('config.batch_size=24 ', '8 devices in 2 parts (config.accumulate)'),
        'give --config.batch_size=16 or --config.batch_size=32 or --config.mesh.devices=6 or '
        '--config.accumulate=1.',
    ):
        sharding.check_batch_size(24, mesh, accumulate=2)


def test_fewer_devices_are_named_that_the_state_splits_over() -> None:
    mesh = sharding.make_mesh(fsdp=4)
    with refused('=8 or --config.batch_size=16 or --config.mesh.devices=4.'):
        sharding.check_batch_size(12, mesh)
    with refused('give --config.batch_size=8 or --config.batch_size=16 or --on=v5e-4.'):
        sharding.check_batch_size(12, mesh, fewer={4: '--on=v5e-4', 1: '--on=v5e-1'})


def test_what_is_replicated_lies_whole_on_every_device() -> None:
    mesh, values = sharding.make_mesh(), np.arange(5)
    placed = sharding.put_replicated({'canvas': values}, mesh)['canvas']
    assert placed.sharding == NamedSharding(mesh, P())
    assert len(placed.addressable_shards) == 8
    for shard in placed.addressable_shards:
        np.testing.assert_array_equal(shard.data, values)


@pytest.mark.parametrize('batch_size', [8, 256])
def test_a_batch_that_divides_passes(batch_size: int) -> None:
    sharding.check_batch_size(batch_size, sharding.make_mesh())


@pytest.mark.parametrize(
    ('batch_size', 'remedy'),
    [
        (12, 'give --config.batch_size=8 or --config.batch_size=16 or --config.mesh.devices=6.'),
        (5, 'give --config.batch_size=8 or --config.mesh.devices=5.'),
        (0, 'give --config.batch_size=8.'),
        (-3, 'give --config.batch_size=8.'),
    ],
)
def test_a_batch_that_does_not_divide_is_refused(batch_size: int, remedy: str) -> None:
    with refused(f'config.batch_size={batch_size} ', '8 devices', remedy):
        sharding.check_batch_size(batch_size, sharding.make_mesh())
