"""How fast an experiment trains here: images per second, where the time goes, memory, compiling.

    python -m experiments.throughput --config=configs/simclr.py
    python -m experiments.throughput simclr:cifar10 --config.batch_size=256
    python -m experiments.throughput --all                           # a row of each config
    python -m experiments.throughput --all --sizes cifar10 imagenet --synthetic

The same command works on CPU, GPU and TPU, on every host of a cluster with the flags of `jssl.main`
(`--distributed`). It runs the step and the loader of a real run, without evaluating or saving. With
--all each config is measured in a process of its own and its row added to the rows that there are:
who starts again makes what is missing for this machine and this commit.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from experiments.reporting import mebibytes, positive, show, show_json
from experiments.throughput_data import synthetic
from experiments.throughput_measure import measure
from experiments.throughput_page import host, split
from experiments.throughput_table import PAGE, ROWS, make
from jssl.cli.configs import title
from jssl.cli.train import connect, parse
from jssl.config import experiment
from jssl.errors import JsslError
from jssl.training.huge_pages import restart_with_huge_pages

SIZES = ('embedded', 'cifar10', 'imagenet')


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the arguments describe; the exit status is 2 for bad input, 1 for others'."""
    options, rest = parser().parse_known_args(argv)
    try:
        return make(options, rest) if options.all or options.page else one(options, rest)
    except JsslError as error:
        print(f'throughput: {error}', file=sys.stderr)
        return 2


def one(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Measures one config and prints what was found.

    Raises:
      JsslError: for bad input.
    """
    values = parse(rest)
    jax.config.update('jax_enable_compilation_cache', False)
    connect(values)
    config = synthetic(values.config) if options.synthetic else values.config
    numbers = {'config': title(values.named), 'arguments': list(rest)}
    window = min(options.window, options.steps)
    numbers |= measure(experiment(config), options.steps, window, whole=not options.brief)
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
    result.add_argument('--brief', action='store_true', help='compile the step once, no parts')
    result.add_argument('--synthetic', action='store_true', help='noise in place of the images')
    result.add_argument('--json', action='store_true', help='end with one line of JSON')
    table = result.add_argument_group('a row of each config')
    table.add_argument('--all', action='store_true', help='make what is missing, then the page')
    table.add_argument('--only', nargs='+', metavar='NAME', help='configs; default all')
    table.add_argument('--sizes', nargs='+', choices=SIZES, default=SIZES[:1], help='variants')
    table.add_argument('--again', action='store_true', help='make rows that there are anew')
    table.add_argument('--page', action='store_true', help='measure nothing, write the page')
    table.add_argument('--rows', type=Path, default=ROWS, help='JSON lines')
    table.add_argument('--write', type=Path, default=PAGE, help='the page')
    return result


def table(numbers: dict[str, Any]) -> dict[str, str]:
    """The rows that a person reads."""
    slowest, fastest = (numbers[f'{end}_images_per_second'] for end in ('slowest', 'fastest'))
    compilation = f'{numbers["compile_seconds"]:.1f} s, after {numbers["trace_seconds"]:.1f} s'
    where = 'resident on the device' if numbers['resident'] else 'streamed'
    count, platform = numbers['versions']['devices'], numbers['versions']['platform']
    same = numbers['same_batch_ms']
    rows = {
        'images per second': f'{numbers["images_per_second"]:,.1f} '
        f'({slowest:,.1f} to {fastest:,.1f} over the windows)',
        'step': f'{numbers["step_ms"]:,.1f} ms; {same:,.1f} ms where it is given the same batch',
        'waiting for data': f'{numbers["data_wait"]:.1%}, data {where}',
        'of the host, a step': host(numbers),
        'operations': f'{numbers["operations"] / 1e9:,.2f} GFLOP a step in products',
    }
    if 'parts_ms' in numbers:
        rows['parts of the step'] = ', '.join(
            f'{name} {share}' for name, share in split(numbers).items() if share
        )
    if numbers['utilisation'] is not None:
        of = 'a large product here' if 'product_rate' in numbers else 'the bfloat16 peak'
        rows['utilisation'] = f'{numbers["utilisation"]:.1%} of {of}'
    if numbers['bound_seconds'] is not None:
        bound = numbers['bound_seconds']
        rows['bound of the program'] = (
            f'{1e3 * bound:,.1f} ms, {numbers["batch_size"] / bound:,.0f} images per second'
        )
    rows['compile time'] = f'{compilation} of tracing'
    if numbers['warm_seconds'] is not None:
        rows['again, program kept'] = f'{numbers["warm_seconds"]:.1f} s with tracing'
    return rows | {
        'peak memory': f'{mebibytes(numbers["peak_bytes"])} ({numbers["peak_of"]})',
        'memory of the step': f'{mebibytes(numbers["program_bytes"])} by XLA, per device',
        'machine': f'{count} {platform} device(s) {numbers["device"]}, host {numbers["processor"]}',
    }


if __name__ == '__main__':
    restart_with_huge_pages()
    sys.exit(main())
