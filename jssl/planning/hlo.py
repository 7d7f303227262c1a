"""The text of a compiled program: computations, instructions, the arrays that they give.

``jax.stages.Compiled.as_text`` is read; XLA promises nothing of its form. What is not understood is
left out.
"""

import functools
import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

ARRAY = re.compile(r'([a-z]\w*)\[([\d,<=]*)\](?:\{([^{}]*)\})?')
TILE = re.compile(r'T\(([\d,]+)\)')
OTHER_MEMORY = re.compile(r'S\([1-9]\d*\)')  # that of a TPU's core, or of the host
COMPUTATION = re.compile(r'(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$')
INSTRUCTION = re.compile(r'(ROOT )?%?([\w.\-]+) = ')
NAME = re.compile(r'%?([\w.\-]+)$')
BITS = re.compile(r'\d+')
TURNS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
CALLED = re.compile(
    r'(calls|body|condition|to_apply|true_computation|false_computation)=%?([\w.\-]+)'
)
BRANCHES = re.compile(r'branch_computations=\{([^}]*)\}')


class Array(NamedTuple):
    """An array of a program.

    Attributes:
      dtype: XLA's word, such as 'f32'.
      sides: of the array.
      bytes: that it takes, with the padding of a TPU's tiles.
      is_main: whether it lies in the device's main memory.
    """

    dtype: str
    sides: tuple[int, ...]
    bytes: int
    is_main: bool


class Instruction(NamedTuple):
    """A line of a computation.

    Attributes:
      name: of what it gives.
      opcode: such as 'fusion'.
      arrays: that it gives, several for a tuple.
      operands: names of others in the same computation, and constants; of a parameter its number.
      text: what stands behind the operands.
      is_root: whether it is what the computation gives.
    """

    name: str
    opcode: str
    arrays: tuple[Array, ...]
    operands: tuple[str, ...]
    text: str
    is_root: bool

    @property
    def bytes(self) -> int:
        """Of what lies in the main memory of what it gives."""
        return sum(array.bytes for array in self.arrays if array.is_main)

    @property
    def called(self) -> dict[str, str]:
        """The names of computations that it has done, by the part that each plays."""
        found = dict(CALLED.findall(self.text))
        if branches := BRANCHES.search(self.text):
            names = branches[1].replace('%', '').split(', ')
            found |= {f'branch {place}': name for place, name in enumerate(names)}
        return found

    @property
    def turns(self) -> int:
        """How often a loop does its body; 1 where the program does not know it."""
        known = TURNS.search(self.text)
        return int(known[1]) if known else 1


Computation = Mapping[str, Instruction]


class Program(NamedTuple):
    """All computations by their names, and that of the one it begins with."""

    computations: Mapping[str, Computation]
    entry: str


def read(text: str) -> Program:
    """The program in a text."""
    computations: dict[str, dict[str, Instruction]] = {}
    entry, current = '', ''
    for line in map(str.strip, text.splitlines()):
        if head := COMPUTATION.match(line):
            current = head[2]
            computations[current] = {}
            entry = current if head[1] else entry
        elif current and (found := _instruction(line)):
            computations[current][found.name] = found
    return Program(computations, entry)


def _instruction(line: str) -> Instruction | None:
    start = INSTRUCTION.match(line)
    if start is None:
        return None
    rest = line[start.end() :]
    end = _closing(rest, 0) if rest.startswith('(') else rest.find(' ')
    kind, rest = rest[:end], rest[end:].lstrip()
    opcode, _, _ = rest.partition('(')
    close = _closing(rest, len(opcode))
    operands = tuple(_operands(rest[len(opcode) + 1 : close - 1]))
    return Instruction(start[2], opcode, _arrays(kind), operands, rest[close:], bool(start[1]))


def _closing(text: str, start: int) -> int:
    """The place behind the bracket that closes the one at `start`."""
    depth = 0
    for place in range(start, len(text)):
        depth += {'(': 1, ')': -1}.get(text[place], 0)
        if depth == 0:
            return place + 1
    return len(text)


def _operands(text: str) -> Iterator[str]:
    """The names among operands; types may stand before them, and constants in their places."""
    depth, part = 0, ''
    for letter in f'{text},':
        depth += {'(': 1, '{': 1, '[': 1, ')': -1, '}': -1, ']': -1}.get(letter, 0)
        if letter == ',' and depth == 0:
            if name := NAME.search(part):
                yield name[1]
            part = ''
        else:
            part += letter


@functools.cache
def _arrays(kind: str) -> tuple[Array, ...]:
    """The arrays of a type, in order."""
    return tuple(_array(*found) for found in ARRAY.findall(kind))


def _array(dtype: str, sides: str, layout: str) -> Array:
    shape = tuple(int(side.removeprefix('<=')) for side in sides.split(',') if side)
    width = BITS.search(dtype)
    bits = int(width[0]) if width else {'pred': 8}.get(dtype, 0)  # a token has none
    size = math.prod(_padded(shape, layout)) * bits // 8
    return Array(dtype, shape, size, not OTHER_MEMORY.search(layout))


def _padded(shape: tuple[int, ...], layout: str) -> list[int]:
    """The sides with what fills a TPU's tiles, which span the sides that vary fastest."""
    tile, sides = TILE.search(layout), list(shape)
    order = [int(axis) for axis in layout.partition(':')[0].split(',') if axis]
    if tile is None or len(order) != len(sides):
        return sides
    lengths = [int(length) for length in tile[1].split(',')]
    for axis, length in zip(order, reversed(lengths), strict=False):
        sides[axis] = -(-sides[axis] // length) * length
    return sides
