"""The page of `experiments.throughput --all`, made of rows that were measured."""

import math
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
PARTS = {
    **{'views': 'views', 'forward': 'forward', 'backward': 'backward'},
    **{'optimizer': 'optimizer', 'after_step': 'after'},
}
HEAD = """# Throughput

What a training step of every config takes of a machine, measured there.
`python -m experiments.throughput --all` measures what is missing on the machine that it runs on and
writes this page; nobody edits it by hand. A config without a row was not measured there yet, one
with `--brief` without its parts and a second compilation.

## What the columns say

*images/s* is the median over windows of five steps with the loader of a real run, and in brackets
the fastest window. The host waits for the device at the end of a window only. *step* is the median
in milliseconds. An image is one of the batch, whatever its views.

*views* to *after* are shares of a step. The step is cut into five programs, each given what the
one before it gave: views and what the algorithm draws; *forward*, the loss; *backward*, the loss
with its gradient without what the loss alone takes; the *optimizer*; and what follows it. They are
compiled and donated as the step is. What a step fuses across a cut counts on both sides, and a
program that stands alone writes what the step keeps, so that shares need not add up to 100 %.
Windows of all programs and of the step alternate, without a wait inside, and the fastest of nine
counts. No *after* means that nothing follows the optimizer.

*GFLOP* are those of the matrix products and convolutions of a step, as `jssl plan` counts them.
*XLA* is what the compiler counts of one device's program, norms and views included; it takes a
loop over layers for one turn.

*of best* is the share of what the devices could do. On a GPU or TPU that is the bfloat16 peak of
its data sheet. On a CPU it is what a product of float32 matrices of 1,536 x 1,536 reached between
the same windows. *bound* is what `jssl plan` would give, of the program that was compiled on the
device itself: known for GPUs and TPUs whose data sheets are.

*peak* is the memory of the fullest device by its allocator's count, on a CPU that of the whole
process with Python and the compiler. *program* is what XLA plans for the step: arguments, outputs
and temporaries.

*compile* are the seconds until the step is there, with tracing, where no program is kept. *again*
are those where the program was kept on disk, in a process that starts later.

*host* counts what the host does for a step besides starting it: arrays put on the device, arrays
read back, calls of `block_until_ready`; then how many numbers are read when a step is logged.
JAX's profiler counts them while steps are taken as a run takes them. The one wait is for an earlier
step, which keeps the host from running far ahead. A callback inside the program would be named.

*waits for data* is the share of time from the end of a step to the next batch, where the host does
wait for every step.

*load* is how many programs ran or waited for a core in the last minute, this one among them. Where
it is above the number of cores, rates and seconds of compiling are those of what was left. Shares
and *of best* are ratios within a row and mean more; operations, memory and counts do not depend on
it.
"""


def page(rows: Mapping[Any, Row]) -> str:
    """The page: a table for each machine, the default variants first."""
    order = sorted(
        rows.values(), key=lambda row: (row['recipe'].partition(':')[::-1], row['given'])
    )
    machines = dict.fromkeys(row['machine'] for row in rows.values())
    parts = [HEAD]
    for machine in machines:
        found = [cells(row) for row in order if row['machine'] == machine]
        lines = [f'| {" | ".join(row.values())} |' for row in found]
        head = [f'| {" | ".join(found[0])} |', '|---' * len(found[0]) + '|']
        parts.append('\n'.join([f'## {machine}', '', *head, *lines, '']))
    return '\n'.join(parts)


def cells(row: Row) -> dict[str, str]:
    """A row of the page, by the names of its columns."""
    shares, rate = split(row), row['images_per_second']
    bound, warm = row['bound_seconds'], row['warm_seconds']
    return {
        'config': f'`{" ".join([row["recipe"], *row["given"]])}`',
        'batch': f'{row["batch_size"]:,}',
        'images/s': f'{rate:,.0f} ({row["fastest_images_per_second"]:,.0f})',
        'step, ms': number(row['step_ms']),
        **{words: shares.get(words, '') for words in PARTS.values()},
        'GFLOP': number(row['operations'] / 1e9),
        'XLA': '' if row['xla_operations'] is None else number(row['xla_operations'] / 1e9),
        'of best': '' if row['utilisation'] is None else f'{row["utilisation"]:.0%}',
        'bound, images/s': '' if bound is None else f'{row["batch_size"] / bound:,.0f}',
        'peak, MiB': f'{row["peak_bytes"] / 2**20:,.0f}',
        'program, MiB': f'{row["program_bytes"] / 2**20:,.0f}',
        'compile, s': f'{row["trace_seconds"] + row["compile_seconds"]:.1f}',
        'again, s': '' if warm is None else f'{warm:.1f}',
        'host': host(row),
        'waits for data': f'{row["data_wait"]:.1%}',
        'load': '' if row['load'] is None else f'{row["load"]:.0f}',
        'commit': row['commit'],
    }


def split(row: Row) -> dict[str, str]:
    """The parts of a step as shares of the whole one, by their words; empty where not measured."""
    return {
        PARTS[name]: f'{taken / row["same_batch_ms"]:.0%}'
        for name, taken in row.get('parts_ms', {}).items()
    }


def host(row: Row) -> str:
    """What the host does for a step besides starting it, and what the program asks of it."""
    found, logged = row['host'], row['host_logged']
    told = [f'{found[name]:g} {name}' for name in ('puts', 'reads', 'waits')]
    inside = '' if not row['to_host'] else f', {row["to_host"]} in the program'
    return f'{", ".join(told)}{inside}; {logged["reads"]} reads every {logged["every"]} steps'


def number(value: float) -> str:
    """Three digits, or all before the point.

    Example:
      >>> [number(value) for value in (1234.5, 123.4, 1.234, 0.01234)]
      ['1,234', '123', '1.23', '0.0123']
    """
    if value <= 0:
        return f'{value:.0f}'
    return f'{value:,.{max(0, 2 - math.floor(math.log10(value)))}f}'
