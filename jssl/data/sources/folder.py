"""A folder of image files as a source."""

import dataclasses
import functools
import os
import re
import stat
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from jssl.data.sources.base import Sample
from jssl.data.sources.listing import Found, images_below, in_words
from jssl.errors import JsslError

NUMBER = re.compile('[0-9]+', re.ASCII)
CHUNK, ASKED = 1000, 16  # files that a thread looks at, and threads


@dataclasses.dataclass(frozen=True)
class Folder:
    """The images below a folder, at any depth, in the order of their paths.

    An image is a file with one of `listing.EXTENSIONS`, in any case. Links are followed, and every
    real folder is listed once; files and folders whose name begins with a dot are left out. The
    folder is listed once: worker processes get the list, so files that come or go during a run do
    not shift the numbers.

    Attributes:
      path: of the folder.
      labelled: True: the first sub-folder of an image is its class, and the classes are numbered
        in the order of their names, or of their values where all names are whole numbers; False:
        there are no labels; None: labelled if no image lies in the folder itself and there are at
        least two sub-folders with images.

    Raises:
      JsslError: no such folder, no images in it, or images without a class where `labelled`.
    """

    path: str
    labelled: bool | None = None

    def __post_init__(self) -> None:
        outside = [name for name in self._names if '/' not in name]
        if self.labelled and outside:
            raise JsslError(
                f'{self.path!r} is to be labelled by sub-folder, but {len(outside)} images lie in '
                f'none, such as {outside[0]!r}; move them, or set labelled=False.'
            )

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int, /) -> Sample:
        sample: Sample = {'image': read_file(os.path.join(self._root, self._names[index]))}
        if self._labels is not None:
            sample['label'] = int(self._labels[index])
        return sample

    def name_of(self, index: int) -> str:
        """The path of image `index` inside the folder."""
        return self._names[index]

    def names(self) -> list[str]:
        """The paths of all images inside the folder."""
        return self._names

    @property
    def paths(self) -> list[str]:
        """The paths of all images inside the folder."""
        return self._names

    def stamps(self) -> NDArray[np.int64]:
        """Size and time of every image, see `file_stamps`."""
        return file_stamps([os.path.join(self._root, name) for name in self._names])

    @property
    def has_labels(self) -> bool:
        """Whether the sub-folders are classes."""
        return self._labels is not None

    @property
    def labels(self) -> NDArray[np.int32] | None:
        """The class of every image; None without labels."""
        return self._labels

    @property
    def num_classes(self) -> int | None:
        """The number of classes; None without labels."""
        return len(self._classes) if self.has_labels else None

    @property
    def label_names(self) -> list[str] | None:
        """The names of the sub-folders; None without labels."""
        return list(self._classes) if self.has_labels else None

    @property
    def remarks(self) -> list[str]:
        """What a run says of the folder: images that are left out."""
        left_out = self._listing.left_out
        return [f'left out below {self.path}: {in_words(left_out)}.'] if left_out else []

    @property
    def _root(self) -> str:
        return os.path.expanduser(self.path)

    @functools.cached_property
    def _listing(self) -> Found:
        return images_below(self._root)

    @property
    def _names(self) -> list[str]:
        return self._listing.names

    @functools.cached_property
    def _classes(self) -> list[str]:
        """The first-level sub-folders in which there are images."""
        found = sorted({_class_of(name) for name in self._names if '/' in name})
        return sorted(found, key=int) if all(map(NUMBER.fullmatch, found)) else found

    @functools.cached_property
    def _labels(self) -> NDArray[np.int32] | None:
        decided = len(self._classes) > 1 and all('/' in name for name in self._names)
        if not (decided if self.labelled is None else self.labelled):
            return None
        number = {name: label for label, name in enumerate(self._classes)}
        return np.array([number[_class_of(name)] for name in self._names], np.int32)


def _class_of(name: str) -> str:
    """The first sub-folder; some systems decompose letters such as é, which is undone."""
    return unicodedata.normalize('NFC', name.partition('/')[0])


def read_file(file: str) -> bytes:
    """The bytes of a file.

    Raises:
      OSError: it cannot be read.
      JsslError: it is a pipe, socket or device, which may never end.
    """
    with open(file, 'rb', opener=_opened) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise JsslError('it is a pipe, socket or device, and no file; leave it out')
        return stream.read()


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # else a pipe is waited for


def file_stamps(files: Sequence[str]) -> NDArray[np.int64]:
    """Size in bytes and time of the last change in nanoseconds of each file: (files, 2).

    Several are asked for at the same time: file systems on a network take long to answer.
    """
    chunks = [files[first : first + CHUNK] for first in range(0, len(files), CHUNK)]
    with ThreadPoolExecutor(ASKED) as pool:
        return np.concatenate([*pool.map(_stamps, chunks), np.zeros((0, 2), np.int64)])


def _stamps(files: Sequence[str]) -> NDArray[np.int64]:
    return np.array([_stamp(file) for file in files], np.int64)


def _stamp(file: str) -> tuple[int, int]:
    try:
        found = os.stat(file)
    except (OSError, ValueError):  # gone, and on the way to become a broken sample
        return -1, -1
    return found.st_size, found.st_mtime_ns
