"""The image files that a list names, as a source."""

import dataclasses
import functools
import os
import re
import unicodedata

import numpy as np
from numpy.typing import NDArray

from jssl.data.sources.base import Sample
from jssl.data.sources.folder import file_stamps, read_file
from jssl.data.sources.labels import LARGEST, NONE
from jssl.data.sources.listing import EXTENSIONS
from jssl.errors import JsslError
from jssl.paths import expanded

LABELLED_LINE = re.compile(r'(.*\S)\s+(-?[0-9]{1,10})')
KNOWN = '|'.join(map(re.escape, EXTENSIONS))
WITH_MORE = re.compile(rf'(.*(?:{KNOWN}))(?![.\w])', re.IGNORECASE)
PROBED = 10  # files of a list that are looked for at the start


@dataclasses.dataclass(frozen=True)
class ImageList:
    """Images that a text file lists: a path a line, then perhaps a label, a whole number from 0.

    MMSelfSup's format. Paths may contain spaces: what follows the last one is a label only if that
    is so on every line. Lines that are empty or begin with ``#`` are left out, and a label of -1 on
    every line means no labels. Numbers count the images from 0 in the order of the lines.

    Attributes:
      path: of the list, a text in UTF-8 with any line ends.
      root: what its paths are relative to; '' for the folder that holds the list.

    Raises:
      JsslError: no such list, no text, no images in it, none of ten of its files, or a line that
        lacks its label; names the line.
    """

    path: str
    root: str = ''

    def __post_init__(self) -> None:
        spread = sorted({len(self) * step // PROBED for step in range(PROBED)})
        if not any(os.path.isfile(self._file(index)) for index in spread):
            hints = (self._hint(index) for index in spread)
            remedy = next(filter(None, hints), 'set root to the folder that its paths start from')
            raise JsslError(
                f'the files that {self.path!r} lists are not there, such as {self._file(0)!r} for '
                f'line {self._entries.lines[0]}; {remedy}.'
            )

    def __len__(self) -> int:
        return len(self._entries.names)

    def __getitem__(self, index: int, /) -> Sample:
        sample: Sample = {'image': read_file(self._file(index))}
        if self._entries.labels is not None:
            sample['label'] = int(self._entries.labels[index])
        return sample

    def name_of(self, index: int) -> str:
        """The line of the list that names image `index`."""
        return f'{self._entries.names[index]}, line {self._entries.lines[index]} of {self.path}'

    def names(self) -> list[str]:
        """The paths of the list, each with its label."""
        names, labels = self._entries.names, self._entries.labels
        if labels is None:
            return names
        return [f'{name} {label}' for name, label in zip(names, labels, strict=True)]

    @property
    def paths(self) -> list[str]:
        """The paths of the list, as they stand there."""
        return self._entries.names

    def stamps(self) -> NDArray[np.int64]:
        """Size and time of every file that is listed, see `file_stamps`."""
        return file_stamps([self._file(index) for index in range(len(self))])

    @property
    def has_labels(self) -> bool:
        """Whether the lines end with labels."""
        return self._entries.labels is not None

    @property
    def labels(self) -> NDArray[np.int32] | None:
        """The label of every image; None without labels."""
        return self._entries.labels

    @property
    def num_classes(self) -> int | None:
        """How many different labels there are; None without labels."""
        return None if self._entries.labels is None else len(np.unique(self._entries.labels))

    @property
    def label_names(self) -> list[str] | None:
        """A list knows no names."""
        return None

    @functools.cached_property
    def folder_names(self) -> list[str] | None:
        """The folder that each class has alone, in the order of labels; None if they share any."""
        labels = self._entries.labels
        return None if labels is None else _folders(self._entries.names, labels)

    def _file(self, index: int) -> str:
        return self._below(self._entries.names[index])

    def _below(self, name: str) -> str:
        root = os.path.expanduser(self.root) or os.path.dirname(os.path.expanduser(self.path))
        return os.path.join(root, name)

    def _hint(self, index: int) -> str | None:
        """What is wrong with how a line is written, if its file is there under another name."""
        line, name = self._entries.lines[index], self._entries.names[index]
        more = WITH_MORE.match(name)
        start = more[1] if more else name
        for part, remedy in (
            (start, 'write a space and a whole number after the path, or nothing'),
            (start.strip('"\''), 'leave out the quotation marks'),
            (start.replace('\\', '/'), 'write / between folders'),
        ):
            if part != name and os.path.isfile(self._below(part)):
                return f'line {line} is {name!r}, where {part!r} is a file: on every line {remedy}'
        return None

    @functools.cached_property
    def _entries(self) -> '_Entries':
        return _parse(self.path, _text(self.path))


@dataclasses.dataclass(frozen=True)
class _Entries:
    """What a list says: paths, the numbers of their lines from 1, and labels if there are any."""

    names: list[str]
    lines: list[int]
    labels: NDArray[np.int32] | None


def _text(path: str) -> str:
    """The text of the list; bytes that are no UTF-8 stand for themselves, as in file names."""
    try:
        text = expanded(path).read_text(encoding='utf-8-sig', errors='surrogateescape')
    except OSError as error:
        raise JsslError(
            f'the list {path!r} cannot be read: {error.strerror}; set path to a text file with the '
            'path of an image on each line.'
        ) from None
    if '\0' in text:
        raise JsslError(f'the list {path!r} is no text in UTF-8; save it as that.')
    return text


def _parse(path: str, text: str) -> _Entries:
    numbered = [(number, line.strip()) for number, line in enumerate(text.split('\n'), 1)]
    kept = [(number, line) for number, line in numbered if line and not line.startswith('#')]
    if not kept:
        raise JsslError(f'the list {path!r} names no image; write the path of one on each line.')
    lines = [number for number, _ in kept]
    matches = [LABELLED_LINE.fullmatch(line) for _, line in kept]
    found = [match for match in matches if match]
    if len(found) < len(kept):
        _check_no_labels(path, kept, matches)
        return _Entries([line for _, line in kept], lines, None)
    labels = _labels(path, lines, [int(match[2]) for match in found])
    return _Entries([match[1] for match in found], lines, labels)


def _check_no_labels(
    path: str, kept: list[tuple[int, str]], matches: list[re.Match[str] | None]
) -> None:
    """Raises a `JsslError` where some lines are clearly an image and its label, others not."""
    with_label = [
        number
        for (number, _), match in zip(kept, matches, strict=True)
        if match and match[1].lower().endswith(EXTENSIONS)
    ]
    if with_label:
        without = next(kept[row] for row, match in enumerate(matches) if match is None)
        raise JsslError(
            f'line {without[0]} of the list {path!r} is {without[1]!r} and has no label, but line '
            f'{with_label[0]} has one; give every line a label, or none.'
        )


def _folders(names: list[str], labels: NDArray[np.int32]) -> list[str] | None:
    """The names of folders, at some depth of the paths, that stand for the labels one to one."""
    parts = [unicodedata.normalize('NFC', name).split('/')[:-1] for name in names]
    classes = len(np.unique(labels))
    for level in range(min(map(len, parts))):
        found = {(int(label), part[level]) for label, part in zip(labels, parts, strict=True)}
        if len(found) == len({name for _, name in found}) == classes > 1:
            return [name for _, name in sorted(found)]
    return None


def _labels(path: str, lines: list[int], labels: list[int]) -> NDArray[np.int32] | None:
    if set(labels) == {NONE}:
        return None
    for line, label in zip(lines, labels, strict=True):
        if not 0 <= label <= LARGEST:
            raise JsslError(
                f'line {line} of the list {path!r} has the label {label}; labels are whole numbers '
                'from 0, or -1 on every line for none.'
            )
    return np.array(labels, np.int32)
