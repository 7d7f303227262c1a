"""Tables and shards as others write them, with a few tiny images, and ways to damage files."""

import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jssl.data.sources import Source
from jssl.errors import JsslError

CLASSES = ['cat', 'dog', 'é']
STRUCT = pa.struct([('bytes', pa.binary()), ('path', pa.string())])  # how `datasets` writes images
ODD = [bytes(4), b'\xff' * 4, b'\xff\xff\xff\x7f', b'\xff' * 8, b'\xfe\xff\xff\xff\x0f', b'7' * 11]


def pngs(count: int) -> list[bytes]:
    """Images of one grey level each, from 0."""
    found = []
    for level in range(count):
        buffer = io.BytesIO()
        Image.new('L', (3, 2), level).save(buffer, 'PNG')
        found.append(buffer.getvalue())
    return found


def level(source: Source, row: int) -> int:
    """The grey level of a sample, read from its file."""
    image = source[row]['image']
    assert isinstance(image, bytes)
    return int(np.asarray(Image.open(io.BytesIO(image)))[0, 0])


def features(image: str = 'img', names: Sequence[str] = CLASSES) -> dict[bytes, bytes]:
    """What `datasets` writes into the metadata of a schema."""
    said = {
        'id': {'dtype': 'string', '_type': 'Value'},
        image: {'_type': 'Image'},
        'label': {'names': list(names), '_type': 'ClassLabel'},
    }
    return {b'huggingface': json.dumps({'info': {'features': said}}).encode()}


def hub_table(count: int, **options: Any) -> pa.Table:
    """A table of the hub: a name, an image and a class for each row."""
    images = [{'bytes': data, 'path': f'{row}.png'} for row, data in enumerate(pngs(count))]
    columns = {
        'id': pa.array([str(row) for row in range(count)]),
        'img': pa.array(images, STRUCT),
        'label': pa.array([row % 3 for row in range(count)], pa.int64()),
    }
    return pa.table(columns).replace_schema_metadata(features(**options))


def image_table(images: Sequence[Any], kind: pa.DataType | None = None, **columns: Any) -> pa.Table:
    """A table with images in a column of this type, and more columns."""
    return pa.table({'image': pa.array(images, kind or pa.binary()), **columns})


def write_stream(path: Path, table: pa.Table, batch: int = 4) -> None:
    """A file of Arrow as `datasets` writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=batch)


def save_to_disk(folder: Path, table: pa.Table, shards: int = 1, batch: int = 4) -> None:
    """What `Dataset.save_to_disk` of `datasets` 5.2 writes; compared with it by hand."""
    rows = -(-len(table) // shards)
    names = [f'data-{shard:05}-of-{shards:05}.arrow' for shard in range(shards)]
    for shard, name in enumerate(names):
        write_stream(folder / name, table.slice(shard * rows, rows), batch)
    state: dict[str, Any] = {
        '_data_files': [{'filename': name} for name in names],
        '_fingerprint': '31091026781eccdb',
        '_format_columns': None,
        '_format_kwargs': {},
        '_format_type': None,
        '_output_all_columns': False,
        '_split': None,
    }
    (folder / 'state.json').write_text(json.dumps(state, indent=2))
    (folder / 'dataset_info.json').write_text('{}')


def write_parquet(path: Path, table: pa.Table, **options: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return str(path)


def write_tar(path: Path, files: Mapping[str, bytes], form: int = tarfile.GNU_FORMAT) -> str:
    """A shard with these files, in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, 'w', format=form) as archive:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return str(path)


def samples(count: int, first: int = 0) -> dict[str, bytes]:
    """The files of a shard: ``00000.png`` and ``00000.cls`` and so on."""
    files: dict[str, bytes] = {}
    for row, data in enumerate(pngs(first + count)[first:], first):
        files |= {f'{row:05}.png': data, f'{row:05}.cls': str(row % 3).encode()}
    return files


def mutated(good: bytes, case: int) -> bytes:
    """One of the ways in which bytes get lost or are forged."""
    rng = np.random.default_rng(case)
    data, place = bytearray(good), int(rng.integers(len(good)))
    kind = case % 7
    if kind == 0:
        del data[place:]
    elif kind == 1:
        del data[place : place + int(rng.integers(1, 300))]
    elif kind == 2:
        data[place : place + 8] = rng.bytes(8)
    elif kind == 3:
        data[place] ^= 1 << int(rng.integers(8))
    elif kind == 4:
        odd = ODD[int(rng.integers(len(ODD)))]
        data[place : place + len(odd)] = odd
    elif kind == 5:
        data[place:] = bytes(len(data) - place)
    else:
        data[place:place] = data[place // 2 : place]
    return bytes(data)


def assert_mutations_end_well(
    file: Path, make: Callable[[], Source], cases: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """However a file is damaged, it is read, or refused in one paragraph, and no memory is lost."""
    good = file.read_bytes()
    refusals = 0
    for case in range(cases):
        file.write_bytes(mutated(good, case))
        try:
            source: Any = make()
            _ = source.names(), source.labels, source.label_names, source.remarks
        except JsslError as error:
            assert_paragraph(error, case)
            refusals += 1
            continue
        for row in range(len(source)):
            try:
                assert len(source[row]['image']) <= len(good)
            except JsslError as error:
                assert_paragraph(error, case)
    file.write_bytes(good)
    assert len(make()) > 0
    assert refusals > cases // 4  # else the mutations are too tame
    said = capfd.readouterr().err.splitlines()
    assert all(' are unpacked once, into ' in line for line in said)


def assert_paragraph(error: JsslError, case: int) -> None:
    text = str(error)
    assert '\n' not in text, (case, text)
    assert len(text) < 1000, (case, text)
