"""Images at another size as a TFDS data set, written so that an interruption costs little."""

import dataclasses
import functools
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from PIL import Image

from jssl.checks import Count, Fraction, Range, check_value
from jssl.data.loading.identity import (
    LISTINGS,
    Listing,
    describe_change,
    identity_in,
    same,
    write_listings,
)
from jssl.data.preparing import records
from jssl.data.preparing.records import Records
from jssl.data.reading.bad_samples import BadSamples
from jssl.data.reading.decoding import ORIENTATION, plain_bytes, to_picture
from jssl.data.sources import Sample, Source, check_declared
from jssl.data.sources.reading import checked_sample, name_of
from jssl.data.sources.tfds import catalogue
from jssl.errors import JsslError, in_words
from jssl.files import PART, replace_file
from jssl.lock import locked
from jssl.paths import expanded

SHARD = 4096  # images in a file: what an interruption costs at most
PLAN = 'prepare.json'
DESCRIBED = 'described'  # in the plan: where the splits came from, in words
ALL = 'all'  # TFDS's name for all splits together

Size = Annotated[int, Range(1, 2**16, whole=True)]
Quality = Annotated[int, Range(1, 100, whole=True)]
Threads = Annotated[int, Range(1, 1024, whole=True)]


class Target(NamedTuple):
    """What images become.

    Attributes:
      size: of the short side in pixels; smaller images keep theirs.
      encoding: 'jpeg' or 'png'.
      quality: of JPEG, 1 to 100.
    """

    size: int
    encoding: str = 'jpeg'
    quality: int = 95


def shrink(image: Any, target: Target) -> bytes:
    """An image file whose short side has the target's size, antialiased bicubic.

    The bytes of an upright RGB or grey JPEG or PNG that is no larger are kept as they are.

    Args:
      image: as in `Sample`.
      target: size and encoding.

    Raises:
      JsslError: the image cannot be decoded.
    """
    image = plain_bytes(image)
    with to_picture(image) as picture:
        scale = target.size / min(picture.size)
        if scale >= 1 and isinstance(image, bytes) and _plain(image):
            return image
        if scale < 1:
            width, height = (max(target.size, round(side * scale)) for side in picture.size)
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        stream = io.BytesIO()
        picture.save(stream, target.encoding, quality=target.quality)
        return stream.getvalue()


def _plain(image: bytes) -> bool:
    """Whether any decoder gives the pixels that ours gave."""
    with Image.open(io.BytesIO(image)) as file:
        upright = file.getexif().get(ORIENTATION, 1) == 1
        return upright and file.format in ('JPEG', 'PNG') and file.mode in ('RGB', 'L')


def prepare(
    sources: Mapping[str, Source],
    out: Path | str,
    target: Target,
    *,
    described: Mapping[str, str] | None = None,
    threads: int = os.cpu_count() or 1,
    bad_samples: float = 0.01,
    shard: int = SHARD,
    report: Callable[[str], None] = print,
) -> Path:
    """Writes a data set, or what an interrupted call has left undone.

    It is built in ``<out>.incomplete`` and renamed at the end. Broken images are left out, and
    named in its files ``skipped-*.json``.

    Args:
      sources: of each split.
      out: ``<data_dir>/<name>`` of the data set.
      target: size and encoding of its images.
      described: where the splits come from, for the data set's description.
      threads: how many decode and encode at the same time; changes nothing in the files.
      bad_samples: which share of the images may be broken.
      shard: images in a file.
      report: is told when there is nothing to do.

    Returns:
      `out`.

    Raises:
      JsslError: a number is outside its range, TFDS could not read a split or data set of that
        name, the folder holds something else or what the sources held before they changed, is
        being written, cannot be written, or too many images are broken.
    """
    _check_numbers(target, threads, bad_samples, shard)
    _check_splits(sources)
    out = _named(out)
    splits = {split: len(source) for split, source in sources.items()}
    plan = {'splits': splits, DESCRIBED: dict(described or {}), 'shard': shard, **target._asdict()}
    listings = {split: Listing.of(source) for split, source in sources.items()}
    unfinished = out.with_name(f'{out.name}.incomplete')
    work = _Work(unfinished / records.VERSION, out.name, target, threads, bad_samples, shard)
    try:
        if out.exists():
            _check_plan(out, plan, listings)
            report(f'{out} is complete; there is nothing to do.')
            return out
        unfinished.mkdir(parents=True, exist_ok=True)
        lock = out.with_name(f'.{out.name}.lock')
        with locked(lock, unfinished, 'choose another --out', report=report):
            _begin(unfinished, plan, listings)
            work.write(sources, json.dumps(plan))
            os.rename(unfinished, out)
    except OSError as error:
        raise JsslError(
            f'the data set cannot be written to {unfinished}: {error.strerror or error}; choose '
            'another --out, or make room and give the same command again.'
        ) from error
    return out


