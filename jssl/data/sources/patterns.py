"""The files that a path stands for: one, those below a folder, or those of a pattern."""

import glob
import os
import re
from collections.abc import Sequence

from jssl.counts import counted
from jssl.errors import JsslError
from jssl.paths import URL

BRACES = re.compile(r'\{([^{}]*)\}')
NUMBERS = re.compile(r'([0-9]{1,12})\.\.([0-9]{1,12})', re.ASCII)
MOST = 1_000_000  # files of a pattern
NUMBERED = re.compile(r'(?:.*-)?([A-Za-z0-9_.]+)-[0-9]+-of-[0-9]+(?:-[0-9a-f]+)?', re.ASCII)
PLAIN = ('data', 'part', 'shard', 'file')  # what is numbered without being a split
SPLITS = ('train', 'training', 'validation', 'valid', 'val', 'dev', 'test', 'testing', 'eval')


def files_of(path: str, ending: str) -> list[str]:
    """The files that `path` stands for, in order.

    Args:
      path: of a file; of a folder, for all files below it; or a pattern with ``{000..012}`` and
        ``{a,b}``, which are written out in their order, and ``*`` and ``[ab]``, whose files are
        sorted. A ``~`` stands for the home folder.
      ending: of the files below a folder, such as ``.tar``.

    Raises:
      JsslError: an address, or one of the files is not there.
    """
    if address := URL.match(path):
        raise JsslError(
            f'{path!r} is an address, and files are read from this machine; mount {address[1]}: '
            'there, or copy the files, and give their path.'
        )
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        return _below(path, ending)
    if os.path.exists(path):
        return [path]
    names: list[str] = []
    for name in written_out(path):
        matches = sorted(glob.glob(name)) if glob.has_magic(name) else [name]
        names += matches
        if len(names) > MOST:
            raise JsslError(f'{path!r} stands for more than {MOST:,} files; give fewer.')
    absent = [name for name in names if not os.path.isfile(name)]
    if absent or not names:
        example = absent[0] if absent else path
        more = f' and {len(absent) - 1} more of {len(names)}' if len(absent) > 1 else ''
        raise JsslError(f'there is no file {example!r}{more}; correct the path.')
    return names


def _below(folder: str, ending: str) -> list[str]:
    found = []
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:  # a link led here again
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        found += [
            os.path.join(place, name)
            for name in files
            if name.lower().endswith(ending) and not name.startswith('.')
        ]
        if len(found) > MOST:
            raise JsslError(f'{folder!r} has more than {MOST:,} files below it; give one of them.')
    if not found:
        raise JsslError(
            f'there is no {ending} file below {folder!r}; give the folder, or the path, of some.'
        )
    return sorted(found)


def written_out(pattern: str) -> list[str]:
    """The names that the braces of a pattern stand for.

    Raises:
      JsslError: more than a million.

    Examples:
      >>> written_out('{a,b}-{08..10}.tar')
      ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b-08.tar', 'b-09.tar', 'b-10.tar']
    """
    names = ['']
    place = 0
    for braces in BRACES.finditer(pattern):
        parts = _parts(braces[1], pattern)
        if len(names) * len(parts) > MOST:
            raise JsslError(f'{pattern!r} stands for more than {MOST:,} files; give fewer.')
        before = pattern[place : braces.start()]
        names = [f'{name}{before}{part}' for name in names for part in parts]
        place = braces.end()
    return [name + pattern[place:] for name in names]


def _parts(inside: str, pattern: str) -> list[str]:
    numbers = NUMBERS.fullmatch(inside)
    if numbers is None:
        return inside.split(',')
    first, last = int(numbers[1]), int(numbers[2])
    if not first <= last < first + MOST:
        raise JsslError(
            f'{{{inside}}} in {pattern!r} stands for {max(last - first + 1, 0):,} numbers; count '
            'upwards, by less than a million.'
        )
    digits = len(numbers[1]) if numbers[1].startswith('0') else 0
    return [f'{number:0{digits}}' for number in range(first, last + 1)]


def short_names(files: Sequence[str]) -> list[str]:
    """The paths of files within the folder that holds all of them."""
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in files])
    return [os.path.relpath(os.path.abspath(file), folder) for file in files]


def split_of(name: str) -> str | None:
    """The split that the name of a file says, as the Hugging Face hub reads it; None for none.

    Examples:
      >>> split_of('data/test-00000-of-00002.parquet'), split_of('val/7.tar'), split_of('7.tar')
      ('test', 'val', None)
    """
    *folders, file = name.split(os.sep)
    stem = file.rpartition('.')[0]
    numbered = NUMBERED.fullmatch(stem)
    if numbered and numbered[1] not in PLAIN:
        return numbered[1]
    for part in (stem, *reversed(folders)):
        words = [word for word in re.split(r'[-_. ]', part) if word in SPLITS]
        if words:
            return words[0]
    return None


def splits_of(files: Sequence[str]) -> dict[str | None, list[str]]:
    """The files of each split, by their names; of those that say none under None."""
    found: dict[str | None, list[str]] = {}
    for file, name in zip(files, short_names(files), strict=True):
        found.setdefault(split_of(name), []).append(file)
    return found


def of_split(files: Sequence[str], split: str | None, where: str) -> list[str]:
    """The files of one split; all of them if there are no several and none is asked for.

    Raises:
      JsslError: no such split, or several and none is chosen; lists them.
    """
    found = splits_of(files)
    if split is None and len(found) == 1:
        return list(files)
    if split in found and split is not None:
        return found[split]
    names = ', '.join(f'{name or "others"} ({counted(len(found[name]), "file")})' for name in found)
    first = next(filter(None, found), None)
    if split is None:
        raise JsslError(
            f'{where!r} has several splits: {names}; choose one, as split={first}, or give the '
            'path of its files.'
        )
    remedy = f'give another, such as split={first}' if first else 'leave split out'
    raise JsslError(f'{where!r} has no split {split!r}; by their names it has {names}; {remedy}.')
