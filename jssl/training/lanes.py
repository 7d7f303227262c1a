"""How one program takes a step of every lane of a sweep: side by side, or one after the other."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jssl.algorithm import TrainState
from jssl.training import sharding
from jssl.training.step import in_place

Call = Callable[..., Any]  # (numbers, train state, batch, data) -> (train state, metrics)
Numbers = Sequence[np.ndarray]  # of all lanes, (K, ...) each


class Lanes(Protocol):
    """The states of all lanes, as the program wants them."""

    def join(self, states: Sequence[TrainState]) -> Any:
        """The states of all lanes as one."""

    def pick(self, states: Any, lane: int) -> TrainState:
        """That of one lane, where a run has it; the next step may take its memory."""

    def step(self, states: Any, batches: Sequence[Mapping[str, Any]], data: Any) -> Any:
        """``(states, metrics)`` after a step of every lane; the states are donated."""

    def split(self, metrics: Any) -> list[dict[str, float]]:
        """The metrics of each lane, on the host."""


@dataclasses.dataclass(frozen=True, eq=False)
class SideBySide:
    """All lanes in one call: their operations have a leading axis of lanes.

    What keeps an accelerator waiting, small operations and the host, is there once for all lanes.

    Attributes:
      call: the step of a lane.
      numbers: of all lanes.
      places: where the state of a run lies.
    """

    call: Call
    numbers: Numbers
    places: Any

    def join(self, states: Sequence[TrainState]) -> Any:
        """Stacked."""

        def stacked(*states: TrainState) -> Any:
            return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

        return jax.jit(stacked, out_shardings=self._whole)(*states)

    def pick(self, states: Any, lane: int) -> TrainState:
        """A copy."""
        return self._pick(states, np.int32(lane))

    @functools.cached_property
    def _pick(self) -> Callable[..., TrainState]:
        def picked(states: Any, lane: Any) -> Any:
            return jax.tree.map(lambda leaf: leaf[lane], states)

        return jax.jit(picked, out_shardings=self.places)

    def step(self, states: Any, batches: Sequence[Mapping[str, Any]], data: Any) -> Any:
        """One call; metrics are of shape (K,)."""
        batch = {name: np.stack([rows[name] for rows in batches]) for name in batches[0]}
        return self._step(self._numbers, states, jax.device_put(batch, self._whole), data)

    @functools.cached_property
    def _step(self) -> Callable[..., Any]:
        return jax.jit(
            jax.vmap(self.call, in_axes=(0, 0, 0, None)),
            donate_argnums=1,
            out_shardings=self._whole,
            compiler_options=in_place(platform_of(self.places)),
        )

    def split(self, metrics: Any) -> list[dict[str, float]]:
        """Waits until the device has them."""
        values = jax.device_get(metrics)
        lanes = range(len(next(iter(values.values()))))
        return [{name: float(value[lane]) for name, value in values.items()} for lane in lanes]

    @functools.cached_property
    def _numbers(self) -> Any:
        return jax.device_put(tuple(self.numbers), self._whole)

    @property
    def _whole(self) -> Any:
        return sharding.replicated(jax.tree.leaves(self.places)[0].mesh)


@dataclasses.dataclass(frozen=True, eq=False)
class InTurn:
    """A call for each lane, of one program that takes its numbers as an argument.

    On a CPU, which computes one operation at a time anyway: side by side, the convolutions of the
    lanes would become grouped ones, for which XLA has no fast code there.

    Attributes: see `SideBySide`.
    """

    call: Call
    numbers: Numbers
    places: Any

    def join(self, states: Sequence[TrainState]) -> Any:
        """As they are."""
        return tuple(states)

    def pick(self, states: Any, lane: int) -> TrainState:
        """The state itself."""
        state: TrainState = states[lane]
        return state

    def step(self, states: Any, batches: Sequence[Mapping[str, Any]], data: Any) -> Any:
        """K calls; metrics are those of each lane."""
        found = [
            self._step(tuple(values[lane] for values in self.numbers), state, dict(rows), data)
            for lane, (state, rows) in enumerate(zip(states, batches, strict=True))
        ]
        return tuple(state for state, _ in found), [metrics for _, metrics in found]

    @functools.cached_property
    def _step(self) -> Callable[..., Any]:
        return jax.jit(
            self.call,
            donate_argnums=1,
            out_shardings=(self.places, None),
            compiler_options=in_place(platform_of(self.places)),
        )

    def split(self, metrics: Any) -> list[dict[str, float]]:
        """Waits until the device has them."""
        values = jax.device_get(metrics)
        return [{name: float(value) for name, value in lane.items()} for lane in values]


def platform_of(places: Any) -> str:
    """Of the device on which a state lies, such as ``'cpu'``."""
    platform: str = jax.tree.leaves(places)[0].mesh.devices.flat[0].platform
    return platform


def lanes_of(call: Call, numbers: Numbers, places: Any) -> Lanes:
    """The way that is faster on the device of `places`."""
    kind = InTurn if platform_of(places) == 'cpu' else SideBySide
    return kind(call, numbers, places)
