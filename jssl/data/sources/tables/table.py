"""What a file with a table is to a source: rows, encoded images by number, and all labels."""

from collections.abc import Iterator
from typing import Any, Protocol

from jssl.data.sources.fixed_file import FixedFile
from jssl.errors import JsslError

MISSING = 'the image is missing (null)'
OUTSIDE = (
    'its image is not in the table, only a path of one; write the set again with the images in it: '
    'dataset.save_to_disk(FOLDER) or table.push_to_hub do that'
)


class Table(Protocol):
    """One file of a table; it may be read by several threads, and pickled."""

    file: FixedFile
    schema: Any  # a `pyarrow.Schema`

    def use(self, column: str) -> None:
        """Chooses the column of images, before rows are counted and images read.

        Raises:
          JsslError: the file is damaged, or in a form that is not read.
        """

    def __len__(self) -> int:
        """The number of rows."""

    def image(self, row: int) -> bytes:
        """The encoded image in a row.

        Raises:
          JsslError: there is none, or the file is damaged or changed.
        """

    def labels(self, column: str) -> Iterator[Any]:
        """A column of labels as arrays of pyarrow, one after the other."""


def damaged(path: str, what: str) -> JsslError:
    """The error for a file that cannot be right."""
    return JsslError(f'{path} is cut off, or damaged: {what}; copy it again.')
