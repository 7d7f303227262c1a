"""Whether a sweep pays: steps of all its lanes together beside the same steps run by run.

    python -m experiments.sweeps simclr --sweep="optimizer.lr=[1e-3,3e-3]; seed=range(4)"

Both ways alternate in one process; medians are printed, of wall and of processor time.
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jssl.cli.parser import Parser
from jssl.cli.sweeps import settle_lanes
from jssl.cli.train import add_arguments
from jssl.compilation_cache import keep_programs
from jssl.config import experiment
from jssl.training import sharding
from jssl.training.lanes import InTurn, Lanes, SideBySide
from jssl.training.rows import as_rows
from jssl.training.sweep import Sweep

ROUNDS, STEPS = 5, 3  # alternations, and steps of every lane in each
WAYS: dict[str, type[SideBySide] | type[InTurn]] = {'side by side': SideBySide, 'in turn': InTurn}
ALONE = 'runs in turn'


class Cost(NamedTuple):
    """Seconds that one step of all lanes takes, medians, and to compile the first."""

    wall: float
    processor: float
    compiled: float


def measure(sweep: Sweep, ways: Sequence[str], rounds: int = ROUNDS) -> dict[str, Cost]:
    """The cost of each way to take a step of all lanes, and of runs in turn."""
    first = sweep.lanes[0]
    assert first.arrays is not None
    data = sharding.put_replicated(as_rows(first.arrays), first.mesh)
    acts = {ALONE: _alone(sweep, data)}
    call, numbers = sweep.program
    for way in ways:
        acts[way] = _together(sweep, WAYS[way](call, numbers, first.state_shardings), data)
    compiled = {way: _seconds(act)[0] for way, act in acts.items()}
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in acts}
    for _ in range(rounds):
        for way, act in acts.items():
            found[way].append(_seconds(act, STEPS))
    medians = {way: np.median(times, axis=0) for way, times in found.items()}
    costs = {way: (float(wall), float(processor)) for way, (wall, processor) in medians.items()}
    return {way: Cost(*costs[way], compiled[way]) for way in acts}


def _alone(sweep: Sweep, data: Any) -> Callable[[], Any]:
    """A step of the first run, as often as there are lanes: all runs cost the same."""
    run, rows = sweep.lanes[0], next(sweep.batches(0))
    states = [sweep.make_state(0)]

    def act() -> Any:
        for _ in sweep.lanes:
            batch = sharding.put_batch(rows[0], run.mesh)
            states[0], metrics = run.step(states[0], batch, data)
        return metrics

    return act


def _together(sweep: Sweep, lanes: Lanes, data: Any) -> Callable[[], Any]:
    """A step of every lane."""
    states = [lanes.join([sweep.make_state(number) for number in range(len(sweep.lanes))])]
    rows = next(sweep.batches(0))

    def act() -> Any:
        states[0], metrics = lanes.step(states[0], rows, data)
        return metrics

    return act


def _seconds(act: Callable[[], Any], steps: int = 1) -> tuple[float, float]:
    """Of the wall and of the processor, for each of so many calls."""
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(steps):
        jax.block_until_ready(act())
    return (time.perf_counter() - wall) / steps, (time.process_time() - processor) / steps


def main(argv: Sequence[str]) -> None:
    """Prints a line for each way."""
    parser = Parser('python -m experiments.sweeps', __doc__)
    add_arguments(parser)
    parser.set_defaults(sweep='seed=range(8)')
    parser.add_argument('--ways', default=','.join(WAYS), help='of these, such as "in turn"')
    settings, configs = zip(*settle_lanes(options := parser.read(argv)), strict=True)
    sweep = Sweep([experiment(config) for config in configs], settings)
    costs = measure(sweep, options.ways.split(','))
    print(f'{options.named}, {len(settings)} lanes, {jnp.zeros(()).device}')
    for way, cost in costs.items():
        gain = [a / b for a, b in zip(costs[ALONE][:2], cost[:2], strict=True)]
        print(
            f'{way:<14} {cost.wall:.3f} s of wall time, {cost.processor:.3f} s of processors, '
            f'{gain[0]:.2f} and {gain[1]:.2f} times {ALONE}; first call {cost.compiled:.0f} s'
        )


if __name__ == '__main__':
    keep_programs()
    main(sys.argv[1:])
