"""All that is known of a run before anything is rented, as plain numbers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jax.sharding import AbstractMesh

from jssl.checks import Count, check_value
from jssl.errors import JsslError
from jssl.planning import flops, hlo, traffic
from jssl.planning.advice import advise
from jssl.planning.machines import Fleet, smaller
from jssl.planning.program import (
    Memory,
    compiled,
    lacks,
    memory,
    planned,
    split,
    text,
    topology,
    trace,
)
from jssl.planning.roofline import roofline
from jssl.training import sharding
from jssl.training.experiment import Experiment

COPIED = 2**16  # bytes: a memory that is copied whole and is larger than this is told
WEIGHTS = ('teacher', 'batch_stats')  # of the state: a convolution lays them out anew
HALVINGS = 6  # of a batch that does not fit, in search of two that do
Numbers = dict[str, Any]


def estimate(
    config: Mapping[str, Any],
    fleet: Fleet,
    *,
    images: int | None = None,
    unit: int | None = None,
    second: bool = True,
) -> Numbers:
    """What a run takes of a machine.

    Args:
      config: of the run.
      fleet: the machine. Where nothing compiles for it, only what shapes tell is given.
      images: how many there are, for data that are not there.
      unit: find the largest batch that fits by compiling, a multiple of this; without it, it is
        estimated.
      second: whether a second batch is compiled for that estimate.

    Raises:
      JsslError: as for a run, for a batch that the devices do not share evenly, and for what the
        compiler refuses for other reasons than the memory.
    """
    mesh, here = _mesh(config, fleet), lacks(fleet.machine)
    devices = jax.devices('cpu')[:1] if here else topology(fleet)
    parts = config.get('accumulate', 1)
    check_value('config.batch_size', config['batch_size'], Count)
    check_value('config.accumulate', parts, Count)
    sharding.check_batch_size(config['batch_size'], mesh, parts, smaller(fleet))
    subject = planned(config, devices, images, **({'mesh': {}} if here else {}))
    traced = trace(subject)
    numbers = _of_shapes(subject, fleet, mesh, flops.count(traced.jaxpr, fleet.machine.platform))
    if here:
        return numbers | {'missing': here, 'advice': advise(config, fleet, numbers)}
    program = compiled(traced)
    written = None if program is None else text(program)
    if written is not None:
        read = hlo.read(written)
        numbers |= _of_program(read, fleet, numbers)
        numbers['copied'] = _copied(read, subject, mesh)
    numbers['memory'] = _memory(None if program is None else memory(program), fleet)

    def total(batch_size: int) -> int | None:
        """The memory that a batch takes; None where the compiler says that it does not fit."""
        if batch_size == subject.batch_size:
            return numbers['memory']['total']
        found = compiled(trace(planned(config, devices, images, batch_size=batch_size)))
        return None if found is None else memory(found).total

    if unit is not None:
        numbers['largest'] = _found(total, subject, fleet, unit)
    elif second:
        numbers['largest'] = _extrapolated(total, subject, fleet)
    return numbers | {'advice': advise(config, fleet, numbers)}


def _mesh(config: Mapping[str, Any], fleet: Fleet) -> AbstractMesh:
    """The shape of the mesh of a run."""
    asked = config.get('mesh', {}).get('devices')
    if asked and asked != fleet.size:
        raise JsslError(
            f'config.mesh.devices={asked} is not the {fleet.size} devices of --on={fleet.name}, '
            'all of which a plan takes; leave it out, and name another machine in --on.'
        )
    parts = split(config)
    if fleet.size % parts:
        raise JsslError(
            f'config.mesh.fsdp={parts} does not divide the {fleet.size} devices of '
            f'--on={fleet.name}; choose a divisor.'
        )
    return AbstractMesh((fleet.size // parts, parts), ('data', 'fsdp'))


def _of_shapes(
    subject: Experiment, fleet: Fleet, mesh: AbstractMesh, operations: flops.Kinds
) -> Numbers:
    """What needs no compiler."""
    state, steps = subject.state_shapes, subject.plan.steps
    parts = {'params': state.params, 'optimizer': state.opt_state, **state.state}
    batch = jax.eval_shape(subject.empty_batch)
    whole = sum(operations.values())
    return {
        'on': fleet.name,
        'devices': fleet.size,
        'algorithm': type(subject.algorithm).__name__,
        'images': len(subject.data),
        'batch_size': subject.batch_size,
        'fsdp': mesh.shape['fsdp'],
        'steps': steps,
        'epochs': subject.epochs,
        'parameters': sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        'state': [
            {'part': name, 'bytes': _bytes(part), 'device_bytes': _bytes(part, mesh)}
            for name, part in parts.items()
        ],
        'batch_device_bytes': _bytes(batch) // fleet.size,
        'operations': {
            'step': whole,
            'image': whole / subject.batch_size,
            'kinds': [
                {'dtype': dtype, 'precision': precision, 'operations': number}
                for (dtype, precision), number in operations.most_common()
            ],
        },
    }


def _bytes(tree: Any, mesh: AbstractMesh | None = None) -> int:
    """Of all arrays of a tree; with a mesh, of what lies of them on a device of it."""
    total = 0
    places = None if mesh is None else jax.tree.leaves(sharding.state_shardings(tree, mesh))
    for number, leaf in enumerate(jax.tree.leaves(tree)):
        shape = leaf.shape if places is None else places[number].shard_shape(leaf.shape)
        total += jax.ShapeDtypeStruct(shape, leaf.dtype).size * leaf.dtype.itemsize
    return total


def _copied(program: hlo.Program, subject: Experiment, mesh: AbstractMesh) -> list[str]:
    """The memories, such as a queue, of which a step copies a whole array."""
    shapes, found = set(traffic.copied(program, COPIED)), []
    memories = subject.state_shapes.state.items()
    for name, part in [entry for entry in memories if entry[0] not in WEIGHTS]:
        places = jax.tree.leaves(sharding.state_shardings(part, mesh))
        leaves = zip(jax.tree.leaves(part), places, strict=True)
        if shapes & {place.shard_shape(leaf.shape) for leaf, place in leaves}:
            found.append(name)
    return found


def _of_program(read: hlo.Program, fleet: Fleet, numbers: Numbers) -> Numbers:
    """What the compiled program tells besides its memory."""
    messages = traffic.collectives(read, fleet.size, fleet.hosts)
    operations = {
        (kind['dtype'], kind['precision']): kind['operations']
        for kind in numbers['operations']['kinds']
    }
    moved = traffic.moved(read)
    bound = roofline(fleet, operations, moved, messages)
    return {
        'moved': moved,
        'kernels': traffic.kernels(read),
        'to_host': traffic.to_host(read),
        'collectives': [
            {**message._asdict(), 'times': times}
            for message, times in sorted(messages.items(), key=lambda pair: -pair[0].sent * pair[1])
        ],
        'roofline': {
            **bound._asdict(),
            'seconds': bound.seconds,
            'binds': bound.binds,
            'utilisation': bound.utilisation,
            'images_per_second': numbers['batch_size'] / bound.seconds,
            'device_images_per_second': numbers['batch_size'] / bound.seconds / fleet.size,
            'hours': numbers['steps'] * bound.seconds / 3600,
        },
    }


def _memory(found: Memory | None, fleet: Fleet) -> Numbers:
    limit = fleet.machine.memory
    if found is None:
        return {'total': None, 'limit': limit, 'fits': False}
    fits = found.total <= limit
    return {**found._asdict(), 'total': found.total, 'limit': limit, 'fits': fits}


def _found(
    total: Callable[[int], int | None], subject: Experiment, fleet: Fleet, unit: int
) -> Numbers:
    """The largest batch that fits, found by compiling."""
    if unit % fleet.size:
        raise JsslError(
            f'--largest={unit} must be a multiple of the {fleet.size} devices of --on={fleet.name}.'
        )

    def fits(batch_size: int) -> bool:
        if batch_size > len(subject.data):
            return False
        found = total(batch_size)
        return found is not None and found <= fleet.machine.memory

    first = -(-subject.batch_size // unit) * unit
    return {'batch_size': largest(fits, first, unit), 'compiled': True}


def largest(fits: Callable[[int], bool], first: int, unit: int) -> int:
    """The largest multiple of `unit` that fits, by bisection; 0 where none does.

    Args:
      fits: whether a number does; if one does, so do all below.
      first: where to look first, a multiple of `unit`.
      unit: of the answer. Fewer programs are compiled with a larger one.

    Examples:
      >>> largest(lambda batch: batch <= 700, first=512, unit=64)
      640
    """
    low, high = (first, 2 * first) if fits(first) else (0, first)
    while low and fits(high):
        low, high = high, 2 * high
    while high - low > unit:
        middle = (low + high) // (2 * unit) * unit
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _extrapolated(
    total: Callable[[int], int | None], subject: Experiment, fleet: Fleet
) -> Numbers | None:
    """The largest batch that should fit, by the memory of two; None where two are not to be had."""
    known: list[tuple[int, int]] = []
    size = subject.batch_size
    for _ in range(HALVINGS):
        try:
            found = total(size)
        except JsslError:  # of a batch that is too small for the algorithm
            return None
        known += [] if found is None else [(size, found)]
        if len(known) == 2:
            batch_size = on_a_line(known, fleet.machine.memory, fleet.size)
            return {'batch_size': min(batch_size, len(subject.data)), 'compiled': False}
        size = size // (2 * fleet.size) * fleet.size
        if not size:
            return None
    return None


def on_a_line(known: Sequence[tuple[int, int]], limit: float, unit: int) -> int:
    """The largest multiple of `unit` whose memory is within a limit, if it grows along a line.

    Args:
      known: batches and the bytes of a device that they take, two of them.
      limit: bytes of a device.
      unit: of the answer.

    Examples:
      >>> on_a_line([(64, 300), (32, 200)], limit=1000, unit=8)
      288
    """
    (much, high), (little, low) = known
    each = (high - low) / (much - little)
    if each <= 0:  # smaller than what the compiler chooses otherwise
        return much // unit * unit
    return max(int(much + (limit - high) / each) // unit * unit, 0)