def _check_splits(sources: Mapping[str, Source]) -> None:
    for split, source in sources.items():
        check_split(split)
        check_declared(source)


def _check_numbers(target: Target, threads: int, bad_samples: float, shard: int) -> None:
    check_value('size', target.size, Size)
    check_value('quality', target.quality, Quality)
    check_value('threads', threads, Threads)
    check_value('bad_samples', bad_samples, Fraction)
    check_value('shard', shard, Count)


def _named(out: Path | str) -> Path:
    """The folder of a data set, whose last part is its name.

    Raises:
      JsslError: TFDS would not take that name, or `TFDS` would read something else under it.
    """
    out = expanded(out)
    if not re.fullmatch('[a-z][a-z0-9_]*', out.name):
        raise JsslError(
            f'--out={out} ends in {out.name!r}, and TFDS wants names of lower-case letters, digits '
            'and underscores, beginning with a letter.'
        )
    if out.name in catalogue():
        raise JsslError(
            f'--out={out} ends in {out.name!r}, under which another data set is read (its own '
            f'configuration or version, or the embedded one); choose a name of your own, such as '
            f'--out={out.with_name(f"my_{out.name}")}.'
        )
    return out


def check_split(split: str) -> None:
    """Raises a `JsslError` for the name of a split that TFDS could not read again."""
    if split == ALL or not re.fullmatch('[A-Za-z][A-Za-z0-9_]*', split):
        why = 'that stands for all splits together' if split == ALL else 'it cannot read that'
        raise JsslError(
            f'a split of a TFDS data set cannot be called {split!r}: {why}. Name it otherwise, '
            'with letters and digits, as in --source=train=folder:PATH.'
        )


def _begin(unfinished: Path, plan: Mapping[str, Any], listings: Mapping[str, Listing]) -> None:
    """Writes down what is going to be done, or checks that it is what was begun."""
    for left in unfinished.rglob(f'*{PART}'):  # by a killed process: this one has the folder
        left.unlink()
    if {path.name for path in unfinished.iterdir()} - {LISTINGS}:
        _check_plan(unfinished, plan, listings)
        _check_known(unfinished, listings)
        return
    write_listings(unfinished, listings)
    data = {split: listing.identity for split, listing in listings.items()}
    words = json.dumps(dict(plan) | {'data': data}, indent=2) + '\n'
    replace_file(unfinished / PLAN, words.encode())


def _check_plan(folder: Path, plan: Mapping[str, Any], listings: Mapping[str, Listing]) -> None:
    """Raises a `JsslError` for a folder that was not made by the same command of the same images.

    Where they lie may change; a complete set of version 0.1.0 says no more than that.
    """
    try:
        read = json.loads((folder / PLAN).read_text(encoding='utf-8'))
        found = read if isinstance(read, dict) else {}
    except (OSError, ValueError):
        found = {}
    if 'data' in found:
        _check_sources(folder, found['data'], listings)
    decisive = [key for key in plan if not ('data' in found and key == DESCRIBED)]
    differ = [key for key in decisive if found.get(key) != plan[key]]
    if differ:
        was = ', '.join(f'{key}: {found.get(key)} → {plan[key]}' for key in differ)
        raise JsslError(
            f'{folder} holds another data set (there → asked for): {was}. Choose another --out, '
            'delete the folder, or give the command that made it.'
        )


def _check_known(unfinished: Path, listings: Mapping[str, Listing]) -> None:
    """Refuses to go on with images that may be others: version 0.1.0 did not note which."""
    found = json.loads((unfinished / PLAN).read_text(encoding='utf-8'))
    unknown = [split for split in listings if identity_in(found.get('data'), split) is None]
    if unknown:
        raise JsslError(
            f'{unfinished / PLAN} does not say of which images {unknown[0]} was begun, so that it '
            f'cannot go on; delete {unfinished} and give the same command again.'
        )


