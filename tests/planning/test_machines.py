"""Names of machines."""

import pytest

from jssl.planning.machines import MACHINES, parse, smaller
from tests.checks import refused


@pytest.mark.parametrize(
    ('name', 'hosts', 'size', 'shape'),
    [
        ('h200', 1, 1, '1x1x1'),
        ('8xh100', 1, 8, '1x1x8'),
        ('4x8xh200', 4, 32, '1x4x8'),
        ('v5e-1', 1, 1, 'v5e:1x1'),
        ('v5e-8', 1, 8, 'v5e:2x4'),
        ('v5e-64', 1, 64, 'v5e:8x8'),
        ('v5e-256', 1, 256, 'v5e:16x16'),
        ('v6e-16', 1, 16, 'v6e:4x4'),
        ('v4-8', 1, 4, 'v4:2x2x1'),
        ('v4-32', 1, 16, 'v4:2x2x4'),
        ('v5p-64', 1, 32, 'v5p:2x4x4'),
        ('v5p-128', 1, 64, 'v5p:4x4x4'),
    ],
)
def test_a_name_says_how_many_devices_and_how_they_lie(
    name: str, hosts: int, size: int, shape: str
) -> None:
    fleet = parse(name)
    assert (fleet.name, fleet.hosts, fleet.size, fleet.shape) == (name, hosts, size, shape)


def test_capital_letters_do_not_matter() -> None:
    assert parse('8xH200') == parse('8xh200')


@pytest.mark.parametrize('name', ['8xh300', 'v5e', '8xv5e', 'h200-8', '0xh200', '2x2x8xh100', ''])
def test_what_is_no_machine_is_refused(name: str) -> None:
    with refused(f'--on={name} is no machine', '4x8xh100', 'v4-32', 'Valid names: a100'):
        parse(name)


def test_a_slice_that_there_is_not_is_answered_with_those_nearest() -> None:
    with refused('--on=v5e-100 is no slice of v5e', '--on=v5e-64 and --on=v5e-128'):
        parse('v5e-100')
    with refused('--on=v5p-4', '--on=v5p-8 and --on=v5p-16'):
        parse('v5p-4')
    with refused('--on=v6e-512', '--on=v6e-128 and --on=v6e-256'):
        parse('v6e-512')


def test_the_memory_of_a_card_is_what_its_description_says() -> None:
    for machine in MACHINES.values():
        if machine.target:
            size = int(machine.target.partition('device_memory_size: ')[2].split()[0])
            assert 0.9 < machine.memory / size <= 1
            assert f'memory_bandwidth: {machine.bandwidth:.0f} ' in machine.target
        assert machine.memory / machine.bandwidth < 0.1  # seconds to read all of it


@pytest.mark.parametrize(
    ('name', 'sizes'),
    [
        ('4xh100', {1: '1xh100', 2: '2xh100', 3: '3xh100'}),
        ('3x2xa100', {1: '1xa100', 2: '2xa100', 4: '2x2xa100'}),
        ('v5e-8', {1: 'v5e-1', 2: 'v5e-2', 4: 'v5e-4'}),
        ('v5p-32', {4: 'v5p-8', 8: 'v5p-16'}),
        ('h200', {}),
    ],
)
def test_smaller_machines_are_named_as_they_are_typed(name: str, sizes: dict[int, str]) -> None:
    assert smaller(parse(name)) == {size: f'--on={other}' for size, other in sizes.items()}
