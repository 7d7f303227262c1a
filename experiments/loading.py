"""How fast the loader reads, beside bare Pillow: on one core, and over threads and workers.

    python -m experiments.loading
    python -m experiments.loading --threads 1 4 16 --workers 2 8    # on a host with cores

The images are synthetic JPEGs of 500x375 pixels in a folder. Bare Pillow decodes them from memory
in one thread and does nothing else; the loader finds, reads and checks them and fills its batches.
Blocks alternate, and a ratio is the median over neighbouring blocks.
"""

import argparse
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.pillow_views import bare_decode, synthetic_jpegs
from experiments.reporting import positive, processor, show
from jssl.data.loading.loader import Loader
from jssl.data.sources import Folder

CANVAS = 512
KINDS = 16  # different images; the folder repeats them
BATCHES = 3  # of a loader that are timed in a block
Clock = Callable[[], float]


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and shows it; returns the exit status."""
    options = parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        jpegs = write(Path(folder), options.batch)
        make = functools.partial(Loader, Folder(folder), options.batch, CANVAS)
        settings = {f'{n} threads': {'threads': n} for n in options.threads}
        settings |= {f'{n} workers': {'threads': 1, 'workers': n} for n in options.workers}
        one = compare(jpegs, make(threads=0), options.blocks, time.thread_time)
        many = {
            name: compare(jpegs, make(**how), options.blocks, time.perf_counter)
            for name, how in settings.items()
        }
    show('Loader and bare Pillow, images per second', table(one, many))
    if options.json:
        print(json.dumps({'core': one, **many}))
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of the command line."""
    result = argparse.ArgumentParser(
        'experiments.loading',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cores = sorted({1, os.cpu_count() or 1})
    result.add_argument('--threads', type=positive, nargs='*', default=cores, help='to compare')
    result.add_argument('--workers', type=positive, nargs='*', default=cores, help='to compare')
    result.add_argument('--batch', type=positive, default=64, help='images in a block')
    result.add_argument('--blocks', type=positive, default=5, help='of each that are timed')
    result.add_argument('--json', action='store_true', help='end with one line of JSON')
    return result


def write(folder: Path, count: int) -> list[bytes]:
    """A folder of one class with `count` images, and what is in its files."""
    kinds = synthetic_jpegs(min(KINDS, count))
    jpegs = [kinds[number % len(kinds)] for number in range(count)]
    (folder / 'images').mkdir()
    for number, jpeg in enumerate(jpegs):
        (folder / 'images' / f'{number:06}.jpg').write_bytes(jpeg)
    return jpegs


def compare(
    jpegs: Sequence[bytes], loader: Loader, blocks: int, clock: Clock
) -> dict[str, float | list[float]]:
    """Images per second of bare decoding and of a loader, and the latter's share of the former.

    A loader starts anew for each block, so that it decodes nothing ahead while the other is timed.
    """
    rates: dict[str, list[float]] = {'bare': [], 'loader': []}
    for _ in range(blocks):
        rates['bare'].append(len(jpegs) / timed(functools.partial(decode_all, jpegs), clock))
        batches = loader.iterate()
        next(batches)  # its threads or workers are at work from here on
        seconds = timed(functools.partial(take, batches), clock)
        rates['loader'].append(BATCHES * len(jpegs) / seconds)
        getattr(batches, 'close', bool)()  # one that decodes where it is asked has nothing to end
    shares = sorted(loaded / bare for bare, loaded in zip(*rates.values(), strict=True))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    return {**medians, 'share': statistics.median(shares), 'shares': shares}


def take(batches: Iterator[Any]) -> None:
    """Asks for the next batches, one after another, and drops them."""
    for _ in range(BATCHES):
        next(batches)


def decode_all(jpegs: Sequence[bytes]) -> None:
    """Keeps no picture: to fill new memory takes time as well."""
    for jpeg in jpegs:
        bare_decode(jpeg)


def timed(work: Callable[[], Any], clock: Clock) -> float:
    """Seconds that `work` takes by a clock."""
    start = clock()
    work()
    return clock() - start


def table(one: dict[str, Any], many: dict[str, dict[str, Any]]) -> dict[str, str]:
    """The rows that a person reads."""
    rows = {'one core, CPU time': one} | many
    return {name: _words(found) for name, found in rows.items()} | {
        'host': f'{processor()}, {os.cpu_count()} cores'
    }


def _words(found: dict[str, Any]) -> str:
    shares = found['shares']
    return (
        f'{found["loader"]:,.0f}, bare Pillow in one thread {found["bare"]:,.0f}: '
        f'{found["share"]:.2f} times as many ({shares[0]:.2f} to {shares[-1]:.2f})'
    )


if __name__ == '__main__':
    sys.exit(main())
