"""What a checkpoint holds, listed when it is written, so that damage is noticed before it is read.

`contents.json` names the checkpoint's step, the leaves of its train state, the data, the run, and
size and checksum of every file. It ends with a checksum of all that: no byte that decides goes
unwatched.
"""

import json
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import numpy as np

from jssl.errors import JsslError

CONTENTS = 'contents.json'
BESIDE = 'beside.npz'  # arrays among Orbax's files
# What reading JSON, and then looking for our fields in it, can raise.
ODD = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


class Damaged(Exception):
    """A checkpoint is not as it was written; says in a few words what is wrong."""


def write_contents(
    folder: Path,
    item: str,
    *,
    step: int,
    leaves: Mapping[str, str],
    data: Mapping[str, Any],
    run: str = '',
    turns: int = 0,
    config: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Lists what `folder` holds.

    Args:
      folder: of the checkpoint.
      item: the folder in it whose files are listed.
      step: of the train state.
      leaves: of `describe`.
      data: the identity of the images that it was trained on.
      run: the name of the run that wrote it; empty for none.
      turns: how often the run had taken another order of the data.
      config: of the run, of what JSON holds; empty where it is not known.
    """
    paths = _files(folder / item).values()
    files = {path.relative_to(folder).as_posix(): _fingerprint(path) for path in paths}
    listed = {'step': step, 'leaves': dict(leaves), 'files': files, 'data': dict(data)}
    known = {'run': run, 'turns': turns, 'config': dict(config)}
    listed |= {name: value for name, value in known.items() if value}
    text = json.dumps(listed | {'checksum': _checksum(listed)}, indent=1)
    (folder / CONTENTS).write_text(text, encoding='utf-8')


def write_beside(item: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays among the files of a checkpoint; no file where there are none."""
    if arrays:
        np.savez(item / BESIDE, allow_pickle=False, **arrays)


def read_beside(item: Path) -> dict[str, np.ndarray]:
    """What `write_beside` has written there."""
    if not (item / BESIDE).is_file():
        return {}
    with np.load(item / BESIDE, allow_pickle=False) as arrays:
        return dict(arrays)


def read_contents(folder: Path) -> dict[str, Any]:
    """What `write_contents` has listed; whether the files are so is not looked at.

    Raises:
      Damaged: the list is not as it was written.
    """
    path = folder / CONTENTS
    try:
        if not path.is_file():  # a pipe of that name would keep us waiting
            raise Damaged(f'{CONTENTS} is missing')
        listed = json.loads(path.read_bytes())
        intact = listed.pop('checksum') == _checksum(listed)
    except (OSError, *ODD) as error:
        raise Damaged(f'{CONTENTS} cannot be read ({one_line(error)})') from error
    if not intact:
        raise Damaged(f'{CONTENTS} has been altered')
    return dict(listed)


def check(folder: Path, run: str = '') -> None:
    """Compares a checkpoint with its list.

    Args:
      folder: of the checkpoint.
      run: whose it must be, unless it or the checkpoint has no name, as before version 0.2.

    Raises:
      Damaged: something is missing or has changed, or is that of another step or run.
    """
    listed = read_contents(folder)
    try:
        if str(listed['step']) != folder.name:
            raise Damaged(f'it was saved as that of step {listed["step"]}')
        if run and listed.get('run', run) != run:
            raise Damaged('another run wrote it, which went on in a directory that was removed')
        present = _files(folder)
        for name, (size, checksum) in listed['files'].items():
            if name not in present:
                raise Damaged(f'{name} is missing')
            found = _fingerprint(present[name])
            if found[0] != size:
                raise Damaged(f'{name} has {found[0]} of {size} bytes')
            if found[1] != checksum:
                raise Damaged(f'{name} has been altered')
    except OSError as error:
        raise Damaged(f'{_within(folder, error)} cannot be read ({error.strerror})') from error
    except ODD as error:
        raise Damaged(f'{CONTENTS} lists what it never does ({one_line(error)})') from error


def steps_in(directory: Path) -> list[int]:
    """The numbers that name something in `directory`, as Orbax writes them, largest first."""
    names = [path.name for path in directory.iterdir() if path.name.isdecimal()]
    return sorted((int(name) for name in names if str(int(name)) == name), reverse=True)


def intact(
    directory: Path, steps: Iterable[int], report: Callable[[str], None], run: str = ''
) -> Iterator[int]:
    """Those of `steps` whose checkpoint is as `run` wrote it; the others are reported."""
    for step in steps:
        try:
            check(directory / str(step), run)
        except Damaged as damage:
            report(unreadable(directory / str(step), str(damage)))
        else:
            yield step


def unreadable(folder: Path, why: str) -> str:
    """The line about a checkpoint that gives way to the one before."""
    return f'Checkpoint {folder.name} in {folder.parent} is unreadable: {why}.'


def not_loaded(folder: Path, error: Exception) -> str:
    """The same about one that Orbax does not read."""
    return unreadable(folder, f'loading it failed: {type(error).__name__}: {one_line(error)}')


def unusable(directory: Path, error: OSError) -> JsslError:
    """The error of a folder in which no checkpoints can be kept."""
    return JsslError(
        f'Checkpoints cannot be kept in {directory}: {one_line(error)}. '
        'Give a --workdir where files can be written.'
    )


def move_aside(folder: Path) -> None:
    """Renames a checkpoint to `unreadable-<step>`, or that with a number of its own."""
    name = f'unreadable-{folder.name}'
    number = len(list(folder.parent.glob(f'{name}*')))
    folder.rename(folder.with_name(name if number == 0 else f'{name}-{number + 1}'))


def describe(tree: Any) -> dict[str, str]:
    """Each leaf's path and what it is, such as ``"params['head']['bias']": 'float32[8]'``."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path).lstrip('.'): f'{leaf.dtype}{list(leaf.shape)}'
        for path, leaf in leaves
    }


def first_mismatch(stored: Mapping[str, str], wanted: Mapping[str, str]) -> str | None:
    """Says in which leaf two descriptions differ, if they do."""
    for leaf in (*wanted, *stored):
        there, here = stored.get(leaf, 'absent'), wanted.get(leaf, 'absent')
        if there != here:
            return f'{leaf} is {there} there and {here} in this run'
    return None


def one_line(error: BaseException) -> str:
    """What went wrong; of tensorstore's long texts only the operating system's reason."""
    code = re.search(r"os_error_code='(\d+)'", str(error))
    text = os.strerror(int(code.group(1))) if code else ' '.join(str(error).split())
    return (text if len(text) <= 300 else f'{text[:300]}...') or type(error).__name__


def _files(folder: Path) -> dict[str, Path]:
    """All files below `folder`, by their names within it."""
    found = sorted(path for path in folder.rglob('*') if path.is_file())
    return {path.relative_to(folder).as_posix(): path for path in found}


def _checksum(listed: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(listed, sort_keys=True).encode())


def _fingerprint(path: Path) -> tuple[int, int]:
    """A file's size in bytes and its CRC-32."""
    size, checksum = 0, 0
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            size, checksum = size + len(block), zlib.crc32(block, checksum)
    return size, checksum


def _within(folder: Path, error: OSError) -> str:
    path = Path(os.fsdecode(error.filename or folder))
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
