"""What is known of a run, in a table that a person reads."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from jssl.counts import counted
from jssl.planning.machines import GIBI

MOST = 8  # messages that are shown one by one
PARTS = {'params': 'parameters', 'optimizer': 'optimizer state'}
PREFIXES = {-2: 'u', -1: 'm', 0: '', 1: 'k', 2: 'M', 3: 'G', 4: 'T', 5: 'P'}
ROOFS = {'arithmetic': 'arithmetic', 'memory': 'the memory', 'messages': 'messages'}


def lines(name: str, numbers: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a table.

    Args:
      name: of the config.
      numbers: of `jssl.planning.estimate.estimate`.
    """
    yield f'{name} on {numbers["on"]}'
    rows = [*_run(numbers), *_state(numbers), *_arithmetic(numbers)]
    if 'missing' in numbers:
        yield from _rows(rows)
        yield (
            'Activations, traffic and times need the compiler for this machine, which does without '
            f'the machine itself: {numbers["missing"]}'
        )
    else:
        yield from _rows([*rows, *_memory(numbers), *_program(numbers)])
    yield from numbers['advice']


def _rows(rows: list[tuple[str, str]]) -> Iterator[str]:
    width = max(len(name) for name, _ in rows)
    yield from (f'  {name:<{width}}  {value}' for name, value in rows)


def _run(numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    batch, devices = numbers['batch_size'], numbers['devices']
    split = f', the state over {numbers["fsdp"]}' if numbers['fsdp'] > 1 else ''
    return [
        ('run', f'{numbers["algorithm"]}, {counted(numbers["images"], "image")}, '
                f'{counted(numbers["epochs"], "epoch")} = {counted(numbers["steps"], "step")}'),
        ('batch', f'{batch:,} over {counted(devices, "device")}, '
                  f'{batch // devices:,} on each{split}'),
    ]  # fmt: skip


def _state(numbers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield 'parameters', f'{numbers["parameters"]:,}'
    for part in numbers['state']:
        each = part['device_bytes']
        split = f' of {_size(part["bytes"])}' if each < part['bytes'] else ''
        if each:
            yield f'  {PARTS.get(part["part"], part["part"])}', f'{_size(each)}{split}'
    yield '  images', _size(numbers['batch_device_bytes'])


def _arithmetic(numbers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    found = numbers['operations']
    yield (
        'products',
        f'{_short(found["step"])}FLOP a step, {_short(found["image"])}FLOP an image',
    )
    for kind in found['kinds']:
        share = kind['operations'] / found['step']
        yield f'  {kind["dtype"]}', f'{share:.1%} in {kind["precision"]} precision'


def _memory(numbers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    found = numbers['memory']
    limit = _size(found['limit'])
    if found['total'] is None:
        yield 'memory', f'more than the {limit} of a device, says the compiler: it does not fit'
    else:
        fits = 'fits' if found['fits'] else 'does not fit'
        yield 'memory', f'{_size(found["total"])} of the {limit} of a device: it {fits}'
        for name in ('arguments', 'temporaries', 'outputs', 'aliased'):
            yield f'  {name}', _size(found[name])
    if largest := numbers.get('largest'):
        how = 'found by compiling' if largest['compiled'] else 'estimated from two batches'
        yield 'largest batch', f'{largest["batch_size"]:,}, {how}'


def _program(numbers: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if 'roofline' not in numbers:
        if numbers['memory']['total'] is not None:
            yield 'moved', 'not known: the compiler cannot write this program as text'
        return
    yield (
        'moved',
        f'{_size(numbers["moved"])} a step between a device and its memory, by '
        f'{numbers["kernels"]:,} kernels',
    )
    if numbers['copied']:
        yield 'copied whole', ', '.join(numbers['copied'])
    messages = numbers['collectives']
    yield 'messages', f'{sum(message["times"] for message in messages)} a step'
    for message in messages[:MOST]:
        yield (
            f'  {message["kind"]}',
            f'{message["times"]} of {_size(message["bytes"])}, {message["devices"]} devices on '
            f'{message["hosts"]} host(s)',
        )
    if len(messages) > MOST:
        yield '  others', f'{sum(message["times"] for message in messages[MOST:])}, smaller'
    yield from _bound(numbers['roofline'])


def _bound(bound: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield (
        'a step takes',
        f'at least {_short(bound["seconds"])}s, bound by {ROOFS[bound["binds"]]}',
    )
    for name, words in ROOFS.items():
        yield f'  {words}', f'{_short(bound[name])}s'
    yield (
        'images a second',
        f'at most {bound["images_per_second"]:,.0f}, '
        f'{bound["device_images_per_second"]:,.0f} on a device',
    )
    yield 'utilisation', f'at most {bound["utilisation"]:.0%} of the bfloat16 peak'
    yield 'the run takes', f'at least {bound["hours"]:,.1f} hours'


def _size(number: float) -> str:
    """Bytes as text."""
    for unit, size in (('GiB', GIBI), ('MiB', 2**20), ('KiB', 2**10)):
        if number >= size:
            return f'{number / size:,.2f} {unit}'
    return f'{number:,.0f} bytes'


def _short(number: float) -> str:
    """A number with three digits and the prefix of its unit, such as ``'12.3 G'``."""
    place = 0 if number == 0 else int(math.log10(number) // 3)
    place = min(max(place, -2), 5)
    return f'{number / 1000**place:.3g} {PREFIXES[place]}'
