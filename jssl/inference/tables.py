"""Features in a file: a row for each image, written part by part, so that any number fits."""

import dataclasses
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from jssl.errors import JsslError
from jssl.files import replacing

Part = Mapping[str, NDArray[Any]]  # `features` (n, ...), `ok` (n,), `label` (n,)


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """What a file of features holds.

    Attributes:
      ids: path or name of each image.
      shape: of the features of one image.
      label_names: of the classes; None where there are none, or no labels.
      labelled: whether there are labels.
      about: what the file says of itself.
    """

    ids: Sequence[str]
    shape: tuple[int, ...]
    labelled: bool
    label_names: Sequence[str] | None
    about: Mapping[str, Any]


def write_npz(path: Path, table: Table, parts: Callable[[], Iterator[Part]]) -> None:
    """Arrays `id`, `ok`, `features`, perhaps `label`, `label_names`; `about` is a text, JSON."""
    ok = np.concatenate([part['ok'] for part in parts()])
    arrays: dict[str, Any] = {'id': np.array(table.ids), 'ok': ok}
    if table.labelled:
        arrays['label'] = np.concatenate([part['label'] for part in parts()])
    if table.label_names is not None:
        arrays['label_names'] = np.array(table.label_names)
    arrays['about'] = np.array(json.dumps(table.about))
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f'{name}.npy', 'w', force_zip64=True) as file:
                np.lib.format.write_array(file, np.asanyarray(array), allow_pickle=False)
        with archive.open('features.npy', 'w', force_zip64=True) as file:
            _write_rows(file, (len(ok), *table.shape), (part['features'] for part in parts()))


def _write_rows(
    file: IO[bytes], shape: tuple[int, ...], parts: Iterable[NDArray[np.float32]]
) -> None:
    """One array out of many, never whole in memory."""
    header = {'descr': '<f4', 'fortran_order': False, 'shape': shape}
    np.lib.format.write_array_header_1_0(file, header)
    for part in parts:
        file.write(np.ascontiguousarray(part, '<f4').tobytes())


def write_parquet(path: Path, table: Table, parts: Callable[[], Iterator[Part]]) -> None:
    """Columns `id`, `ok`, `features` (lists of one length), perhaps `label` and `label_name`.

    Features of more than one axis are flattened, row after row; the shape of one image's is in the
    metadata of the file, `jssl`, a JSON text.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    width = int(np.prod(table.shape))
    fields = [('id', pa.string()), ('ok', pa.bool_())]
    fields += [('label', pa.int32())] if table.labelled else []
    fields += [('label_name', pa.string())] if table.label_names is not None else []
    fields += [('features', pa.list_(pa.float32(), width))]
    schema = pa.schema(fields, {'jssl': json.dumps({**table.about, 'shape': table.shape})})
    with pq.ParquetWriter(path, schema) as writer:
        first = 0
        for part in parts():
            last = first + len(part['ok'])
            names = [_text(name) for name in table.ids[first:last]]
            columns: dict[str, Any] = {'id': names, 'ok': part['ok']}
            if table.labelled:
                columns['label'] = part['label']
            if table.label_names is not None:
                columns['label_name'] = [_name(table.label_names, k) for k in part['label']]
            values = pa.array(part['features'].reshape(-1))
            columns['features'] = pa.FixedSizeListArray.from_arrays(values, width)
            arrays = [pa.array(columns[name], kind) for name, kind in fields[:-1]]
            rows = pa.RecordBatch.from_arrays([*arrays, columns['features']], schema=schema)
            writer.write_batch(rows)
            first = last


def _name(names: Sequence[str], label: int) -> str | None:
    return _text(names[label]) if 0 <= label < len(names) else None


def _text(name: str) -> str:
    """A name of a file, whose bytes that are no UTF-8 are written as ``\\udce9``."""
    return name.encode('utf-8', 'backslashreplace').decode()


WRITERS = {'.npz': write_npz, '.parquet': write_parquet}


def check_ending(path: Path) -> None:
    """Raises a `JsslError` for a path that is of no format that is written here."""
    if path.suffix.lower() not in WRITERS:
        raise JsslError(
            f'--out={path} must end with {" or ".join(WRITERS)}, such as '
            f'--out={path.stem.strip(".") or "features"}.parquet.'
        )


def write_table(path: Path, table: Table, parts: Callable[[], Iterator[Part]]) -> None:
    """Writes the file whole or not at all.

    Args:
      path: ends with one of `WRITERS`.
      table: what the file holds besides.
      parts: gives the rows from the beginning, in order, each time that it is called.

    Raises:
      OSError: it cannot be written.
    """
    with replacing(path) as part:
        WRITERS[path.suffix.lower()](part, table, parts)
