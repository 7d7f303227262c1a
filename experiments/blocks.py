"""Several ways to do one thing, timed in turn, so that other work on the machine meets them all."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Action = Callable[[], Any]


class Seconds(NamedTuple):
    """Seconds of one block: of wall time, and of all threads on processors."""

    wall: float
    processors: float


def alternate(actions: Mapping[str, Action], repeats: int) -> dict[str, list[Seconds]]:
    """The seconds of every action, by name, in each of so many rounds; each runs once before."""
    for action in actions.values():
        action()
    found: dict[str, list[Seconds]] = {name: [] for name in actions}
    for _ in range(repeats):
        for name, action in actions.items():
            found[name].append(seconds(action))
    return found


def seconds(action: Action) -> Seconds:
    """What one call takes."""
    wall, processors = time.perf_counter(), time.process_time()
    action()
    return Seconds(time.perf_counter() - wall, time.process_time() - processors)


def medians(found: Mapping[str, list[Seconds]]) -> dict[str, dict[str, float]]:
    """The medians of each action, and of its ratio to the first one, round by round."""
    first = next(iter(found.values()))
    return {
        name: {
            'wall': statistics.median(block.wall for block in blocks),
            'processors': statistics.median(block.processors for block in blocks),
            'wall_ratio': _ratio(first, blocks, 'wall'),
            'processors_ratio': _ratio(first, blocks, 'processors'),
        }
        for name, blocks in found.items()
    }


def _ratio(first: list[Seconds], blocks: list[Seconds], part: str) -> float:
    pairs = zip(first, blocks, strict=True)
    return statistics.median(getattr(ours, part) / getattr(its, part) for ours, its in pairs)


def rows(numbers: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """A line for each action, as `reporting.show` takes them."""
    return {name: _line(of, name == next(iter(numbers))) for name, of in numbers.items()}


def _line(of: Mapping[str, float], is_first: bool) -> str:
    line = f'{1e3 * of["wall"]:,.1f} ms of wall time, {1e3 * of["processors"]:,.1f} of processors'
    if is_first:
        return line
    ratios = f'{of["wall_ratio"]:.2f} and {of["processors_ratio"]:.2f}'
    return f'{line}; the first takes {ratios} of them'
