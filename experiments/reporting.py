"""How the benchmarks show what they measured: a table for people, one line of JSON for scripts."""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from jssl.runs.workdir import source_commit, versions


def positive(text: str) -> int:
    """The whole number of at least 1 that an argument gives; argparse words the error."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'{text} is less than 1')
    return value


def show(title: str, rows: Mapping[str, str]) -> None:
    """Prints a table of two columns."""
    width = max(map(len, rows))
    print('\n'.join([title, *(f'  {name:<{width}}  {value}' for name, value in rows.items())]))


def show_json(numbers: Mapping[str, Any]) -> None:
    """Prints one line of JSON, the last of the output."""
    print(json.dumps(numbers), flush=True)


def processor() -> str:
    """The name of the host's processor, as the system tells it."""
    path = Path('/proc/cpuinfo')
    lines = path.read_text(encoding='utf-8').splitlines() if path.exists() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def machine() -> str:
    """The devices that JAX sees; of a CPU its name and the cores that this process may use."""
    import jax

    devices = jax.devices()
    if devices[0].platform != 'cpu':
        return f'{len(devices)} x {devices[0].device_kind}'
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return f'{processor()}, {cores} cores'


def mebibytes(count: float) -> str:
    """A number of bytes as text."""
    return f'{count / 2**20:,.0f} MiB'


def circumstances(threads: int | None, *packages: str) -> dict[str, Any]:
    """What a result stands on: machine, versions, commit and time.

    Args:
      threads: cores that were used; None for all, or for an accelerator.
      packages: whose versions are told besides those that every run tells.
    """
    others = {name: importlib.metadata.version(name) for name in packages}
    return {
        'threads': threads,
        'processor': processor(),
        'device': jax.devices()[0].device_kind,
        'versions': versions() | others,
        'when': datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
        **source_commit(),
    }


def append(path: Path, numbers: Mapping[str, Any]) -> None:
    """Adds a line of JSON to a file of results, which it makes where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a', encoding='utf-8') as file:
        file.write(json.dumps(numbers) + '\n')
