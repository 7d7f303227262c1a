"""The directory of a run, and its config.json: which experiment, which versions, which commit."""

import contextlib
import importlib.metadata
import json
import platform
import secrets
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jssl.data.loading.identity import Listing, write_listings
from jssl.errors import JsslError
from jssl.files import replace_file
from jssl.lock import LOCK, locked
from jssl.paths import run_directory
from jssl.processes import on_first
from jssl.runs.datasets import check_same_data
from jssl.runs.metrics import METRICS, last_step
from jssl.runs.orders import ORDERS
from jssl.runs.sameness import EPOCHS, KEEPS, RUN, check_same

CONFIG = 'config.json'
SWEEP = 'sweep.json'  # in place of it in the directory of a sweep, whose lanes are runs
NEW = 'runs'  # where directories are made for runs that are given none
CHECKPOINTS = 'checkpoints'  # a folder in the run's directory, and in it one for every saved step
PACKAGES = {
    'jssl': 'jssl',
    'jax': 'jax',
    'jaxlib': 'jaxlib',
    'flax': 'flax',
    'optax': 'optax',
    'orbax': 'orbax-checkpoint',
    'numpy': 'numpy',
}


def _stored(workdir: Path) -> dict[str, Any] | None:
    """The config.json of the run there, None where there is none to go on with."""
    # Looked for first: the process that makes checkpoints has written config.json before.
    begun = _has_begun(workdir)
    stored = read_config(workdir) if begun or (workdir / CONFIG).exists() else None
    if stored is not None and not begun and 'versions' in stored:
        return None  # of a start of ours that failed, whose command may have been corrected
    return stored


def open_workdir(
    path: Path | str | None,
    config: Mapping[str, Any],
    name: str,
    *,
    keeps: str = 'student',
    defaults: Mapping[str, Any] = MappingProxyType({}),
    listings: Mapping[str, Listing] = MappingProxyType({}),
    same_data: bool = False,
    lengthen: Callable[[Path, int], None] | None = None,
    report: Callable[[str], None] = print,
) -> Path:
    """The directory of a run, with its config.json; every process of a job calls it.

    Args:
      path: as in `make_workdir`.
      config: resolved, of what JSON can hold.
      name: what a new directory is called after.
      keeps: of the algorithm, see `Algorithm`.
      defaults: what fields have that a config does not give: such a run may have begun before there
        was such a field.
      listings: of the data by the field of the config that names them.
      same_data: see `check_same_data`.
      lengthen: is told the directory and the epochs of its run where another number is given, and
        raises a `JsslError` where that may not be; None refuses it as any other field.
      report: is told on process 0, in one line, when a run to resume began with other versions.

    Returns:
      The directory, which can be written.

    Raises:
      JsslError: the directory holds a run of another config or on other data that has taken a step,
        or checkpoints of one whose config is gone, or cannot be read or written.
    """
    data = {part: listing.identity for part, listing in listings.items()}
    record = {'config': config, KEEPS: keeps, 'data': data, 'versions': versions()}
    record |= source_commit()
    record = json.loads(json.dumps(record))  # as it will be read: tuples are lists
    workdir = make_workdir(path, name)
    with _usable(workdir):
        stored = _stored(workdir)
        if stored is not None:
            longer = check_same(workdir, stored, record, defaults, lengthen is not None, report)
            known = stored.get('data', {})
            unchanged = check_same_data(
                workdir, known, listings, same_data=same_data, report=report
            )
            if longer and lengthen is not None:
                lengthen(workdir, stored['config'][EPOCHS])
                stored['config'][EPOCHS], unchanged = config[EPOCHS], False
    if stored is None:
        stored, unchanged = record | {RUN: secrets.token_hex(8)}, False
    unchanged = unchanged and stored.get(KEEPS) == keeps
    changed = None if unchanged else stored | {KEEPS: keeps, 'data': data}
    on_first(
        lambda: _record(workdir, changed, listings),
        f'Process 0 of this job could not write to {workdir}.',
    )
    return workdir


