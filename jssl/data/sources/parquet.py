"""Parquet files with a column of encoded images as a source."""

import dataclasses

from jssl.data.sources.patterns import files_of, of_split
from jssl.data.sources.tables.rows import PARQUET
from jssl.data.sources.tables.source import TableSource


@dataclasses.dataclass(frozen=True)
class Parquet(TableSource):
    """Images in Parquet files: a column of bytes, or of structs with ``bytes`` among their parts.

    `path` is one file, a folder for all of those below it in the order of their paths, or a pattern
    such as ``'data/train-*.parquet'`` or ``'data/{00..12}.parquet'``. Where names of files say
    splits, as on the Hugging Face hub (``train-00000-of-00002.parquet``, ``test/0.parquet``),
    `split` is one of them. The fields and errors are those of `TableSource`.
    """

    @property
    def _files(self) -> list[str]:
        return of_split(files_of(self.path, PARQUET), self.split, self.path)
