"""The table of a plan."""

from typing import Any

from jssl.planning.words import lines

SHAPES: dict[str, Any] = {
    'on': '8xh200',
    'devices': 8,
    'algorithm': 'SimCLR',
    'images': 1000,
    'batch_size': 64,
    'fsdp': 8,
    'steps': 30,
    'epochs': 2,
    'parameters': 1_500_000,
    'state': [
        {'part': 'params', 'bytes': 6_000_000, 'device_bytes': 750_000},
        {'part': 'queue', 'bytes': 512, 'device_bytes': 512},
        {'part': 'nothing', 'bytes': 0, 'device_bytes': 0},
    ],
    'batch_device_bytes': 2**31,
    'operations': {
        'step': 64e9,
        'image': 1e9,
        'kinds': [{'dtype': 'bfloat16', 'precision': 'default', 'operations': 64e9}],
    },
    'advice': ['Do this.'],
}
PROGRAM = {
    'memory': {
        **{'total': 5 * 2**30, 'limit': 131 * 2**30, 'fits': True},
        **{'arguments': 2**30, 'temporaries': 2**32, 'outputs': 2**20, 'aliased': 2**20},
    },
    'largest': {'batch_size': 1234, 'compiled': False},
    'moved': 2**33,
    'kernels': 900,
    'copied': ['queue'],
    'collectives': [
        {'kind': 'all-reduce', 'times': 2, 'bytes': 2**20 * n, 'devices': 8, 'hosts': 1}
        for n in range(1, 11)
    ],
    'roofline': {
        **{'arithmetic': 2e-3, 'memory': 3.2e-2, 'messages': 5e-6, 'seconds': 3.2e-2},
        **{'binds': 'memory', 'utilisation': 0.0625, 'hours': 0.5},
        **{'images_per_second': 2000.0, 'device_images_per_second': 250.0},
    },
}


def test_shapes_are_told_and_what_else_would_need_a_compiler() -> None:
    table = '\n'.join(lines('simclr', SHAPES | {'missing': 'pip install it'}))
    for part in (
        'simclr on 8xh200\n',
        '1,000 images, 2 epochs = 30 steps\n',
        '64 over 8 devices, 8 on each, the state over 8\n',
        'parameters  732.42 KiB of 5.72 MiB\n',
        'queue       512 bytes\n',
        'images      2.00 GiB\n',
        '64 GFLOP a step, 1 GFLOP an image\n',
        '100.0% in default precision\n',
        'pip install it\nDo this.',
    ):
        assert part in table, part
    assert 'nothing' not in table


def test_a_program_is_told_with_what_binds_it() -> None:
    table = '\n'.join(lines('simclr', SHAPES | PROGRAM))
    for part in (
        '5.00 GiB of the 131.00 GiB of a device: it fits\n',
        '1,234, estimated from two batches\n',
        '8.00 GiB a step between a device and its memory, by 900 kernels\n',
        'copied whole     queue\n',
        '20 a step\n',
        '2 of 3.00 MiB, 8 devices on 1 host(s)\n',
        '4, smaller\n',
        'at least 32 ms, bound by the memory\n',
        '5 us\n',
        'at most 2,000, 250 on a device\n',
        'at most 6% of the bfloat16 peak\n',
        'at least 0.5 hours\nDo this.',
    ):
        assert part in table, part


def test_what_does_not_fit_is_told() -> None:
    full = {'memory': {'total': None, 'limit': 2**30, 'fits': False}}
    table = '\n'.join(lines('simclr', SHAPES | full))
    assert 'more than the 1.00 GiB of a device, says the compiler: it does not fit' in table
    over = {'memory': {**PROGRAM['memory'], 'fits': False}}  # type: ignore[dict-item]
    found = {'batch_size': 64, 'compiled': True}
    table = '\n'.join(lines('simclr', SHAPES | PROGRAM | over | {'largest': found}))
    assert 'it does not fit' in table
    assert '64, found by compiling' in table


def test_a_program_that_cannot_be_written_has_its_memory_told() -> None:
    table = '\n'.join(lines('simclr', SHAPES | {'memory': PROGRAM['memory']}))
    assert '5.00 GiB of the 131.00 GiB' in table
    assert 'moved' in table
    assert 'cannot write this program' in table
