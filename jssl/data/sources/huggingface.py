"""Data sets of Hugging Face that lie on this machine as a source."""

import dataclasses
import json
import os
import re
from typing import Any

from jssl.data.sources.fixed_file import FixedFile
from jssl.data.sources.patterns import files_of, of_split, splits_of
from jssl.data.sources.tables.rows import PARQUET
from jssl.data.sources.tables.source import TableSource
from jssl.errors import JsslError, suggest

ARROW = '.arrow'
STATE, SPLITS = 'state.json', 'dataset_dict.json'
SNAPSHOTS = 'snapshots'
LARGEST = 2**26  # bytes of a file that describes a data set
HUB_NAME = re.compile(r'[\w.-]+/[\w.-]+', re.ASCII)
MADE = 'cache-'  # how the names begin of what `datasets` puts beside a data set


@dataclasses.dataclass(frozen=True)
class HuggingFace(TableSource):
    """A data set of Hugging Face on disk; neither `datasets` nor a network is needed.

    `path` is a folder that ``save_to_disk`` wrote, of one set or of several splits; a folder of the
    cache of `datasets`; or a data set in the cache of the hub (``datasets--owner--name``) or a copy
    of its files, if these are Parquet. Columns of images and names of classes are those that it
    declares. The fields and errors are those of `TableSource`.
    """

    @property
    def _files(self) -> list[str]:
        folder = _folder(self.path)
        if not os.path.isfile(os.path.join(folder, SPLITS)):
            return _files(folder, self.split, self.path)
        names = _listed(folder)
        split = names[0] if self.split is None and len(names) == 1 else self.split
        if split is None:
            raise JsslError(
                f'{self.path!r} has the splits {", ".join(names)}; choose one, as split={names[0]}.'
            )
        if split not in names:
            raise JsslError(f'{self.path!r} has no split {split!r}. {suggest(split, names)}')
        return _saved(os.path.join(folder, split))


def splits_at(path: str) -> list[str]:
    """The splits of the data set at `path`, as far as they have names."""
    folder = _folder(path)
    if os.path.isfile(os.path.join(folder, SPLITS)):
        return _listed(folder)
    if os.path.isfile(os.path.join(folder, STATE)):
        return []
    return [name for name in splits_of(_below(folder, path)) if name]


def _folder(path: str) -> str:
    """Where the files are: `path`, or the snapshot of the hub below it that is in use."""
    folder = os.path.expanduser(path)
    if not os.path.isdir(folder):
        named = f"'{path}'" if HUB_NAME.fullmatch(path) else 'NAME'
        raise JsslError(
            f'there is no folder {path!r}; a data set of the hub is copied to this machine by '
            f'python -c "import datasets; datasets.load_dataset({named}).save_to_disk(\'FOLDER\')" '
            '(after pip install datasets), and is then FOLDER.'
        )
    snapshots = os.path.join(folder, SNAPSHOTS)
    if not os.path.isdir(snapshots):
        return folder
    reference = os.path.join(folder, 'refs', 'main')
    there = sorted(name for name in os.listdir(snapshots) if not name.startswith('.'))
    if os.path.isfile(reference):
        file = FixedFile.at(reference)
        chosen = file.read(0, min(file.size, 100)).decode(errors='replace').strip()
        there = [name for name in there if name == chosen] or there
    if len(there) != 1:
        raise JsslError(
            f'{path!r} has {len(there)} snapshots; give the path of one, such as '
            f'{os.path.join(snapshots, there[0] if there else "SNAPSHOT")}.'
        )
    return os.path.join(snapshots, there[0])


def _files(folder: str, split: str | None, path: str) -> list[str]:
    if os.path.isfile(os.path.join(folder, STATE)):
        if split is not None:
            raise JsslError(f'{path!r} is one data set without splits; leave split={split} out.')
        return _saved(folder)
    return of_split(_below(folder, path), split, path)


def _below(folder: str, path: str) -> list[str]:
    """The files of a folder of the cache, or of a copy of the hub's."""
    for ending in (ARROW, PARQUET):
        try:
            found = files_of(folder, ending)
        except JsslError:
            continue
        kept = [name for name in found if not os.path.basename(name).startswith(MADE)]
        if kept:
            return kept
    raise JsslError(
        f'{path!r} holds no data set of Hugging Face: neither {STATE}, {SPLITS} nor {ARROW} or '
        f'{PARQUET} files; files of images are --data=folder:{path}, and tar files '
        f'--data=webdataset:{path}.'
    )


def _described(path: str) -> dict[str, Any]:
    """What a file of JSON says."""
    file = FixedFile.at(path)
    try:
        if file.size > LARGEST:
            raise ValueError(f'it has {file.size:,} bytes')
        found = json.loads(file.read(0, file.size))
        if not isinstance(found, dict):
            raise ValueError('it holds no object')
    except (OSError, ValueError, RecursionError) as error:
        raise JsslError(f'{path} cannot be read: {error}; save the data set again.') from error
    return found


def _texts(found: Any, path: str, what: str) -> list[str]:
    """A list of names of what lies beside a file."""
    wrong = not isinstance(found, list) or not found
    if wrong or not all(isinstance(name, str) and _is_plain(name) for name in found):
        raise JsslError(f'{path} does not list its {what}; save the data set again.')
    return found


def _is_plain(name: str) -> bool:
    return bool(name) and os.path.basename(name) == name and name not in ('.', '..')


def _listed(folder: str) -> list[str]:
    path = os.path.join(folder, SPLITS)
    return _texts(_described(path).get('splits'), path, 'splits')


def _saved(folder: str) -> list[str]:
    """The files of a folder that `save_to_disk` wrote."""
    path = os.path.join(folder, STATE)
    state = _described(path)
    if state.get('_indices_data_files'):
        raise JsslError(
            f'{path} takes rows by a list of numbers, as old versions of datasets wrote it; open '
            'the set with datasets.load_from_disk and save it again by save_to_disk.'
        )
    entries = state.get('_data_files')
    entries = entries if isinstance(entries, list) else []
    names = [entry.get('filename') if isinstance(entry, dict) else None for entry in entries]
    files = [os.path.join(folder, name) for name in _texts(names, path, 'files')]
    for file in files:
        FixedFile.at(file)
    return files
