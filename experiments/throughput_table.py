"""The rows of `experiments.throughput --all`: which are missing here, and how one is made."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.parity import append, commit
from experiments.throughput_page import page
from jssl.cli.configs import DEFAULT, load, shipped
from jssl.errors import JsslError, suggest

ROOT = Path(__file__).resolve().parent.parent
ROWS, PAGE = ROOT / 'experiments/throughput.jsonl', ROOT / 'docs/reference/throughput.md'
HERE = 'from experiments.reporting import machine; print(machine())'
Row = dict[str, Any]
Key = tuple[str, str]


def make(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Makes what is missing of the rows, writes the page; the status is 1 if a row failed.

    Args:
      options: of `experiments.throughput`.
      rest: arguments of `jssl train` that all configs are given.

    Raises:
      JsslError: there is no such config.
    """
    failed = False
    for name in [] if options.page else missing(options, rest):
        row = measured(name, options, rest)
        print(row.get('failed') or told(row), flush=True)
        if 'failed' in row:
            failed = True
        else:
            append(options.rows, row)
    options.write.write_text(page(read_rows(options.rows)), encoding='utf-8')
    return int(failed)


def missing(options: argparse.Namespace, rest: Sequence[str]) -> list[str]:
    """The configs that have no row of this machine, this commit and these arguments."""
    names = recipes(options.only, options.sizes)
    if options.again:
        return names
    known = read_rows(options.rows)
    on, now, given = here(), commit(), arguments(options, rest)

    def current(row: Row | None) -> bool:
        return row is not None and (row['commit'], row['given']) == (now, given)

    return [name for name in names if not current(known.get((name, on)))]


def recipes(only: Sequence[str] | None, sizes: Sequence[str]) -> list[str]:
    """The configs that are pre-training, and those of their variants that are asked for.

    Raises:
      JsslError: there is no config called so.
    """
    known = [name for name in shipped() if '/' not in name]
    if wrong := [name for name in only or () if name not in known]:
        raise JsslError(f'There is no config {wrong[0]!r}. {suggest(wrong[0], known)}')
    pairs = [(name, size) for size in sizes for name in only or known]
    return [_named(name, size) for name, size in pairs if _has(name, size)]


def _named(name: str, size: str) -> str:
    return name if size == DEFAULT else f'{name}:{size}'


def _has(name: str, size: str) -> bool:
    try:
        load(_named(name, size))
    except JsslError:
        return False
    return True


def measured(
    name: str, options: argparse.Namespace, rest: Sequence[str], limit: float | None = None
) -> Row:
    """The row of a config, made in a process of its own.

    Args:
      name: of the config.
      options: of `experiments.throughput`.
      rest: arguments of `jssl train`.
      limit: seconds after which the process is ended; None for no limit.
    """
    start, given = time.monotonic(), arguments(options, rest)
    module = [sys.executable, '-m', 'experiments.throughput', name]
    times = [f'--steps={options.steps}', f'--window={options.window}', '--json']
    row: Row = {'recipe': name, 'given': given, 'commit': commit()}
    output: Any = {'cwd': ROOT, 'capture_output': True, 'text': True}
    try:
        done = subprocess.run([*module, *given, *times], timeout=limit, **output)
    except subprocess.TimeoutExpired:
        return row | {'failed': f'{name}: not done within {limit:.0f} s'}
    row['seconds'] = round(time.monotonic() - start, 1)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        return row | {'failed': f'{name}: {"".join(last) or done.returncode}'}
    return row | json.loads(done.stdout.splitlines()[-1])


def arguments(options: argparse.Namespace, rest: Sequence[str]) -> list[str]:
    """What a row is measured with, but for its config and its number of steps."""
    switches = {'--brief': options.brief, '--synthetic': options.synthetic}
    return [*rest, *(name for name, given in switches.items() if given)]


def here() -> str:
    """This machine, asked for in another process: an accelerator serves one at a time."""
    command = [sys.executable, '-c', HERE]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().splitlines()[-1]


def told(row: Row) -> str:
    """A row in a line."""
    batch, bound, best = row['batch_size'], row['bound_seconds'], row['utilisation']
    parts = [
        f'{row["recipe"]}: {row["images_per_second"]:,.0f} images per second',
        f'{1e3 * batch / row["same_batch_ms"]:,.0f} with one batch again and again',
        *([] if bound is None else [f'{batch / bound:,.0f} by the bound of its program']),
        *([] if best is None else [f'utilisation {best:.1%}']),
        f'peak {row["peak_bytes"] / 2**30:.1f} GiB ({row["peak_of"]})',
        f'{row["seconds"]:.0f} s',
    ]
    return ', '.join(parts)


def read_rows(path: Path) -> Mapping[Key, Row]:
    """The rows by config and machine, of each the last one."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
    return {(row['recipe'], row['machine']): row for row in rows}
