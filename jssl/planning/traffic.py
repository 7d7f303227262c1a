"""What a compiled program moves: bytes between a device and its memory, and between devices.

A fused kernel reads its inputs and writes its outputs once. What it takes only a slice or some rows
of, and what it updates in place, counts by the slice or the rows. Caches are left out of account.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jssl.planning.hlo import Computation, Instruction, Program

FREE = {
    *('parameter', 'constant', 'tuple', 'get-tuple-element', 'bitcast', 'after-all'),
    *('partition-id', 'replica-id', 'opt-barrier', 'add-dependency', 'domain', 'iota'),
    *('while', 'conditional', 'call', 'async-start'),  # what they call moves bytes
}
SOME_ROWS = {'dynamic-slice', 'slice', 'gather'}  # of their first operand
STARTS = {'copy-start': 0, 'slice-start': 1}  # which of the arrays that they give is the result
COLLECTIVES = (
    *('all-reduce', 'all-gather', 'reduce-scatter', 'all-to-all', 'ragged-all-to-all'),
    *('collective-permute', 'collective-broadcast'),
)
HOST = re.compile(r'custom_call_target="[^"]*callback[^"]*"|is_host_transfer=true')
WORKSPACE = re.compile(r'custom_call_target="__cu')  # of libraries: it is given beside the result
LISTED = re.compile(r'replica_groups=\{\{([\d,]+)\}')
COUNTED = re.compile(r'replica_groups=\[(\d+),(\d+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?')
NAMED = re.compile(r'replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}')
AXIS = re.compile(r"'([^']+)'=(\d+)")
CHANNEL = re.compile(r'channel_id=\d+')  # one for all parts into which a message is cut
PAIRS = re.compile(r'source_target_pairs=\{\{(\d+),(\d+)\}')


class Collective(NamedTuple):
    """A message between devices.

    Attributes:
      kind: such as 'all-reduce'.
      bytes: of the array that all of them know in the end, or have given.
      sent: bytes that each device sends, along a ring.
      devices: that take part.
      hosts: on which they are.
    """

    kind: str
    bytes: int
    sent: float
    devices: int
    hosts: int


def moved(program: Program) -> int:
    """Bytes that one device reads from and writes to its main memory in a run of the program.

    Of branches all count.
    """
    return sum(turns * size for size, turns in _kernels(program))


def kernels(program: Program) -> int:
    """How many instructions of a run of the program move bytes: about as many kernels start."""
    return sum(turns for size, turns in _kernels(program) if size)


def _kernels(program: Program) -> Iterator[tuple[int, int]]:
    for computation, line, turns in walk(program, program.entry, fused=False):
        yield _traffic(program, computation, line), turns


def collectives(program: Program, devices: int, hosts: int = 1) -> Counter[Collective]:
    """The messages of a run of the program, and how often each is sent.

    Args:
      program: of one device.
      devices: in all.
      hosts: on which they are, in equal parts.
    """
    found: Counter[Collective] = Counter()
    sent = set()
    for computation, line, turns in walk(program, program.entry):
        kind, channel = line.opcode.removesuffix('-start'), CHANNEL.findall(line.text)
        if kind in COLLECTIVES and (not channel or channel[0] not in sent):
            sent.update(channel)
            arrays = [array for operand in _operands(computation, line) for array in operand.arrays]
            given = sum(array.bytes for array in arrays)
            found[_collective(kind, given, line.text, devices, hosts)] += turns
    return found


def to_host(program: Program) -> list[str]:
    """Names of instructions that wait for the host: callbacks, infeeds, transfers."""
    return [
        line.name
        for _, line, _ in walk(program, program.entry)
        if line.opcode in ('infeed', 'outfeed') or HOST.search(line.text)
    ]


def copied(program: Program, least: int) -> list[tuple[int, ...]]:
    """The shapes of arrays of at least so many bytes that the program copies in the main memory.

    What it keeps in a core's own memory for a while is no copy.
    """
    return [
        line.arrays[0].sides
        for computation, line, _ in walk(program, program.entry, fused=False)
        if line.opcode in ('copy', 'copy-start') and line.arrays[0].bytes >= least
        if line.arrays[0].is_main and any(o.bytes for o in _operands(computation, line))
    ]


def walk(
    program: Program, name: str, turns: int = 1, *, fused: bool = True
) -> Iterator[tuple[Computation, Instruction, int]]:
    """All instructions of a computation and of those that it calls, and how often each is done.

    Args:
      program: of which.
      name: of the computation.
      turns: how often it is done itself.
      fused: whether to go into what is one kernel.
    """
    computation = program.computations[name]
    for line in computation.values():
        yield computation, line, turns
        if line.opcode != 'fusion' or fused:
            for part, called in line.called.items():
                if part != 'to_apply' or line.opcode == 'call':  # else it is done for each entry
                    yield from walk(program, called, turns * line.turns, fused=fused)


def _operands(computation: Computation, line: Instruction) -> list[Instruction]:
    return [computation[name] for name in line.operands if name in computation]


def _traffic(program: Program, computation: Computation, line: Instruction) -> int:
    """Bytes that an instruction moves itself."""
    if line.opcode in FREE or line.opcode.endswith(('-done', '-update')):
        return 0
    if line.opcode == 'fusion':
        return _fused(program.computations[line.called['calls']], computation, line)
    return _plain(computation, line)


def _plain(computation: Computation, line: Instruction) -> int:
    """Bytes that an instruction moves that calls no other."""
    sizes = [operand.bytes for operand in _operands(computation, line)]
    if line.opcode in SOME_ROWS:
        return 2 * line.bytes
    if line.opcode == 'dynamic-update-slice':
        return 2 * sizes[1]
    if line.opcode == 'scatter':  # rows are read, added to and written
        return 3 * sizes[-1] + sum(sizes[1:-1])
    if line.opcode in STARTS:
        result = line.arrays[STARTS[line.opcode]]
        return result.bytes * (bool(sum(sizes)) + result.is_main)
    if line.opcode.endswith('-start'):  # of a message; it gives what it was given, too
        return 2 * sum(sizes)
    outputs = line.arrays
    if WORKSPACE.search(line.text) and len(outputs) > 1:
        outputs = outputs[:-1]
    return sum(sizes) + sum(array.bytes for array in outputs if array.is_main)


def _fused(inside: Computation, computation: Computation, line: Instruction) -> int:
    """Bytes that a fused kernel reads of its inputs and writes of its outputs."""
    inputs = {item.operands[0]: item.name for item in inside.values() if item.opcode == 'parameter'}
    updates = _updates(inside)
    total: float = line.bytes - sum(update.bytes for update in updates)
    total += sum(2 * inside[update.operands[1]].bytes for update in updates)
    for number, operand in enumerate(line.operands):
        whole = computation[operand].bytes
        total += min(whole, _read(inside, inputs[str(number)], updates)) if whole else 0
    return int(total)


def _updates(inside: Computation) -> list[Instruction]:
    """What a kernel gives as its input with some rows written anew, where it lies."""
    root = next(line for line in inside.values() if line.is_root)
    ends = [inside[name] for name in root.operands] if root.opcode == 'tuple' else [root]
    ends = [_behind(inside, line) for line in ends]
    return [line for line in ends if line.opcode == 'dynamic-update-slice']


def _behind(inside: Computation, line: Instruction) -> Instruction:
    """The instruction that a bitcast takes its bytes of."""
    while line.opcode == 'bitcast' and line.operands:
        line = inside[line.operands[0]]
    return line


def _read(inside: Computation, name: str, updates: list[Instruction]) -> float:
    """Bytes that a kernel reads of its input; infinite for all of it."""
    total = 0.0
    for line in inside.values():
        if name not in line.operands:
            continue
        if line.opcode == 'bitcast':
            total += _read(inside, line.name, updates)
        elif line.opcode in SOME_ROWS and line.operands[0] == name:
            total += line.bytes
        elif line not in updates or line.operands[0] != name:
            return math.inf
    return total


def _collective(kind: str, given: int, text: str, devices: int, hosts: int) -> Collective:
    group = _group(text, devices)
    count, across = len(group), len({device * hosts // devices for device in group})
    whole = given * count if kind == 'all-gather' else given
    around = (count - 1) / count
    share = {'all-reduce': 2 * around, 'collective-permute': 1.0, 'collective-broadcast': 1.0}
    return Collective(kind, whole, share.get(kind, around) * whole, count, across)


def _group(text: str, devices: int) -> list[int]:
    """The numbers of the devices that the first of a collective's groups has."""
    if listed := LISTED.search(text):
        return [int(number) for number in listed[1].split(',')]
    if pair := PAIRS.search(text):
        return [int(pair[1]), int(pair[2])]
    if counted := COUNTED.search(text):
        groups, each, sides, order = counted.groups()
        shape = [int(side) for side in sides.split(',')]
        turned = [int(axis) for axis in order.split(',')] if order else range(len(shape))
        numbers = np.arange(math.prod(shape)).reshape(shape).transpose(turned)
        return numbers.reshape(int(groups), int(each))[0].tolist()
    if named := NAMED.search(text):
        axes = {name: int(side) for name, side in AXIS.findall(named[1])}
        numbers = np.arange(devices).reshape(list(axes.values()))
        place = tuple(slice(None) if f"'{name}'" in named[2] else 0 for name in axes)
        return numbers[place].ravel().tolist()
    return list(range(devices))
