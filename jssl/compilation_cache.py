"""Compiled programs are kept on disk, so that a run that is resumed or started again begins soon.

It is for commands: nothing happens when `jssl` is imported, and a program of one's own chooses for
itself by JAX's option `jax_compilation_cache_dir`, or calls `keep_programs` before it imports JAX.
"""

import contextlib
import functools
import hashlib
import os
import platform
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jssl.files import cache_folder

FOLDER = 'JAX_COMPILATION_CACHE_DIR'  # where, if it is set
ENABLED = 'JAX_ENABLE_COMPILATION_CACHE'  # not at all, if it is one of `OFF`
OFF = ('0', 'false', 'no', 'off')
LONG = 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'
SECONDS = '0.2'  # what compiles faster is compiled again: thousands of small files are slow as well
BOUND = 2**32  # bytes
DAMAGED = re.compile(r"Error (?:reading|writing) persistent compilation cache entry for '([^']+)'")
PROCESSORS = Path('/proc/cpuinfo')


def keep_programs() -> None:
    """Has JAX keep what it compiles in the user's cache folder; call it before JAX is imported.

    The folder is `default_folder`, or what the variable JAX_COMPILATION_CACHE_DIR names;
    JAX_ENABLE_COMPILATION_CACHE=0 keeps nothing. The oldest programs go when they take more than
    4 GiB. Where nothing can be written a note says so.
    """
    if FOLDER in os.environ or os.environ.get(ENABLED, '').lower() in OFF:
        return
    folder = default_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass  # it can be written
        prune(folder.parent, BOUND)
    except OSError as error:
        print(
            f'jssl: compiled programs are not kept, for {folder} cannot be written: '
            f'{error.strerror or error}; name another folder by {FOLDER}=FOLDER, or set '
            f'{ENABLED}=0.',
            file=sys.stderr,
        )
        return
    os.environ[FOLDER] = str(folder)
    os.environ.setdefault(LONG, SECONDS)
    warnings.showwarning = functools.partial(_show, folder, warnings.showwarning)


def _show(
    folder: Path,
    show: Callable[..., None],
    message: Warning | str,
    category: type[Warning],
    *where: Any,
    **more: Any,
) -> None:
    """Shows a warning; where it is JAX's of a damaged program, that goes in place of the warning.

    JAX compiles it anew then, and keeps it only where there is nothing of that name.
    """
    damaged = DAMAGED.match(str(message))
    if damaged is None:
        show(message, category, *where, **more)
        return
    for path in folder.glob(f'{damaged[1]}-*'):
        with contextlib.suppress(OSError):
            path.unlink()


def default_folder() -> Path:
    """A folder for this kind of processor: ``$XDG_CACHE_HOME`` or ``~/.cache``, ``/jssl/xla/...``.

    Programs for a CPU use what that CPU can do, and a home may be that of many machines.
    """
    return cache_folder('xla') / f'{platform.machine()}-{_abilities()}'


def _abilities() -> str:
    """A digest of what the processor can do, as far as the system tells."""
    lines = PROCESSORS.read_text().splitlines() if PROCESSORS.exists() else []
    told = [line for line in lines if line.startswith(('flags', 'Features', 'model name'))]
    return hashlib.sha256('\n'.join(sorted(set(told))).encode()).hexdigest()[:12]


def prune(folder: Path, bound: int) -> None:
    """Deletes the oldest programs under a folder, so that the others take `bound` bytes at most."""
    found, taken = [], 0
    for path in folder.rglob('*-cache'):
        with contextlib.suppress(FileNotFoundError):  # another process prunes too
            found.append((path.stat(), path))
    for status, path in sorted(found, key=lambda pair: pair[0].st_mtime, reverse=True):
        taken += status.st_size
        if taken > bound:
            path.unlink(missing_ok=True)
