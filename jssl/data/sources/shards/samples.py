"""The samples of a shard: files of one name before the first dot that follow one another."""

import dataclasses
import os
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from jssl.data.sources.fixed_file import FixedFile, Read
from jssl.data.sources.labels import LARGEST, NONE
from jssl.data.sources.listing import EXTENSIONS
from jssl.data.sources.shards.members import BLOCK, ZEROS, Member, list_members
from jssl.errors import JsslError, show

ENDINGS = tuple(ending[1:] for ending in EXTENSIONS)  # of images, without the dot
LONGEST_LABEL = 20  # bytes
SHOWN = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """The images of one shard.

    Attributes:
      keys: the names of the samples.
      offsets: int64 (N,), where in the file each image begins.
      sizes: int64 (N,), in bytes.
      labels: int64 (N,), -1 for none.
      left_out: how many samples have no image.
      ended: whether the archive has the zeros that mark its end.
    """

    keys: Sequence[str]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    labels: NDArray[np.int64]
    left_out: int
    ended: bool


def read_samples(file: FixedFile, image: str | None, label: str | None) -> Samples:
    """The samples of a shard, from the headers of its files.

    Args:
      file: an archive.
      image: the ending of the images, without the first dot, several separated by ``;``; None for
        any of `listing.EXTENSIONS`.
      label: the ending of the files with the label, a whole number in digits; None for no labels.

    Raises:
      OSError: it cannot be read.
      JsslError: it is damaged, see `list_members`, a key stands there twice, a sample has several
        images, or a label is no number.
    """
    endings = ENDINGS if image is None else tuple(map(_ending, image.split(';')))
    rows: list[tuple[str, int, int, int]] = []
    left_out = 0
    seen: set[str] = set()
    with file.opened() as read:
        for key, parts in _grouped(file):
            if key in seen:
                raise JsslError(
                    f'the key {key!r} stands twice in {file.path}, not one after the other; write '
                    'the shard again with all files of a sample together.'
                )
            seen.add(key)
            if (found := _image(file, key, parts, endings)) is None:
                left_out += 1
                continue
            said = None if label is None else parts.get(_ending(label))
            number = NONE if said is None else _label(file, read, key, said)
            rows.append((key, found.offset, found.size, number))
        ended = read(file.size - BLOCK, BLOCK) == ZEROS
    numbers = np.array([row[1:] for row in rows], np.int64).reshape(-1, 3)
    offsets, sizes, labels = numbers.T.copy()
    return Samples([row[0] for row in rows], offsets, sizes, labels, left_out, ended)


def _grouped(file: FixedFile) -> Iterator[tuple[str, dict[str, Member]]]:
    """The key of each sample, and its files by their endings."""
    current: str | None = None
    parts: dict[str, Member] = {}
    for member in list_members(file):
        folder, slash, name = member.name.removeprefix('./').rpartition('/')
        stem, dot, ending = name.partition('.')
        if not stem or not dot:  # hidden files, and those that say something of the whole shard
            continue
        key, ending = f'{folder}{slash}{stem}', ending.lower()
        if current is not None and key != current:
            yield current, parts
            parts = {}
        current = key
        if ending in parts:
            raise JsslError(
                f'{member.name!r} stands twice in {file.path}; write the shard again with a name '
                'of its own for each sample.'
            )
        parts[ending] = member
    if current is not None:
        yield current, parts


def _image(
    file: FixedFile, key: str, parts: dict[str, Member], endings: Sequence[str]
) -> Member | None:
    found = [ending for ending in endings if ending in parts]
    if len(found) > 1:
        raise JsslError(
            f'the sample {key!r} of {file.path} has the images {" and ".join(found)}; choose one '
            f'by image={found[0]}.'
        )
    return parts[found[0]] if found else None


def _ending(text: str) -> str:
    """As it stands behind the first dot: ``.JPG`` is ``jpg``."""
    return text.strip().lower().removeprefix('.')


def _label(file: FixedFile, read: Read, key: str, member: Member) -> int:
    text = read(member.offset, min(member.size, LONGEST_LABEL)).decode(errors='replace').strip()
    digits = text.removeprefix('-')
    whole = digits.isascii() and digits.isdigit() and member.size <= LONGEST_LABEL
    if not whole or not NONE <= int(text) <= LARGEST:
        raise JsslError(
            f'the label {os.path.basename(member.name)!r} of the sample {key!r} in {file.path} is '
            f'{show(text)}, and a label is a whole number from 0; give label=ENDING of other '
            'files, or label=None.'
        )
    return int(text)