def _check_sources(
    folder: Path, stored: Mapping[str, Any], listings: Mapping[str, Listing]
) -> None:
    for split, listing in listings.items():
        before = identity_in(stored, split)
        if before is not None and not same(before, listing.identity):
            words = describe_change(folder, split, before, listing)
            raise JsslError(
                f'the source of {split} is not what {folder} was made of: {words}. Choose another '
                '--out, delete the folder, or put the files back.'
            )


@dataclasses.dataclass(frozen=True)
class _Work:
    """What it takes to write the shards of a data set."""

    folder: Path
    name: str
    target: Target
    threads: int
    bad_samples: float
    shard: int

    def write(self, sources: Mapping[str, Source], description: str) -> None:
        """Writes all that is missing, then the metadata that make it a data set."""
        from rich.progress import Progress

        written = Records(sources.values())
        self.folder.mkdir(exist_ok=True)
        paths: dict[str, list[Path]] = {}
        with Progress() as progress, ThreadPoolExecutor(self.threads) as pool:
            report = functools.partial(progress.console.print, markup=False, soft_wrap=True)
            for split, source in sources.items():
                task = progress.add_task(split, total=len(source))
                found = BadSamples(len(source), 1.0, report)
                for rows, path in self._shards(split, len(source)):
                    if path.exists():
                        self._count(found, _skipped(path))
                    else:
                        self._write_shard(path, source, rows, written, found, pool)
                    paths.setdefault(split, []).append(path)
                    progress.update(task, completed=rows.stop)
        records.write_metadata(self.folder, self.name, written, paths, description)

    def _shards(self, split: str, length: int) -> Iterator[tuple[range, Path]]:
        starts = range(0, length, self.shard)
        for number, start in enumerate(starts):
            path = self.folder / records.shard_name(self.name, split, number, len(starts))
            yield range(start, min(start + self.shard, length)), path

    def _write_shard(
        self,
        path: Path,
        source: Source,
        rows: range,
        written: Records,
        found: BadSamples,
        pool: ThreadPoolExecutor,
    ) -> None:
        """Writes the images of `rows`, and beside them what is wrong with those left out."""
        skipped: dict[int, str] = {}

        def good() -> Iterator[bytes]:
            shrunk = pool.map(functools.partial(self._shrunk, source), rows)
            for index, sample in zip(rows, shrunk, strict=True):
                if isinstance(sample, str):
                    skipped[index] = sample
                    self._count(found, {index: sample})
                else:
                    yield written.record(sample, index)
            if skipped:
                words = json.dumps(skipped, indent=2)  # in ASCII: a name may be no text
                replace_file(_skipped_path(path), f'{words}\n'.encode())

        records.write_shard(path, good())

    def _shrunk(self, source: Source, index: int) -> Sample | str:
        """Sample `index` at its new size, or what is wrong with it."""
        try:
            sample = checked_sample(source, index)
            shrunk: Any = {**sample, 'image': shrink(sample['image'], self.target)}
            return shrunk
        except MemoryError:
            raise
        except Exception as error:  # whatever a source of the user's own raises
            return f'{name_of(source, index)}: {in_words(error)}'

    def _count(self, found: BadSamples, skipped: Mapping[int, str]) -> None:
        for index, fault in skipped.items():
            found.record(index, fault)
            if found.count > self.bad_samples * found.length:
                raise JsslError(
                    f'{found.count} of {found.length} images cannot be read, more than '
                    f'--bad_samples={self.bad_samples} allows; repair them, or give the same '
                    f'command with a larger share. The last is {fault}'
                )


def _skipped_path(shard: Path) -> Path:
    return shard.with_name(f'skipped-{shard.name}.json')


def _skipped(shard: Path) -> dict[int, str]:
    """What was left out of a shard that is complete."""
    path = _skipped_path(shard)
    try:
        skipped = json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}
        return {int(index): fault for index, fault in skipped.items()}
    except (ValueError, AttributeError) as error:
        raise JsslError(
            f'{path} is damaged: {error}; delete it and {shard}, and give the same command again.'
        ) from None