def _record(
    workdir: Path, record: Mapping[str, Any] | None, listings: Mapping[str, Listing]
) -> None:
    """Writes config.json and what it says the data are, unless there is no need to."""
    with _usable(workdir):
        _check_writable(workdir)
        if record is not None:
            if listings:
                write_listings(workdir, listings)
            _write(workdir / CONFIG, record)


def make_workdir(path: Path | str | None, name: str) -> Path:
    """The directory of a run, made if need be; every process of a job calls it.

    Args:
      path: of a run to begin or to resume; None makes ``runs/<name>-<date>-<time>``.
      name: what a new directory is called after.

    Raises:
      JsslError: it cannot be made, or no checkpoint that is saved there could be restored.
    """
    with _usable(path):
        given = run_directory(Path(NEW) / name if path is None else path)
        workdir = _new_directory(name) if path is None else given
        workdir.mkdir(parents=True, exist_ok=True)
    return workdir


def refuse_sweep(workdir: Path) -> None:
    """Refuses a run in the directory of a sweep.

    Raises:
      JsslError: names what can be typed instead.
    """
    if (workdir / SWEEP).exists():
        raise JsslError(
            f'{workdir} holds a sweep, whose lanes are runs: give --workdir={workdir / "lane-0"} '
            'for one of them, the --sweep that began there to go on with all, or another --workdir.'
        )


def has_checkpoints(path: Path | str | None) -> bool:
    """Whether a run has saved something in the directory that `make_workdir` is going to take.

    Raises:
      JsslError: as `make_workdir`.
    """
    with _usable(path):
        return path is not None and any((run_directory(path) / CHECKPOINTS).glob('[0-9]*'))


@contextlib.contextmanager
def claimed(
    workdir: Path, *, report: Callable[[str], None] = print
) -> Iterator[Callable[[], None]]:
    """Keeps other runs out of a directory; every process of a job calls it, the first one holds it.

    Yields:
      What raises a `JsslError` once the directory is no longer this run's; never in other
      processes.

    Raises:
      JsslError: another run is going on there.
    """
    lock = locked(workdir / LOCK, workdir, 'give another --workdir', report=report)
    held: list[Callable[[], bool]] = []

    def check() -> None:
        if not all(still() for still in held):
            raise JsslError(
                f'{workdir} is no longer the directory of this run: it, or {LOCK} in it, was '
                'removed or renamed while the run went on, which writes nothing more there. Where '
                'it was renamed, the command with its new name as --workdir goes on; where it is '
                'gone, so is what was saved: begin again with another --workdir.'
            )

    with contextlib.ExitStack() as stack:
        on_first(
            lambda: held.append(stack.enter_context(lock)),
            f'Process 0 of this job could not have {workdir} for itself.',
        )
        yield check


@contextlib.contextmanager
def _usable(path: Path | str | None) -> Iterator[None]:
    """Says what is wrong with a run's directory where the system refuses something in it."""
    try:
        yield
    except OSError as error:
        raise JsslError(
            f'The run directory {error.filename or path} cannot be used: {error.strerror}. '
            'Give a --workdir that can be read and written.'
        ) from error


def _has_begun(workdir: Path) -> bool:
    """Whether the run of a directory has taken a step: before it there is nothing to go on from.

    One that was rolled back to its beginning has no more than the record of that.
    """
    written = last_step(workdir / METRICS) > 0 or (workdir / ORDERS).exists()
    return written or any((workdir / CHECKPOINTS).glob('*'))


