"""What reading an image costs from each kind of source, and how much memory an open set takes.

    python -m experiments.sources --images=4096

The same images (synthetic JPEGs, 500x375, 109 kB) are written as a folder, as Parquet, as Arrow in
the form of Hugging Face's `save_to_disk`, and as WebDataset shards. Each is read in random order in
a process of its own, on one core: CPU time of reading alone, and of reading and decoding.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from experiments.reporting import mebibytes, positive, processor, show, show_json

KINDS = ('folder', 'hf', 'parquet', 'webdataset')
DISTINCT = 64  # images that are encoded; the others differ from them in their last bytes
SHARD = 1000  # images
GROUP = 100  # rows, as on the hub
CANVAS = 512


def images(count: int) -> Iterator[tuple[str, bytes]]:
    """Names and JPEGs."""
    from experiments.pillow_views import synthetic_jpegs

    pictures = synthetic_jpegs(min(count, DISTINCT))
    for number in range(count):
        yield f'{number:08}', pictures[number % DISTINCT] + number.to_bytes(8, 'little')


def write(kind: str, folder: Path, count: int) -> str:
    """Writes the images in one form; gives what `--data` takes."""
    folder.mkdir()
    if kind == 'folder':
        for name, data in images(count):
            (folder / f'{name}.jpg').write_bytes(data)
    elif kind == 'webdataset':
        _write_tar(folder, count)
    else:
        _write_table(kind, folder, count)
    return f'{kind}:{folder}'


def _write_tar(folder: Path, count: int) -> None:
    archive: tarfile.TarFile | None = None
    for number, (name, data) in enumerate(images(count)):
        if number % SHARD == 0:
            if archive is not None:
                archive.close()
            archive = tarfile.open(folder / f'{number // SHARD:05}.tar', 'w')  # noqa: SIM115
        assert archive is not None
        header = tarfile.TarInfo(f'{name}.jpg')
        header.size = len(data)
        archive.addfile(header, io.BytesIO(data))
    if archive is not None:
        archive.close()


def _write_table(kind: str, folder: Path, count: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    image = pa.struct([('bytes', pa.binary()), ('path', pa.string())])
    schema = pa.schema([('image', image)])
    name = 'data-00000-of-00001.arrow'
    if kind == 'parquet':
        writer: Any = pq.ParquetWriter(folder / 'images.parquet', schema)
    else:
        writer = pa.ipc.new_stream(str(folder / name), schema)
        (folder / 'state.json').write_text(json.dumps({'_data_files': [{'filename': name}]}))
    rows: list[dict[str, Any]] = []
    with writer:
        for name, data in images(count):
            rows.append({'bytes': data, 'path': name})
            if len(rows) == GROUP:
                writer.write_batch(pa.record_batch([pa.array(rows, image)], schema=schema))
                rows = []
        if rows:
            writer.write_batch(pa.record_batch([pa.array(rows, image)], schema=schema))


def measure(where: str, reads: int) -> dict[str, float]:
    """CPU seconds of an image, read alone and decoded, of opening, and bytes of memory."""
    import numpy as np
    import pyarrow.parquet  # noqa: F401  what is imported is no memory of a source

    from jssl.cli.data import source_of
    from jssl.data import decode
    from jssl.data.reading.decoding import quiet

    before = _begin()
    start = time.process_time()
    source_of(where)  # what is noted or unpacked once
    once, held = time.process_time() - start, _memory('VmHWM') - before
    private = _memory('RssAnon')
    start = time.process_time()
    source = source_of(where)
    opened = time.process_time() - start
    rows = np.random.default_rng(0).integers(0, len(source), reads).tolist()
    start = time.process_time()
    for row in rows:
        _ = source[row]
    read = time.process_time() - start
    held = max(held, _memory('RssAnon') - private)  # pages of a map are the system's to take back
    with quiet():
        start = time.process_time()
        for row in rows:
            decode(source[row]['image'], CANVAS)
        decoded = time.process_time() - start
    costs = {'once': once, 'open': opened, 'read': read / reads, 'decode': decoded / reads}
    return costs | {'memory': held}


def _begin() -> int:
    """Bytes that this process has; from here on ``VmHWM``, the most it has had, counts anew."""
    Path('/proc/self/clear_refs').write_text('5')
    return _memory('VmHWM')


def _memory(kind: str) -> int:
    """Bytes of this process."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind)) * 1024


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', type=positive, default=4096)
    parser.add_argument('--reads', type=positive, default=2000)
    parser.add_argument('--json', action='store_true', help='end with one line of JSON')
    parser.add_argument('--one', help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one is not None:
        show_json(measure(options.one, options.reads))
        return 0
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            where = write(kind, Path(folder) / kind, options.images)
            command = [sys.executable, '-m', 'experiments.sources', f'--one={where}']
            env = os.environ | {'XDG_CACHE_HOME': folder}
            done = subprocess.run(
                [*command, f'--reads={options.reads}'], stdout=subprocess.PIPE, env=env, check=True
            )
            found[kind] = json.loads(done.stdout.splitlines()[-1])
    show(
        f'{options.images:,} images, {options.reads:,} read in random order, {processor()}',
        {
            kind: f'{1 / row["read"]:8,.0f} read /s, {1 / row["decode"]:6,.0f} decoded /s, '
            f'opened in {row["open"] * 1000:,.0f} ms, {row["once"]:.2f} s once, '
            f'{mebibytes(row["memory"])} more memory'
            for kind, row in found.items()
        },
    )
    if options.json:
        show_json(found)
    return 0


if __name__ == '__main__':
    sys.exit(main())
