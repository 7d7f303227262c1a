"""WebDataset's shards, tar files with an image and perhaps a label a sample, as a source."""

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from jssl.counts import counted
from jssl.data.sources.base import Sample
from jssl.data.sources.fixed_file import FixedFile
from jssl.data.sources.labels import NONE, checked_labels
from jssl.data.sources.patterns import files_of, of_split, short_names
from jssl.data.sources.shards.index import indexed
from jssl.data.sources.shards.samples import Samples
from jssl.errors import JsslError

TAR = '.tar'
CLS = 'cls'


@dataclasses.dataclass(frozen=True)
class WebDataset:
    """Images in tar files: ``0001.jpg``, and ``0001.cls`` with its class in digits.

    Files of one name up to the first dot that follow one another are a sample. The headers are read
    once, and what they say is noted in the user's cache (see `shards.index`); an image is then read
    from its place, in any order.

    Attributes:
      path: of a shard, of a folder for all of them below it, or a pattern such as
        ``'train-{000..012}.tar'`` or ``'train-*.tar'``.
      split: where names of files say several.
      image: the ending of the images, such as ``'jpg'`` or ``'jpg;png'``; None for any image.
      label: the ending of the files with the label; None for no labels. Where samples lack theirs
        there are none.

    Raises:
      JsslError: shards that are missing, damaged, cut off, compressed, or hold links or no images.
    """

    path: str
    split: str | None = None
    image: str | None = None
    label: str | None = CLS

    def __post_init__(self) -> None:
        if not len(self):
            more = f' and {len(self._files) - 1} more' if len(self._files) > 1 else ''
            raise JsslError(
                f'there is no image among the {self._left_out} samples of {self._files[0].path}'
                f"{more}; give image=ENDING, such as image='jpg', or another path."
            )

    @functools.cached_property
    def _files(self) -> list[FixedFile]:
        return [
            FixedFile.at(file) for file in of_split(files_of(self.path, TAR), self.split, self.path)
        ]

    @functools.cached_property
    def _shards(self) -> list[Samples]:
        return [indexed(file, self.image, self.label) for file in self._files]

    @functools.cached_property
    def _names(self) -> list[str]:
        return short_names([file.path for file in self._files])

    @functools.cached_property
    def _stops(self) -> NDArray[np.int64]:
        return np.cumsum([len(shard.keys) for shard in self._shards], dtype=np.int64)

    @property
    def _left_out(self) -> int:
        return sum(shard.left_out for shard in self._shards)

    def _place(self, index: int) -> tuple[int, int]:
        """The number of the shard, and of the sample in it."""
        if not 0 <= index < len(self):
            raise IndexError(f'sample {index} of {len(self)}')
        shard = int(np.searchsorted(self._stops, index, 'right'))
        return shard, index - int(self._stops[shard]) + len(self._shards[shard].keys)

    def __len__(self) -> int:
        return int(self._stops[-1])

    def __getitem__(self, index: int, /) -> Sample:
        shard, row = self._place(index)
        found = self._shards[shard]
        data = self._files[shard].read(int(found.offsets[row]), int(found.sizes[row]))
        sample: Sample = {'image': data}
        if self.labels is not None:
            sample['label'] = int(self.labels[index])
        return sample

    def name_of(self, index: int) -> str:
        """The shard and the key of the sample."""
        shard, row = self._place(index)
        return f'{self._names[shard]} {self._shards[shard].keys[row]}'

    def names(self) -> list[str]:
        """The shards, how many samples each has, and which of their files are read."""
        read = ', '.join([self.image or 'any image', *filter(None, [self.label])])
        shards = zip(self._names, self._shards, strict=True)
        return [f'{name}, {len(shard.keys)} samples ({read})' for name, shard in shards]

    def stamps(self) -> NDArray[np.int64]:
        """Size and time of every shard, as they were when it was opened."""
        return np.array([file.stamp for file in self._files], np.int64)

    @property
    def has_labels(self) -> bool:
        """Whether every sample has a label."""
        return self.labels is not None

    @functools.cached_property
    def _all_labels(self) -> NDArray[np.int64]:
        return np.concatenate([shard.labels for shard in self._shards])

    @functools.cached_property
    def labels(self) -> NDArray[np.int32] | None:
        """The label of every sample; None without labels, or where some lack theirs."""
        found = self._all_labels
        return None if (found == NONE).any() else checked_labels(found, len(self))

    @property
    def num_classes(self) -> int | None:
        """How many different labels there are; None without labels."""
        return None if self.labels is None else len(np.unique(self.labels))

    @property
    def label_names(self) -> list[str] | None:
        """Shards know no names."""
        return None

    @property
    def remarks(self) -> list[str]:
        """What a run says of the shards: samples without an image, or some without a label."""
        said = []
        if self._left_out:
            said.append(
                f'left out of {self.path}: {counted(self._left_out, "sample")} without an image.'
            )
        for name, shard in zip(self._names, self._shards, strict=True):
            if not shard.ended:
                said.append(f'{name} has no mark at its end, so that something may be missing.')
                break
        missing = int((self._all_labels == NONE).sum())
        if missing == len(self) and self.label not in (CLS, None):
            said.append(f'no sample of {self.path} has a label in a file .{self.label}.')
        if 0 < missing < len(self):
            said.append(
                f'{missing} of {len(self)} samples of {self.path} have no .{self.label}, so that '
                'all of them count as unlabelled.'
            )
        return said