def read_config(workdir: Path | str) -> dict[str, Any]:
    """What config.json of a run holds: `config`, `keeps`, `data`, `run`, `versions` and
    `git_commit`, `dirty`.

    Raises:
      JsslError: the file is missing or is not one of ours.
    """
    path = Path(workdir) / CONFIG
    try:
        if path.exists() and not path.is_file():  # a pipe would keep us waiting
            raise ValueError('it is no file')
        stored = json.loads(path.read_text(encoding='utf-8'))
        parts = (stored.get('config'), stored.get('data', {})) if isinstance(stored, dict) else ()
        if not parts or not all(isinstance(part, dict) for part in parts):
            raise ValueError('it is not that of a run')
        if not isinstance(stored.get(RUN, ''), str):
            raise ValueError(f'{RUN!r} in it is no text')
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise JsslError(
            f'{path} cannot be read ({reason}), so it is unknown which run is there. Give another '
            '--workdir, or another run, or put the file back.'
        ) from error
    return stored


@contextlib.contextmanager
def kept_config(
    workdir: Path,
    *,
    check: Callable[[], None] = lambda: None,
    report: Callable[[str], None] = print,
) -> Iterator[Mapping[str, Any]]:
    """What config.json of a run holds; a file that is gone at the end is written again.

    Without it the run could not be resumed. Processes but the first get nothing.
    """
    if jax.process_index() != 0:
        yield {}
        return
    record = read_config(workdir)
    try:
        yield record
    finally:
        if not (workdir / CONFIG).exists():
            with contextlib.suppress(OSError, JsslError):  # the directory may be gone too
                check()
                _write(workdir / CONFIG, record)
                report(f'{workdir / CONFIG} was removed during the run; it is there again.')


def versions() -> dict[str, Any]:
    """What the run stands on: Python, packages (None when not installed), platform, devices."""
    found: dict[str, Any] = {'python': platform.python_version()}
    for name, package in PACKAGES.items():
        try:
            found[name] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    devices = jax.devices()
    return {**found, 'platform': devices[0].platform, 'devices': len(devices)}


def source_commit(source: Path | str = __file__) -> dict[str, Any]:
    """The git commit of the tree that holds `source`, and whether the tree differs from it.

    Returns:
      `git_commit` and `dirty`, both None when `source` is not kept in git: a package installed
      below somebody else's repository is not.
    """
    folder = Path(source).resolve().parent
    if _git(folder, 'ls-files', '--error-unmatch', Path(source).name) is None:
        return {'git_commit': None, 'dirty': None}
    commit, changes = _git(folder, 'rev-parse', 'HEAD'), _git(folder, 'status', '--porcelain')
    return {'git_commit': commit, 'dirty': None if commit is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    """What a git command prints, None when it fails or git is not there."""
    try:
        done = subprocess.run(
            ['git', '-C', str(folder), *arguments], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _new_directory(name: str) -> Path:
    """Makes a directory under runs/, the same for all processes."""
    stem = f'{name}-{time.strftime("%Y%m%d-%H%M%S")}'
    chosen = ''
    if jax.process_index() == 0:
        chosen = next(candidate for candidate in _names(stem) if _make(Path(NEW) / candidate))
    if jax.process_count() > 1:
        letters = np.frombuffer(chosen.encode().ljust(255, b'\0'), np.uint8)
        chosen = bytes(multihost_utils.broadcast_one_to_all(letters)).rstrip(b'\0').decode()
    return Path(NEW) / chosen


def _names(stem: str) -> Iterator[str]:
    """`stem`, then `stem-2`, `stem-3` and so on, for runs that begin in the same second."""
    yield stem
    number = 2
    while True:
        yield f'{stem}-{number}'
        number += 1


def _make(path: Path) -> bool:
    """Makes a directory, unless something else made it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir()
    except FileExistsError:
        return False
    return True


def _check_writable(directory: Path) -> None:
    """Raises OSError where no file can be made; permission bits alone do not tell."""
    with tempfile.TemporaryFile(dir=directory):
        pass


def _write(path: Path, record: Mapping[str, Any]) -> None:
    """Writes a whole JSON file or none."""
    replace_file(path, (json.dumps(record, indent=2) + '\n').encode())
