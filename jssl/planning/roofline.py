"""How fast a step can be at best: as fast as the slowest of arithmetic, memory and messages.

Williams, Waterman and Patterson 2009, "Roofline: an insightful visual performance model for
multicore architectures", with the links between devices as a third roof. All three are taken to go
on at once and at their makers' rates, so that a real step takes longer.
"""

from collections.abc import Mapping
from typing import NamedTuple

from jssl.planning.flops import passes
from jssl.planning.machines import BFLOAT16, Fleet
from jssl.planning.traffic import Collective


class Roofline(NamedTuple):
    """Seconds that a step takes at least.

    Attributes:
      arithmetic: of the matrix products.
      memory: of what each device reads and writes.
      messages: of what each device sends.
      ideal: of as many products, were all of them in bfloat16 and in one pass.
    """

    arithmetic: float
    memory: float
    messages: float
    ideal: float

    @property
    def seconds(self) -> float:
        """Of a step."""
        return max(self[:3])

    @property
    def binds(self) -> str:
        """What it waits for."""
        return max(self._fields[:3], key=lambda name: getattr(self, name))

    @property
    def utilisation(self) -> float:
        """The share of the bfloat16 peak that the products of a step can reach."""
        return self.ideal / self.seconds if self.seconds else 0.0


def roofline(
    fleet: Fleet,
    operations: Mapping[tuple[str, str], int],
    moved: int,
    messages: Mapping[Collective, int],
) -> Roofline:
    """The bounds of a step.

    Args:
      fleet: the devices, over which the operations are spread evenly.
      operations: of all devices, as `flops.count` gives them.
      moved: bytes, by one device.
      messages: how often each is sent.
    """
    machine, arithmetic = fleet.machine, 0.0
    for kind, number in operations.items():
        unit, times = passes(kind, machine.platform)
        arithmetic += number * times / machine.peaks[unit]
    sent = 0.0
    for message, times in messages.items():
        rate = machine.network if message.hosts > 1 else machine.link
        sent += times * message.sent / rate
    ideal = sum(operations.values()) / machine.peaks[BFLOAT16]
    return Roofline(arithmetic / fleet.size, moved / machine.bandwidth, sent, ideal / fleet.size)
