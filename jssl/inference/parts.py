"""Rows of features as they come: a folder of parts, each whole or not there, and what it is of."""

import dataclasses
import functools
import io
import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jssl.data.loading.identity import Listing, describe_change, same, write_listings
from jssl.errors import JsslError
from jssl.files import replace_file

PLAN = 'plan.json'
WORDS = {
    'weights': 'the weights are not those',
    'view': 'images are prepared in another way than',
    'canvas': 'the canvas is another than that',
    'channels': 'the images have other channels than those',
    'layer': 'the layer is another than that',
    'rows': 'the parts are of another length than those',
}


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """The parts of one table.

    Attributes:
      folder: where they are.
      number: of all rows.
      rows: of a part; the last one may have fewer.
      shape: of the features of one image.
    """

    folder: Path
    number: int
    rows: int
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many parts make up the table."""
        return -(-self.number // self.rows)

    def range_of(self, part: int) -> range:
        """The rows of a part."""
        return range(part * self.rows, min((part + 1) * self.rows, self.number))

    def path_of(self, part: int) -> Path:
        """The file of a part."""
        return self.folder / f'{part:06}.npz'

    def is_there(self, part: int) -> bool:
        """Whether a part is on disk, and whole."""
        try:
            return len(self.read(part)['features']) == len(self.range_of(part))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return False

    def read(self, part: int) -> dict[str, NDArray[Any]]:
        """The arrays of a part.

        Raises:
          OSError: and other errors of NumPy, where it is damaged or missing.
        """
        with np.load(self.path_of(part), allow_pickle=False) as arrays:
            return dict(arrays)

    def all(self) -> Iterator[dict[str, NDArray[Any]]]:
        """The arrays of every part, in order."""
        return map(self.read, range(self.count))

    def write(self, part: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Writes a part whole, or leaves nothing of it.

        Raises:
          JsslError: it cannot be written.
        """
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **dict(arrays))
        try:
            replace_file(self.path_of(part), buffer.getvalue())
        except OSError as error:
            raise JsslError(
                f'{self.path_of(part)} cannot be written: {error.strerror}. Make room there and '
                'repeat the command, which goes on from the parts that are whole.'
            ) from error

    def make_folder(self) -> Path:
        """The folder, there or made.

        Raises:
          JsslError: it cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        return self.folder

    def remove(self) -> None:
        """Takes the folder away."""
        shutil.rmtree(self.folder, ignore_errors=True)


def begin(folder: Path, plan: Mapping[str, Any], listing: Listing) -> None:
    """Says in the folder what its parts are of, or checks that they are of the same.

    Args:
      folder: of the parts; the caller has it to itself.
      plan: what decides about their numbers, as JSON holds it.
      listing: of the data.

    Raises:
      JsslError: they are of others, which are named; or it cannot be written.
    """
    wanted = {**json.loads(json.dumps(plan)), 'data': listing.identity}
    try:
        if (stored := _stored(folder)) is None:
            for path in folder.glob('[0-9]*.npz'):
                path.unlink()  # of nobody knows what
            write_listings(folder, {'data': listing})
            replace_file(folder / PLAN, json.dumps(wanted, indent=1).encode())
            return
    except OSError as error:
        raise _unwritable(folder, error) from error
    change = functools.partial(describe_change, folder, 'data', stored['data'], listing)
    _check(folder, stored, wanted, change)


def _unwritable(folder: Path, error: OSError) -> JsslError:
    return JsslError(
        f'{folder} cannot be written: {error.strerror}. Give an --out in a folder of your own, '
        'with room for it.'
    )


def _stored(folder: Path) -> dict[str, Any] | None:
    try:
        found = json.loads((folder / PLAN).read_text(encoding='utf-8'))
    except FileNotFoundError:
        return None
    except ValueError:
        found = {}
    return (
        found if isinstance(found, dict) and isinstance(found.get('data'), dict) else {'data': {}}
    )


def _check(folder: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any], change: Any) -> None:
    changed = [words for name, words in WORDS.items() if stored.get(name) != wanted.get(name)]
    reason = f'{changed[0]} of which it has parts' if changed else ''
    if not same(stored['data'], wanted['data']):
        reason = f'the images are not those of which it has parts: {change()}'
    if reason:
        raise JsslError(
            f'{folder} cannot be continued: {reason}. Give another --out, or remove that folder to '
            'begin again.'
        )
