"""How much is decoded at the same time: pixels in flight, whatever the number of threads."""

import contextlib
import threading
from collections.abc import Iterator


class InFlight:
    """Holds back whoever would begin what goes beyond a bound.

    Whoever waits is let in in the order of asking, so that a large image is not put off for ever by
    small ones. What is larger than the bound has it to itself.
    """

    def __init__(self, bound: int) -> None:
        """Nothing is in flight.

        Args:
          bound: on the sum of what is.
        """
        self._bound = self._left = bound
        self._turn = threading.Lock()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Context in which `amount` is in flight; waits until there is room for it."""
        amount = min(amount, self._bound)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._left >= amount)
            self._left -= amount
        try:
            yield
        finally:
            with self._changed:
                self._left += amount
                self._changed.notify_all()
