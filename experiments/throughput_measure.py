"""What a step of an experiment takes here: the numbers of a row of `experiments.throughput`."""

import collections
import dataclasses
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax

from experiments.reporting import machine, processor
from experiments.throughput_counts import counted
from experiments.throughput_parts import (
    PRODUCT,
    SIDE,
    STEP,
    Given,
    Program,
    fastest,
    parts,
    product,
    split,
)
from experiments.throughput_program import Compiled, compile_step, compiled_twice, read, shares
from jssl.algorithm import Metrics, TrainState
from jssl.runs.workdir import versions
from jssl.training import sharding
from jssl.training.experiment import Experiment
from jssl.training.loop import keep_pace, on_host, to_device
from jssl.training.rows import as_rows

Batches = Iterator[Mapping[str, jax.Array]]
WARM_UP = 8  # steps; more than the batches that lie ready while the step is compiled
COUNTED = 10  # steps of which transfers and waits are counted


@dataclasses.dataclass
class Trainer:
    """The compiled step of an experiment and its state.

    Attributes:
      step: the compiled program.
      train_state: after the steps so far.
      data: the resident data set, or None.
    """

    step: jax.stages.Compiled
    train_state: TrainState
    data: Mapping[str, jax.Array] | None

    def windows(self, batches: Batches, count: int, length: int) -> list[float]:
        """Seconds per step of `count` windows of `length` steps.

        The host runs ahead of the device inside a window, as in training, and waits at its end.
        """
        return [self._window(batches, length) for _ in range(count)]

    def _window(self, batches: Batches, length: int) -> float:
        start = time.perf_counter()
        for _ in range(length):
            self.advance(next(batches))
        jax.block_until_ready(self.train_state)
        return (time.perf_counter() - start) / length

    def advance(self, batch: Mapping[str, jax.Array]) -> Metrics:
        """Takes a step; nothing waits for it."""
        self.train_state, metrics = self.step(self.train_state, batch, self.data)
        return metrics

    def waiting(self, batches: Batches, steps: int) -> float:
        """The share of `steps` steps in which the device, done with one, lacks the next batch."""
        waited, start = 0.0, time.perf_counter()
        for _ in range(steps):
            batch, seconds = timed(lambda: next(batches))
            waited += seconds
            jax.block_until_ready(self.advance(batch))
            jax.block_until_ready(self.train_state)
        return waited / (time.perf_counter() - start)

    def pace(self, batches: Batches, steps: int) -> Callable[[], Metrics]:
        """Steps as the loop of a run takes them, for the counts: never far ahead of the device."""
        running: collections.deque[Metrics] = collections.deque()

        def act() -> Metrics:
            for _ in range(steps):
                metrics = self.advance(next(batches))
                keep_pace(running, metrics)
            return metrics

        return act


def measure(subject: Experiment, steps: int, window: int, *, whole: bool) -> dict[str, Any]:
    """Times `steps` steps in windows of `window`, then as many that show the waiting for data.

    Args:
      subject: what is measured.
      steps: that are timed, twice.
      window: steps between two time stamps.
      whole: measure the parts of a step, too, which are compiled one by one, and how soon the step
        is there again where programs are kept.
    """
    host_batches = subject.loader.iterate()
    batches = to_device(host_batches, lambda batch: sharding.put_batch(batch, subject.mesh))
    train_state, batch, data = given = inputs(subject, next(batches))
    found, warm = compiled_twice(subject, given) if whole else (compile_step(subject, given), None)
    trainer = Trainer(found.program, train_state, data)
    trainer.windows(batches, 1, WARM_UP)
    numbers = {
        **times(subject.batch_size, trainer.windows(batches, steps // window, window)),
        'data_wait': trainer.waiting(batches, steps),
        'resident': subject.loader.resident,
        'trace_seconds': found.trace_seconds,
        'compile_seconds': found.compile_seconds,
        'warm_seconds': warm,
        **transfers(trainer, batches, subject.runtime.log_every),
        **memory(found.program, subject.mesh.local_devices),
        'device': subject.mesh.devices.flat[0].device_kind,
        'processor': processor(),
        'machine': machine(),
        'load': os.getloadavg()[0] if hasattr(os, 'getloadavg') else None,
        'versions': versions(),
        **read(subject, found),
    }
    given = Given(trainer.train_state, batch, data)
    numbers |= split_numbers(subject, found, given, whole=whole)
    return numbers | shares(subject, numbers)


def inputs(subject: Experiment, batch: Mapping[str, jax.Array]) -> Given:
    """A fresh state, a batch, and the data set where it is kept on the devices."""
    kept = sharding.put_replicated(as_rows(subject.arrays), subject.mesh)
    return Given(subject.make_state(), batch, kept)


def timed(action: Callable[[], Any]) -> tuple[Any, float]:
    """The result of `action` and the seconds it took."""
    start = time.perf_counter()
    result = action()
    return result, time.perf_counter() - start


def times(batch_size: int, seconds: Sequence[float]) -> dict[str, float]:
    """The median over windows of their `seconds` per step, and both ends."""
    median = statistics.median(seconds)
    return {
        'batch_size': batch_size,
        'step_ms': 1e3 * median,
        'images_per_second': batch_size / median,
        'slowest_images_per_second': batch_size / max(seconds),
        'fastest_images_per_second': batch_size / min(seconds),
    }


def transfers(trainer: Trainer, batches: Batches, log_every: int) -> dict[str, Any]:
    """What the host does for a step besides starting it, and for each step whose numbers it logs.

    Counted by JAX's profiler while steps are taken as a run takes them.
    """
    act = trainer.pace(batches, COUNTED)
    act()  # only from the third step on does the host wait for an earlier one
    per_step = counted(act)
    metrics = trainer.advance(next(batches))
    logged = counted(lambda: on_host(metrics))
    return {
        'host': {name: number / COUNTED for name, number in per_step.items()},
        'host_logged': {**logged, 'every': log_every},
    }


def split_numbers(
    subject: Experiment, found: Compiled, given: Given, *, whole: bool
) -> dict[str, Any]:
    """Milliseconds of the parts of a step, of the step with the same batch, and of a product."""
    step = Program(found.program, *given)
    calls: dict[str, Callable[[], Any]] = {STEP: step}
    if whole:
        calls |= parts(subject, given)
    if subject.mesh.devices.flat[0].platform == 'cpu':
        calls[PRODUCT] = product()
    seconds = fastest(calls)
    told: dict[str, Any] = {'same_batch_ms': 1e3 * seconds[STEP]}
    if whole:
        told['parts_ms'] = {name: 1e3 * taken for name, taken in split(seconds).items()}
    if PRODUCT in seconds:
        told['product_rate'] = 2 * SIDE**3 / seconds[PRODUCT]
    return told


def memory(step: jax.stages.Compiled, devices: Sequence[jax.Device]) -> dict[str, Any]:
    """Peak memory in bytes of the fullest device, and what the step's program needs on each.

    A CPU's allocator keeps no count: there the peak is that of the whole process.
    """
    found = [stats['peak_bytes_in_use'] for device in devices if (stats := device.memory_stats())]
    resident_set = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == 'darwin' else 1024
    plan: Any = step.memory_analysis()
    program = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
    return {
        'peak_bytes': max(found) if found else resident_set * unit,
        'peak_of': 'device' if found else 'process',
        'program_bytes': program - plan.alias_size_in_bytes,  # what is donated is both in and out
    }
