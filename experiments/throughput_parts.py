"""Where the time of a step goes: the step cut into programs, each given what the last one gave.

Views with what the algorithm draws, the loss, the loss with its gradient, the optimizer and what
follows it. Each is a program of its own, compiled and donated as the step is, so that what the step
fuses across a cut counts for both sides: the parts need not add up to the step. The host does not
wait inside a window, and windows of all programs alternate, so that a busy machine is as busy for
each of them.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import use_abstract_mesh

from jssl.accumulation import accumulating
from jssl.algorithm import Algorithm, TrainState
from jssl.training.experiment import Experiment
from jssl.training.step import (
    checked,
    differentiated,
    drawn,
    gather,
    in_place,
    optimized,
    strongly_typed,
)

STEP, PRODUCT = 'step', 'product'
VIEWS, FORWARD, BACKWARD, OPTIMIZER, AFTER = PARTS = (
    *('views', 'forward', 'backward', 'optimizer', 'after_step'),
)
SIDE = 1536  # of the product that a CPU is measured by: 7.2 GFLOP, 28 MB
ROUNDS, WINDOW, LONGEST = 9, 0.15, 20  # windows of each program; seconds and calls of a window
Call = Callable[[], Any]


class Given(NamedTuple):
    """What a step is given: the arguments of `make_train_step`'s function."""

    train_state: TrainState
    batch: Mapping[str, Any]
    data: Mapping[str, Any] | None


class Program:
    """A compiled program that is given again, as the step is, what it gave."""

    def __init__(self, call: jax.stages.Compiled, carried: Any, *rest: Any) -> None:
        """It works on a copy of what it carries.

        Args:
          call: (carried, *rest) -> (carried, made), which may take `carried` over.
          carried: what it is given first.
          rest: what it is given each time.
        """
        self._call, self._rest = call, rest
        self._carried = jax.tree.map(lambda leaf: leaf.copy(), carried)

    def __call__(self) -> Any:
        """What one run of it makes."""
        self._carried, made = self._call(self._carried, *self._rest)
        return made


def compiled(subject: Experiment, function: Callable[..., Any], *given: Any) -> Program:
    """A part of the step of an experiment, compiled as the step is.

    Args:
      subject: of whose step it is a part.
      function: (carried, *rest) -> (carried, made).
      given: its arguments.
    """

    def inside(*given: Any) -> Any:
        with use_abstract_mesh(subject.mesh.abstract_mesh):  # as in the step
            return function(*given)

    where = jax.tree.map(lambda leaf: leaf.sharding, given[0])
    options = in_place(subject.mesh.devices.flat[0].platform)
    part = jax.jit(inside, donate_argnums=0, out_shardings=(where, None), compiler_options=options)
    return Program(part.lower(*given).compile(), *given)


def parts(subject: Experiment, given: Given) -> dict[str, Call]:
    """The programs of a step by the names in `PARTS`; `BACKWARD` holds the loss, too.

    An algorithm after whose optimizer nothing happens has no `AFTER`.
    """
    algorithm, state = subject.algorithm, given.train_state
    loss = checked(algorithm)

    def views(_: Any, state: TrainState, batch: Any, data: Any) -> Any:
        return (), drawn(algorithm, subject.views, state, gather(batch, data))

    def forward(carried: Any, params: Any, batch: Any) -> Any:
        with accumulating(subject.accumulate, len(batch['index'])):
            value, (left, metrics) = loss(params, carried, batch)
        return left, (value, metrics)

    def gradient(carried: Any, state: TrainState, batch: Any) -> Any:
        state = dataclasses.replace(state, state=carried)
        (value, (left, metrics)), grads = differentiated(loss, state, batch, subject.accumulate)
        return left, (value, metrics, grads)

    def optimizer(carried: Any, grads: Any, value: Any) -> Any:
        state = dataclasses.replace(given.train_state, params=carried[0], opt_state=carried[1])
        return optimized(subject.transformation, state, grads, value)[1:], ()

    def after(carried: Any, step: Any) -> Any:
        params, state = carried
        return strongly_typed(algorithm.after_step(params, state, step)), ()

    found: dict[str, Call] = {VIEWS: compiled(subject, views, (), *given)}
    batch = found[VIEWS]()
    found[FORWARD] = compiled(subject, forward, state.state, state.params, batch)
    rest = dataclasses.replace(state, state={}, opt_state=())
    found[BACKWARD] = compiled(subject, gradient, state.state, rest, batch)
    value, _, grads = found[BACKWARD]()
    found[OPTIMIZER] = compiled(subject, optimizer, (state.params, state.opt_state), grads, value)
    if type(algorithm).after_step is not Algorithm.after_step:
        found[AFTER] = compiled(subject, after, (state.params, state.state), state.step)
    return found


def product(side: int = SIDE) -> Call:
    """A product of two float32 matrices, which shows what a processor can do, and its operations.

    A CPU has no data sheet here, and other jobs have their share of it.
    """
    factor = jax.random.normal(jax.random.key(0), (side, side), jnp.float32)
    return lambda: multiply(factor)


multiply = jax.jit(lambda factor: factor @ factor)


def fastest(calls: Mapping[str, Call]) -> dict[str, float]:
    """Seconds of a call of each, which starts work on the device, in its fastest window.

    Other jobs of the machine only add to a window.
    """
    for call in calls.values():
        jax.block_until_ready(call())  # compiled by now
    lengths = {name: _length(_window(call, 1)) for name, call in calls.items()}
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            found[name].append(_window(call, lengths[name]))
    return {name: min(times) for name, times in found.items()}


def _length(seconds: float) -> int:
    """How many calls a window has, of so many seconds each."""
    return min(max(round(WINDOW / seconds), 1), LONGEST)


def _window(call: Call, length: int) -> float:
    """Seconds of a call, of so many after which the host waits."""
    start = time.perf_counter()
    for _ in range(length):
        made = call()
    jax.block_until_ready(made)
    return (time.perf_counter() - start) / length


def split(times: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each part, of what `fastest` found: the gradient without the loss, and so on."""
    found = {name: times[name] for name in PARTS if name in times}
    return found | {BACKWARD: found[BACKWARD] - found[FORWARD]}
