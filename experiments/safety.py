"""What it costs that a run can be repeated bit for bit, and that damage to what it saves is seen.

    python -m experiments.safety simclr
    python -m experiments.safety mae --config.model.backbone.arch=small

Of a step: the keys of its random numbers, which follow from the run's, the number of the step and
the place of each image in the batch, where one key for all would do. Of a save: the size and
checksum of every file, and the look whether everything in the state is finite.

Times are of all cores, in CPU time, so that other jobs count for little; blocks of what is compared
alternate, and a share is the median over pairs of neighbouring blocks.
"""

import functools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from experiments import on_config
from experiments.reporting import machine, mebibytes
from jssl.algorithm import TrainState
from jssl.runs import checkpoints
from jssl.training.experiment import Experiment
from jssl.training.feed import Feed
from jssl.training.finite import not_finite
from jssl.training.refresh import Refresher
from jssl.training.step import step_keys

SAVES = 7  # that are timed
ROUNDS = 200  # of the keys in a block: one alone is too short for a clock


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the arguments describe; returns the exit status, 2 for bad input."""
    parser = on_config.parser('safety', __doc__, steps=10)
    return on_config.run(argv, parser, measure, table, 'what safety costs')


def measure(subject: Experiment, steps: int) -> dict[str, Any]:
    """Milliseconds of CPU time of a step and of a save, and the share of what makes them safe."""
    found, state = of_steps(subject, steps)
    return found | of_saves(subject, state) | {'machine': machine()}


def of_steps(subject: Experiment, steps: int) -> tuple[dict[str, Any], TrainState]:
    """What a step takes, and its keys; and the state after the last one."""
    feed = Feed(subject, Refresher(subject, list, print))
    state = subject.make_state()
    batches, keys = feed(state), _keys(subject.batch_size)
    taken: list[tuple[float, float]] = []
    for _ in range(steps + 2):
        batch = next(batches)
        start = time.process_time()
        state, metrics = subject.step(state, batch, feed.data)
        jax.block_until_ready(metrics)
        between = time.process_time()
        for _ in range(ROUNDS):
            found = keys(state.rng, state.step)
        jax.block_until_ready(found)
        taken.append((between - start, (time.process_time() - between) / ROUNDS))
    return _shares('step', 'keys', taken[2:]), state  # the first two compile


def _keys(images: int) -> Callable[..., Any]:
    """All keys of a step as a program of their own, dispatched like any other."""

    @jax.jit
    def keys(rng: jax.Array, step: jax.Array) -> Any:
        views, draw = step_keys(rng, step)
        return jax.vmap(jax.random.fold_in, (None, 0))(views, jnp.arange(images)), draw

    return keys


def of_saves(subject: Experiment, state: TrainState) -> dict[str, Any]:
    """What a save takes, and in it the checksums and the look for what is not finite."""
    hashed: list[float] = []
    hashes, looks = [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        _timed(hashed),
        checkpoints.Checkpoints(folder, keep=1) as saving,
    ):
        for number in range(SAVES + 1):
            start = time.process_time()
            not_finite(state)
            between = time.process_time()
            saving.save(number, state)
            saving.wait()
            whole = time.process_time() - start
            hashes.append((whole, hashed[-1]))
            looks.append((whole, between - start))
        size = sum(file.stat().st_size for file in Path(folder).rglob('*') if file.is_file())
    shares = _shares('save', 'checksums', hashes[1:]) | _shares('save', 'finite', looks[1:])
    return shares | {'bytes': size}


@contextmanager
def _timed(taken: list[float]) -> Iterator[None]:
    """Adds the CPU time of every list of files that a checkpoint gets."""
    write = checkpoints.write_contents

    @functools.wraps(write)
    def timed(*arguments: Any, **options: Any) -> None:
        start = time.thread_time()
        write(*arguments, **options)
        taken.append(time.thread_time() - start)

    checkpoints.write_contents = timed
    try:
        yield
    finally:
        checkpoints.write_contents = write


def _shares(whole: str, part: str, taken: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Medians in milliseconds, and the median share of the second in the first."""
    return {
        whole: 1e3 * statistics.median(first for first, _ in taken),
        part: 1e3 * statistics.median(second for _, second in taken),
        f'{part} of {whole}': statistics.median(second / first for first, second in taken),
    }


def table(numbers: dict[str, Any]) -> dict[str, str]:
    """The rows that a person reads."""

    def words(whole: str, part: str) -> str:
        return f'{numbers[part]:.3f} ms, {numbers[f"{part} of {whole}"]:.2%} of a {whole}'

    return {
        'a step': f'{numbers["step"]:.1f} ms',
        'its keys': words('step', 'keys'),
        'a save': f'{numbers["save"]:.1f} ms, {mebibytes(numbers["bytes"])}',
        'its checksums': words('save', 'checksums'),
        'is it finite': words('save', 'finite'),
        'machine': numbers['machine'],
    }


if __name__ == '__main__':
    sys.exit(main())
