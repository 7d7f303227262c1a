"""How fast an experiment trains here: images per second, compile time, memory, waiting for data.

    python -m experiments.throughput --config=configs/simclr.py
    python -m experiments.throughput --config=configs/simclr.py:cifar10 --config.batch_size=256

The same command works on CPU, GPU and TPU, on every host of a cluster with the flags of `jssl.main`
(`--distributed`). It runs the step and the loader of a real run, without evaluating or saving.
"""

import argparse
import dataclasses
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax

from experiments.reporting import mebibytes, positive, processor, show, show_json
from jssl.algorithm import TrainState
from jssl.cli.configs import title
from jssl.cli.train import connect, parse
from jssl.config import experiment
from jssl.errors import JsslError
from jssl.runs.workdir import versions
from jssl.training import sharding
from jssl.training.experiment import Experiment
from jssl.training.huge_pages import restart_with_huge_pages
from jssl.training.loop import to_device

Batches = Iterator[Mapping[str, jax.Array]]
WARM_UP = 8  # steps; more than the batches that lie ready while the step is compiled


@dataclasses.dataclass
class Trainer:
    """The compiled step of an experiment with its state, and what compiling it took.

    Attributes:
      step: the compiled program.
      train_state: after the steps so far.
      data: the resident data set, or None.
      trace_seconds: from Python to XLA's input.
      compile_seconds: from there to the program, with nothing taken from a cache.
    """

    step: jax.stages.Compiled
    train_state: TrainState
    data: Mapping[str, jax.Array] | None
    trace_seconds: float
    compile_seconds: float

    def windows(self, batches: Batches, count: int, length: int) -> list[float]:
        """Seconds per step of `count` windows of `length` steps.

        The host runs ahead of the device inside a window, as in training, and waits at its end.
        """
        return [self._window(batches, length) for _ in range(count)]

    def _window(self, batches: Batches, length: int) -> float:
        start = time.perf_counter()
        for _ in range(length):
            self.train_state, _ = self.step(self.train_state, next(batches), self.data)
        jax.block_until_ready(self.train_state)
        return (time.perf_counter() - start) / length

    def waiting(self, batches: Batches, steps: int) -> float:
        """The share of `steps` steps in which the device, done with one, lacks the next batch."""
        waited, start = 0.0, time.perf_counter()
        for _ in range(steps):
            batch, seconds = timed(lambda: next(batches))
            waited += seconds
            self.train_state, _ = jax.block_until_ready(
                self.step(self.train_state, batch, self.data)
            )
        return waited / (time.perf_counter() - start)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the arguments describe; returns the exit status, 2 for bad input."""
    options, rest = parser().parse_known_args(argv)
    try:
        values = parse(rest)
        jax.config.update('jax_enable_compilation_cache', False)
        connect(values)
        subject = experiment(values.config)
        numbers = {'config': title(values.named), 'arguments': rest}
        numbers |= measure(subject, options.steps, min(options.window, options.steps))
    except JsslError as error:
        print(f'throughput: {error}', file=sys.stderr)
        return 2
    if jax.process_index() == 0:
        show(f'{numbers["config"]}, batch {numbers["batch_size"]}', table(numbers))
        if options.json:
            show_json(numbers)
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of the command line besides those of `jssl train`."""
    result = argparse.ArgumentParser(
        'experiments.throughput',
        description=f'{__doc__}\nAll other arguments are those of jssl train.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    result.add_argument('--steps', type=positive, default=30, help='steps that are timed')
    result.add_argument('--window', type=positive, default=5, help='steps between two time stamps')
    result.add_argument('--json', action='store_true', help='end with one line of JSON')
    return result


def measure(subject: Experiment, steps: int, window: int) -> dict[str, Any]:
    """Times `steps` steps in windows of `window`, then as many that show the waiting for data."""
    host_batches = subject.loader.iterate()
    batches = to_device(host_batches, lambda batch: sharding.put_batch(batch, subject.mesh))
    trainer = prepare(subject, next(batches))
    trainer.windows(batches, 1, WARM_UP)
    return {
        **times(subject.batch_size, trainer.windows(batches, steps // window, window)),
        'data_wait': trainer.waiting(batches, steps),
        'resident': subject.loader.resident,
        'trace_seconds': trainer.trace_seconds,
        'compile_seconds': trainer.compile_seconds,
        **memory(trainer.step, subject.mesh.local_devices),
        'device': subject.mesh.devices.flat[0].device_kind,
        'processor': processor(),
        'versions': versions(),
    }


def prepare(subject: Experiment, batch: Mapping[str, jax.Array]) -> Trainer:
    """A fresh state and its step, compiled ahead for batches like `batch`."""
    train_state = subject.make_state()
    data = subject.arrays
    if data is not None:
        data = sharding.put_replicated(data, subject.mesh)
    step: Any = subject.step  # of `jax.jit`, which its type does not tell
    lowered, trace_seconds = timed(lambda: step.lower(train_state, batch, data))
    compiled, compile_seconds = timed(lowered.compile)
    return Trainer(compiled, train_state, data, trace_seconds, compile_seconds)


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


def table(numbers: dict[str, Any]) -> dict[str, str]:
    """The rows that a person reads."""
    slowest, fastest = (numbers[f'{end}_images_per_second'] for end in ('slowest', 'fastest'))
    compilation = f'{numbers["compile_seconds"]:.1f} s, after {numbers["trace_seconds"]:.1f} s'
    where = 'resident on the device' if numbers['resident'] else 'streamed'
    count, platform = numbers['versions']['devices'], numbers['versions']['platform']
    return {
        'images per second': f'{numbers["images_per_second"]:,.1f} '
        f'({slowest:,.1f} to {fastest:,.1f} over the windows)',
        'step': f'{numbers["step_ms"]:,.1f} ms',
        'waiting for data': f'{numbers["data_wait"]:.1%}, data {where}',
        'compile time': f'{compilation} of tracing',
        'peak memory': f'{mebibytes(numbers["peak_bytes"])} ({numbers["peak_of"]})',
        'memory of the step': f'{mebibytes(numbers["program_bytes"])} by XLA, per device',
        'machine': f'{count} {platform} device(s) {numbers["device"]}, host {numbers["processor"]}',
    }


if __name__ == '__main__':
    restart_with_huge_pages()
    sys.exit(main())
