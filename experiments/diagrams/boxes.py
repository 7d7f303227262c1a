"""Boxes, and arrows between them: what a figure is made of.

Arrows are written as chains of names: ``'view > net > loss'``. The signs between names are

- ``>``: data flows, and a gradient flows back;
- ``|``: data flows, no gradient comes back;
- ``~``: weights follow, as an exponential moving average;
- ``+``: what is written into a memory.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

Kind = Literal['view', 'network', 'teacher', 'memory', 'target', 'value', 'loss']
Shown = Literal['whole', 'masked', 'context', 'blocks']


@dataclasses.dataclass(frozen=True)
class Box:
    """A box of a diagram.

    Attributes:
      kind: what it is; it decides its looks.
      text: in it, or below it where it is a view.
      at: column and row of its middle; rows are counted from the top.
      rows: how many rows it is high.
      view: of a view, which of the config's views.
      shown: of a view, what of it: all, what a mask leaves, or I-JEPA's context or target blocks.
    """

    kind: Kind
    text: str
    at: tuple[float, float]
    rows: float = 1
    view: int = 0
    shown: Shown = 'whole'


@dataclasses.dataclass(frozen=True)
class Diagram:
    """Boxes by name, chains of arrows between them, and a sentence below."""

    boxes: Mapping[str, Box]
    arrows: tuple[str, ...]
    note: str = ''


def view(number: int, text: str, x: float, y: float, shown: Shown = 'whole') -> Box:
    """A view as the config makes it."""
    return Box('view', text, (x, y), view=number, shown=shown)


def network(text: str, x: float, y: float, rows: float = 1) -> Box:
    """What the optimizer trains."""
    return Box('network', text, (x, y), rows)


def teacher(text: str, x: float, y: float, rows: float = 1) -> Box:
    """A slow copy."""
    return Box('teacher', text, (x, y), rows)


def memory(text: str, x: float, y: float, rows: float = 1) -> Box:
    """What is carried from step to step besides networks."""
    return Box('memory', text, (x, y), rows)


def target(text: str, x: float, y: float, rows: float = 1) -> Box:
    """What is to be predicted, and what makes it."""
    return Box('target', text, (x, y), rows)


def value(text: str, x: float, y: float, rows: float = 1) -> Box:
    """An output on the way."""
    return Box('value', text, (x, y), rows)


def loss(text: str, x: float, y: float, rows: float = 1) -> Box:
    """A loss."""
    return Box('loss', text, (x, y), rows)
