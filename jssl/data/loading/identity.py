"""What a data set is, beside where it lies: how a change of it is noticed, and told.

A source may say it itself: `names()`, what there is and in which order, and `stamps()`, a pair of
whole numbers for each name, such as size and time of a file, which show that what is behind a name
was replaced. Of any other source some samples are read.
"""

import dataclasses
import functools
import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from jssl.counts import counted
from jssl.data.sources import Source
from jssl.data.sources.reading import in_words
from jssl.errors import JsslError
from jssl.files import replace_file

SAMPLED = 16  # samples of a source of the user's own that are read
UNKNOWN = (-1, -1)  # the stamp of what cannot be read, or is another at every reading
LISTINGS = 'data.json.gz'  # the names and stamps that a directory was written from


@dataclasses.dataclass(frozen=True, eq=False)
class Listing:
    """The samples of a data set, as far as they can be told from others without reading all.

    Attributes:
      number: of samples.
      names: what there is, in order; of files their paths, of arrays their checksums.
      stamps: int64 (names, 2); None where they were not asked for.
    """

    number: int
    names: Sequence[str]
    stamps: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, source: Source, *, stamps: bool = True) -> Self:
        """What `source` holds now.

        It costs a look at the size and time of every file (5 s for a million on a local disk), or
        one pass over arrays in memory (a second for each GB).

        Args:
          source: any.
          stamps: also find out the stamps, which is what costs time where there are files.

        Raises:
          JsslError: a source of the user's own gives other names or stamps than it should.
        """
        if not hasattr(source, 'names'):
            rows = _sampled(len(source))
            names = [f'sample {row}' for row in rows]
            found = np.array(_read(source, rows), np.int64) if stamps else None
            return cls(len(source), names, found)
        try:
            names = source.names()
            if isinstance(names, str) or not all(isinstance(name, str) for name in names):
                raise TypeError(f'names() gives {names!r:.80}')
            own = source.stamps() if stamps and hasattr(source, 'stamps') else None
            found = np.full((len(names), 2), UNKNOWN) if own is None else np.asarray(own)
            if found.shape != (len(names), 2) or found.dtype.kind not in 'iu':
                raise ValueError(f'stamps() gives {found.dtype} of shape {found.shape}')
        except Exception as error:  # of a source of the user's own
            raise JsslError(
                f'what {type(source).__name__} says of its samples cannot be used: '
                f'{in_words(error)}; let names() give texts, and stamps() two whole numbers for '
                'each, or leave both out.'
            ) from error
        return cls(len(source), names, found.astype(np.int64) if stamps else None)

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """`number`, and digests of `names` and of `stamps`, which stay the same as long as the
        data do; without stamps if there are none."""
        digests = {'names': _digest(json.dumps(list(self.names)).encode())}
        if self.stamps is not None:
            digests['stamps'] = _digest(self.stamps.astype('<i8').tobytes())
        return {'number': self.number, **digests}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _sampled(length: int) -> list[int]:
    """Rows spread over a source, the first and the last among them."""
    return sorted({int(row) for row in np.linspace(0, length - 1, min(SAMPLED, length))})


def _read(source: Source, rows: Sequence[int]) -> list[tuple[int, int]]:
    """A stamp of each of these samples; one that is drawn anew at every reading has none."""
    stamps = [_checksum(source, row) for row in rows]
    again = [_checksum(source, row) for row in rows]
    return [one if one == other else UNKNOWN for one, other in zip(stamps, again, strict=True)]


def _checksum(source: Source, row: int) -> tuple[int, int]:
    try:
        sample = source[row]
        image, label = sample['image'], sample.get('label')
        data = image if isinstance(image, bytes) else np.ascontiguousarray(image).tobytes()
        return len(data), zlib.crc32(repr(label).encode(), zlib.crc32(data))
    except Exception:  # the loader will say what is wrong with it
        return UNKNOWN


def identity_in(record: Any, part: str) -> Mapping[str, Any] | None:
    """The identity of a part in what a file says of the data; None if it says none."""
    found = record.get(part) if isinstance(record, Mapping) else None
    return found if isinstance(found, Mapping) else None


def same(before: Mapping[str, Any], after: Mapping[str, Any], *, stamps: bool = True) -> bool:
    """Whether two identities are of the same data; without `stamps`, of the same names."""
    keys = ('number', 'names', 'stamps') if stamps else ('number', 'names')
    known = [key for key in keys if key in before and key in after]
    return all(before[key] == after[key] for key in known)


def difference(before: Listing, after: Listing) -> str:
    """What changed from one listing to the other, with an example, in words."""
    parts = []
    if before.number != after.number:
        parts.append(f'{counted(before.number, "sample")} then, {after.number:,} now')
    for word, there, here in (('gone', before, after), ('new', after, before)):
        known = set(here.names)
        if changed := [name for name in there.names if name not in known]:
            parts.append(f'{len(changed):,} {word}, such as {changed[0]!r}')
    return '; '.join(parts or _moved(before, after) or _replaced(before, after))


def _moved(before: Listing, after: Listing) -> list[str]:
    pairs = zip(before.names, after.names, strict=False)
    row = next((row for row, (was, now) in enumerate(pairs) if was != now), None)
    if row is None:
        return []
    return [f'in another order: {before.names[row]!r} then, {after.names[row]!r} now']


def _replaced(before: Listing, after: Listing) -> list[str]:
    if before.stamps is None or after.stamps is None:
        return []
    rows = np.flatnonzero((before.stamps != after.stamps).any(axis=1))
    if not len(rows):
        return []
    example = after.names[rows[0]]
    return [f'{len(rows):,} of another size, time or checksum, such as {example!r}']


def write_listings(folder: Path, listings: Mapping[str, Listing]) -> None:
    """Keeps `listings` in a file of `folder`, from which a later difference is told by name."""
    rows = {
        part: {
            'number': listing.number,
            'names': list(listing.names),
            'stamps': None if listing.stamps is None else listing.stamps.tolist(),
        }
        for part, listing in listings.items()
    }
    packed = gzip.compress(json.dumps(rows).encode(), 1, mtime=0)
    replace_file(folder / LISTINGS, packed)


def describe_change(folder: Path, part: str, before: Mapping[str, Any], after: Listing) -> str:
    """What changed in `after` since `folder` was written; without its listings, less of it.

    Args:
      folder: that holds the listings.
      part: of them.
      before: the identity that it had.
      after: what it is now.
    """
    try:
        kept = json.loads(gzip.decompress((folder / LISTINGS).read_bytes()))[part]
        stamps = None if kept['stamps'] is None else np.asarray(kept['stamps'], np.int64)
        words = difference(Listing(kept['number'], kept['names'], stamps), after)
    except (OSError, EOFError, LookupError, ValueError, TypeError, AttributeError, zlib.error):
        words = ''  # lost or damaged: the digests tell that there is a difference
    if words:
        return words
    if before.get('number') != after.number:
        return f'{before.get("number")} samples then, {after.number} now'
    renamed = before.get('names') != after.identity['names']
    return 'other names or another order' if renamed else 'other sizes, times or checksums'
