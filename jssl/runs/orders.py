"""The orders of the data that a run has gone by: another one from where it was rolled back."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jssl.errors import JsslError
from jssl.files import replace_file

ORDERS = 'orders.json'  # in the run's directory, once it was rolled back


class Turn(NamedTuple):
    """Where a run went on with another order.

    Attributes:
      after: steps that had been taken.
      not_finite_by: the step by which a number was not finite in the order before.
    """

    after: int
    not_finite_by: int


@dataclasses.dataclass(frozen=True)
class Orders:
    """The orders of a run, by number: 0 is that of its seed, and every turn begins the next one.

    Attributes:
      turns: oldest first.
    """

    turns: tuple[Turn, ...] = ()

    def at(self, step: int) -> int:
        """The number of the order of the batch after `step` steps; a later turn goes before.

        Examples:
          >>> orders = Orders((Turn(8, 11), Turn(4, 9)))
          >>> [orders.at(step) for step in (3, 4, 8, 12)]
          [0, 2, 2, 2]
        """
        return max((n for n, turn in enumerate(self.turns, 1) if turn.after <= step), default=0)

    def segments(self, step: int) -> Iterator[tuple[int, int | None]]:
        """The orders from `step` on, each with the step at which it ends; the last with None.

        Examples:
          >>> list(Orders((Turn(4, 5), Turn(8, 9))).segments(2))
          [(0, 4), (1, 8), (2, None)]
        """
        end: int | None = step
        while end is not None:
            step, order = end, self.at(end)
            later = [turn.after for turn in self.turns[order:] if turn.after > step]
            end = min(later, default=None)
            yield order, end

    def turned(self, after: int, not_finite_by: int) -> 'Orders':
        """With another order after so many steps."""
        return Orders((*self.turns, Turn(after, not_finite_by)))

    @property
    def in_a_row(self) -> int:
        """How many of the last turns were after the same step."""
        others = [n for n, turn in enumerate(self.turns, 1) if turn.after != self.turns[-1].after]
        return len(self.turns) - max(others, default=0)


def seed_of(seed: int, order: int) -> int:
    """The seed of an order by number, of a run with `seed`."""
    return seed if order == 0 else int(np.random.SeedSequence((seed, order)).generate_state(1)[0])


def read_orders(directory: Path) -> Orders:
    """The orders of a run; that of its seed alone where it was never rolled back.

    Raises:
      JsslError: the file cannot be read.
    """
    path = directory / ORDERS
    try:
        rows = json.loads(path.read_bytes()) if path.exists() else []
        return Orders(tuple(Turn(int(row['after']), int(row['not_finite_by'])) for row in rows))
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise JsslError(
            f'{path} cannot be read ({type(error).__name__}), so it is unknown in which order the '
            'run goes through its data. Put the file back, or give another --workdir.'
        ) from error


def write_orders(directory: Path, orders: Orders) -> None:
    """Writes the orders of a run.

    Raises:
      JsslError: they cannot be written.
    """
    content = json.dumps([turn._asdict() for turn in orders.turns], indent=1) + '\n'
    try:
        replace_file(directory / ORDERS, content.encode())
    except OSError as error:
        raise JsslError(
            f'{directory / ORDERS} cannot be written: {error.strerror or error}. Make room there '
            'and repeat the command, which resumes.'
        ) from error
