"""What the sources of tables share: the columns, and what is said of the samples."""

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from jssl.data.sources.base import Sample
from jssl.data.sources.tables.columns import LABEL
from jssl.data.sources.tables.rows import Rows


@dataclasses.dataclass(frozen=True)
class TableSource:
    """Images in a column of a table that lies in files.

    Nothing but places and labels is kept in memory: an image is read when it is asked for.

    Attributes:
      path: where the files are.
      split: of a data set that has several.
      image: the column of images; None for the only one that can be meant.
      label: the column of classes, whole numbers or texts; None for no labels. One of the usual
        name may be missing, and so may labels of some rows: then there are none.

    Raises:
      JsslError: files that are missing, damaged, or hold no such columns.
    """

    path: str
    split: str | None = None
    image: str | None = None
    label: str | None = LABEL

    def __post_init__(self) -> None:
        _ = self._rows  # so that what is wrong with the files is told here, not in a thread

    @property
    def _files(self) -> list[str]:
        raise NotImplementedError

    @functools.cached_property
    def _rows(self) -> Rows:
        return Rows(self._files, self.image, self.label)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int, /) -> Sample:
        sample: Sample = {'image': self._rows.image(index)}
        if self.labels is not None:
            sample['label'] = int(self.labels[index])
        return sample

    def name_of(self, index: int) -> str:
        """The file and the row in it, counted from 0."""
        table, row = self._rows.place(index)
        return f'{self._rows.names[table]} row {row}'

    def names(self) -> list[str]:
        """The files, how many rows each has, and which columns are read."""
        columns = self._rows.columns
        read = f'{columns.image}, {columns.label}' if columns.label else columns.image
        tables = zip(self._rows.names, self._rows.tables, strict=True)
        return [f'{name}, {len(table)} rows ({read})' for name, table in tables]

    def stamps(self) -> NDArray[np.int64]:
        """Size and time of every file, as they were when it was opened."""
        return np.array([table.file.stamp for table in self._rows.tables], np.int64)

    @property
    def has_labels(self) -> bool:
        """Whether every row has a class."""
        return self.labels is not None

    @property
    def labels(self) -> NDArray[np.int32] | None:
        """The class of every image; None without labels."""
        return self._rows.labels.numbers

    @property
    def num_classes(self) -> int | None:
        """The number of classes that have names, or occur; None without labels."""
        if self.labels is None:
            return None
        return len(np.unique(self.labels)) if self.label_names is None else len(self.label_names)

    @property
    def label_names(self) -> list[str] | None:
        """What the files call the classes, or the texts that are there; None if nothing."""
        return self._rows.labels.names

    @property
    def remarks(self) -> list[str]:
        """What a run says of the files: labels that some rows lack."""
        missing = self._rows.labels.missing
        if missing in (0, len(self)):
            return []
        return [
            f'{missing} of {len(self)} rows of {self.path} have no label, so that all of them '
            'count as unlabelled.'
        ]
