"""Images at another size: the pixels, the files, and what an interruption leaves."""

import filecmp
import io
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jssl.data.preparing import records
from jssl.data.preparing.conversion import Target, prepare, shrink
from jssl.data.sources import TFDS, Arrays, Folder, Sample
from jssl.lock import locked
from tests.checks import refused

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 60, 3), np.uint8)
TARGET = Target(size=16, encoding='png')
NAME = 'mini'
SLOW = """
import sys, time
from jssl.data.preparing.conversion import Target, prepare
from jssl.data.sources import Folder
class Slow(Folder):
    def __getitem__(self, index):
        time.sleep(0.02)
        return super().__getitem__(index)
folder, out = sys.argv[1:]
prepare({'train': Slow(folder)}, out, Target(16, 'png'), bad_samples=0.2, shard=5, threads=2)
"""


def encoded(picture: Image.Image, form: str = 'PNG', **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes, 23 images of several sizes and kinds, and two that are broken."""
    root = tmp_path_factory.mktemp('images')
    for number in range(23):
        path = root / 'ab'[number % 2] / f'{number:02}.{"jpg" if number % 3 else "png"}'
        path.parent.mkdir(exist_ok=True)
        height, width = RNG.integers(10, 60, 2)
        Image.fromarray(RNG.integers(0, 256, (height, width, 3), np.uint8)).save(path)
    (root / 'a' / '03.jpg').write_bytes(b'')
    (root / 'b' / '99.png').write_bytes(b'no image')
    return root


def same_files(one: Path, other: Path) -> bool:
    names = [sorted(str(p.relative_to(root)) for p in root.rglob('*')) for root in (one, other)]
    files = [name for name in names[0] if (one / name).is_file()]
    assert names[0] == names[1]
    return filecmp.cmpfiles(one, other, files, shallow=False)[0] == files


def test_the_short_side_gets_the_size_by_pillows_bicubic() -> None:
    found = shrink(encoded(Image.fromarray(PIXELS)), TARGET)
    expected = Image.fromarray(PIXELS).resize((24, 16), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(pixels(found), np.asarray(expected))


def test_an_array_and_a_turned_image_are_upright_files() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(Image.fromarray(PIXELS), 'JPEG', exif=exif)
    assert pixels(shrink(turned, TARGET)).shape == (24, 16, 3)
    assert pixels(shrink(turned, Target(64))).shape == (60, 40, 3)
    assert pixels(shrink(PIXELS, Target(64, 'png'))).tolist() == PIXELS.tolist()


@pytest.mark.parametrize('form', ['PNG', 'JPEG'])
@pytest.mark.parametrize('mode', ['RGB', 'L'])
def test_what_is_small_enough_stays_as_it_is(form: str, mode: str) -> None:
    data = encoded(Image.fromarray(PIXELS).convert(mode), form)
    assert shrink(data, Target(40)) is data


@pytest.mark.parametrize(('form', 'mode'), [('BMP', 'RGB'), ('PNG', 'P'), ('JPEG', 'CMYK')])
def test_what_decoders_see_differently_is_written_anew(form: str, mode: str) -> None:
    data = encoded(Image.fromarray(PIXELS).convert(mode), form)
    with Image.open(io.BytesIO(shrink(data, Target(64)))) as file:
        assert (file.format, file.mode, file.size) == ('JPEG', 'RGB', (60, 40))


def test_the_quality_is_that_of_the_jpeg() -> None:
    sizes = [len(shrink(PIXELS, Target(40, quality=quality))) for quality in (10, 95)]
    assert sizes[0] < sizes[1] / 2


def test_a_folder_becomes_a_tfds_data_set(folder: Path, tmp_path: Path) -> None:
    source = Folder(str(folder))
    out = prepare({'train': source}, tmp_path / NAME, TARGET, bad_samples=0.2, shard=5)
    written = TFDS(NAME, 'train', str(tmp_path))
    good = [
        row for row in range(len(source)) if source.name_of(row) not in ('a/03.jpg', 'b/99.png')
    ]
    assert len(written) == len(good) == 23
    assert written.label_names == ['a', 'b']
    for row, original in enumerate(good):
        sample = source[original]
        assert written[row] == {**sample, 'image': shrink(sample['image'], TARGET)}
    skipped = [json.loads(path.read_text()) for path in sorted(out.rglob('skipped-*.json'))]
    assert [list(part) for part in skipped] == [['2'], ['24']]
    assert "('a/03.jpg')" in skipped[0]['2']
    assert len(TFDS(NAME, 'train[:4]', str(tmp_path))) == 4


def test_multi_view_splits_and_no_labels(tmp_path: Path) -> None:
    sources = {'train': Arrays([PIXELS] * 3), 'unlabelled': Arrays([PIXELS])}
    prepare(sources, tmp_path / NAME, TARGET)
    for split, length in (('train', 3), ('unlabelled', 1)):
        written = TFDS(NAME, split, str(tmp_path))
        assert len(written) == length
        assert written[0].keys() == {'image'}


def test_labels_without_names(tmp_path: Path) -> None:
    sources = {split: Arrays([PIXELS], labels=[top]) for split, top in (('train', 3), ('test', 5))}
    prepare(sources, tmp_path / NAME, TARGET)
    assert TFDS(NAME, 'train', str(tmp_path)).num_classes == 6
    assert TFDS(NAME, 'test', str(tmp_path))[0]['label'] == 5


def test_a_shard_of_broken_images_alone(tmp_path: Path) -> None:
    source: list[Sample] = [{'image': image} for image in (PIXELS, PIXELS, b'')]
    prepare({'train': source}, tmp_path / NAME, TARGET, bad_samples=0.5, shard=2)
    written = TFDS(NAME, 'train', str(tmp_path))
    assert len(written) == 2
    assert written[1] == written[0]


def test_threads_change_nothing(folder: Path, tmp_path: Path) -> None:
    for threads in (1, 4):
        out = tmp_path / str(threads) / NAME
        prepare(
            {'train': Folder(str(folder))}, out, TARGET, bad_samples=0.2, shard=5, threads=threads
        )
    assert same_files(tmp_path / '1', tmp_path / '4')


def test_killed_at_any_time_it_continues_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / 'whole' / NAME, tmp_path / 'killed' / NAME
    command = [sys.executable, '-c', SLOW, str(folder)]
    process = subprocess.Popen([*command, str(killed)], stdout=subprocess.DEVNULL)
    unfinished = killed.with_name(f'{NAME}.incomplete')
    while len(list(unfinished.rglob('*of-00005'))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with refused(f"'{NAME}' is not complete", 'Give the same jssl prepare'):
        TFDS(NAME, 'train', str(killed.parent))
    done = {path: path.stat().st_mtime_ns for path in unfinished.rglob('*of-00005')}
    for out in (killed, whole):
        prepare({'train': Folder(str(folder))}, out, TARGET, bad_samples=0.2, shard=5, threads=2)
    assert not unfinished.exists()
    assert same_files(whole, killed)
    for path, written in done.items():
        assert (killed / path.relative_to(unfinished)).stat().st_mtime_ns == written


def test_too_many_broken_images_end_it_and_a_larger_share_continues(
    folder: Path, tmp_path: Path
) -> None:
    source = {'train': Folder(str(folder))}
    with refused('1 of 25 images cannot be read', '--bad_samples=0.01', 'a/03.jpg'):
        prepare(source, tmp_path / NAME, TARGET)
    with refused('2 of 25 images cannot be read', '--bad_samples=0.05', 'b/99.png'):
        prepare(source, tmp_path / NAME, TARGET, bad_samples=0.05)
    prepare(source, tmp_path / NAME, TARGET, bad_samples=0.1)
    assert len(TFDS(NAME, 'train', str(tmp_path))) == 23


def test_another_command_for_the_same_folder_is_refused(tmp_path: Path) -> None:
    out = prepare({'train': Arrays([PIXELS])}, tmp_path / NAME, TARGET)
    assert prepare({'train': Arrays([PIXELS])}, out, TARGET) == out  # nothing left to do
    with refused('holds another data set', 'size: 16 → 8', 'another --out'):
        prepare({'train': Arrays([PIXELS])}, out, Target(8, 'png'))
    (tmp_path / 'early.incomplete').mkdir()
    (tmp_path / 'early.incomplete' / 'prepare.json.part').touch()  # killed at the very beginning
    prepare({'train': Arrays([PIXELS])}, tmp_path / 'early', TARGET)
    (tmp_path / 'other.incomplete').mkdir()
    (tmp_path / 'other.incomplete' / 'notes.txt').touch()
    for content in (None, '[]', '{"data": []}', '"x"', '{'):
        if content is not None:
            (tmp_path / 'other.incomplete' / 'prepare.json').write_text(content)
        with refused('other.incomplete holds another data set'):
            prepare({'train': Arrays([PIXELS])}, tmp_path / 'other', TARGET)


def test_a_preparation_that_does_not_say_of_which_images_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = {'train': Arrays([PIXELS])}, tmp_path / NAME

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(records, 'write_metadata', fail)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, out, TARGET)
    plan = tmp_path / f'{NAME}.incomplete' / 'prepare.json'
    whole = plan.read_text()
    old = json.loads(whole)
    del old['data']  # as version 0.1.0 wrote it
    plan.write_text(json.dumps(old))
    with refused('does not say of which images train was begun', f'delete {plan.parent}'):
        prepare(source, out, TARGET)
    plan.write_text(whole)
    prepare(source, out, TARGET)
    (out / 'prepare.json').write_text(json.dumps(old))
    prepare(source, out, TARGET)  # it is complete: there is nothing to mix


def values(out: Path) -> list[int]:
    """The grey of every image of a prepared set."""
    source = TFDS(out.name, 'train', str(out.parent))
    images: list[Any] = [source[row]['image'] for row in range(len(source))]
    return sorted(int(pixels(image)[0, 0, 0]) for image in images)


@pytest.fixture
def greys(tmp_path: Path) -> Path:
    """Ten images, each of one grey."""
    folder = tmp_path / 'greys'
    folder.mkdir()
    for number in range(10):
        Image.new('RGB', (16, 16), (number,) * 3).save(folder / f'{number}.png')
        os.utime(folder / f'{number}.png', (1e9, 1e9))
    return folder


def test_a_complete_set_of_images_that_were_replaced_is_refused(
    greys: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    out = prepare({'train': Folder(str(greys))}, tmp_path / NAME, TARGET, report=said.append)
    assert said == []
    moved = greys.rename(tmp_path / 'elsewhere')  # where they lie decides nothing
    again = {'train': Folder(str(moved))}
    prepare(again, out, TARGET, described={'train': 'there'}, report=said.append)
    assert said == [f'{out} is complete; there is nothing to do.']
    for number in range(10):
        Image.new('RGB', (16, 16), (200,) * 3).save(moved / f'{number}.png')
    with refused(
        f'the source of train is not what {out} was made of',
        "10 of another size, time or checksum, such as '0.png'",
        'another --out, delete the folder',
    ):
        prepare(again, out, TARGET)
    assert values(out) == list(range(10))


def test_a_preparation_goes_on_with_the_same_images_alone(
    greys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write = tmp_path / NAME, records.write_shard

    def once(path: Path, shard: Any) -> None:
        write(path, shard)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(records, 'write_shard', once)
        with pytest.raises(KeyboardInterrupt):
            prepare({'train': Folder(str(greys))}, out, TARGET, shard=5)
    (greys / '9.png').rename(greys / '00.png')  # it would be first, and all others one later
    with refused("1 gone, such as '9.png'; 1 new, such as '00.png'"):
        prepare({'train': Folder(str(greys))}, out, TARGET, shard=5)
    (greys / '00.png').rename(greys / '9.png')
    prepare({'train': Folder(str(greys))}, out, TARGET, shard=5)
    assert values(out) == list(range(10))


def test_other_arrays_are_another_data_set(tmp_path: Path) -> None:
    out = prepare({'train': Arrays([PIXELS] * 3)}, tmp_path / NAME, TARGET)
    with refused('the source of train is not what', '3 samples then, 2 now'):
        prepare({'train': Arrays([PIXELS] * 2)}, out, TARGET)
    with refused("2 new, such as 'image 0 (checksum"):
        prepare(
            {'train': Arrays([PIXELS ^ np.uint8(1), PIXELS ^ np.uint8(2), PIXELS])}, out, TARGET
        )


class Own:
    """A source of a user's own: what it holds is given, or raised."""

    num_classes = 2

    def __init__(self, *samples: Any) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        sample = self.samples[index]
        if isinstance(sample, Exception):
            raise sample
        return sample

    def name_of(self, index: int) -> str:
        return os.fsdecode(b'\xff%d' % index)  # as a file's name may be: no text


def labelled(label: object = 1) -> dict[str, object]:
    return {'image': PIXELS, 'label': label}


def test_whatever_a_source_raises_is_left_out_and_named(tmp_path: Path) -> None:
    errors = [KeyError('k'), EOFError(), zlib.error('z'), TypeError('t')]
    source = Own(errors[0], labelled(0), *errors[1:], labelled(), (PIXELS, 1))
    out = prepare({'train': source}, tmp_path / NAME, TARGET, bad_samples=1.0)
    assert len(TFDS(NAME, 'train', str(tmp_path))) == 2
    (path,) = out.rglob('skipped-*.json')
    found = json.loads(path.read_text())
    assert list(found) == ['0', '2', '3', '4', '6']
    assert "KeyError: 'k' (test_conversion.py, line " in found['0']
    assert "give a dict with the key 'image'" in found['6']
    with refused('1 of 7 images cannot be read', '--bad_samples=0.1', 'KeyError'):
        prepare({'train': source}, tmp_path / 'fewer', TARGET, bad_samples=0.1)


@pytest.mark.parametrize('label', [None, 2, -1, 'cat', 0.5])
def test_a_sample_without_a_label_of_its_own_ends_it(
    label: str | float | None, tmp_path: Path
) -> None:
    source = Own(labelled(0), {'image': PIXELS} if label is None else labelled(label))
    with refused('sample 1 of the data set has'):
        prepare({'train': source}, tmp_path / NAME, TARGET)


@pytest.mark.parametrize('content', ['', '{"2": ', '[]', '{"two": ""}'])
def test_damaged_notes_of_what_was_left_out_are_refused(
    content: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, unfinished = tmp_path / NAME, tmp_path / f'{NAME}.incomplete'

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(records, 'write_metadata', fail)
        with pytest.raises(KeyboardInterrupt):
            prepare({'train': Folder(str(folder))}, out, TARGET, bad_samples=0.2, shard=5)
    path = next(unfinished.rglob('skipped-*.json'))
    path.write_text(content)
    with refused(f'{path} is damaged', 'delete it and', 'the same command again'):
        prepare({'train': Folder(str(folder))}, out, TARGET, bad_samples=0.2, shard=5)
    shard = path.with_name(path.name.removeprefix('skipped-').removesuffix('.json'))
    path.unlink()
    shard.write_bytes(b'')
    with refused(f'{shard} is damaged', 'delete it and give the same command again'):
        prepare({'train': Folder(str(folder))}, out, TARGET, bad_samples=0.2, shard=5)
    shard.unlink()
    prepare({'train': Folder(str(folder))}, out, TARGET, bad_samples=0.2, shard=5)
    assert len(TFDS(NAME, 'train', str(tmp_path))) == 23


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    unfinished = tmp_path / f'{NAME}.incomplete'
    unfinished.mkdir()
    lock = tmp_path / f'.{NAME}.lock'
    with (
        locked(lock, unfinished, ''),
        refused(f'{unfinished} is in use by process {os.getpid()} on ', 'another --out'),
    ):
        prepare({'train': Arrays([PIXELS])}, tmp_path / NAME, TARGET)
    prepare({'train': Arrays([PIXELS])}, tmp_path / NAME, TARGET)
    assert not lock.exists()


def test_splits_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    sources = {'train': Arrays([PIXELS], labels=[0]), 'test': Arrays([PIXELS])}
    with refused('the splits do not go together', 'one by one'):
        prepare(sources, tmp_path / NAME, TARGET)


def test_a_source_that_does_not_know_its_classes_is_refused(tmp_path: Path) -> None:
    with refused('does not say how many classes', 'num_classes'):
        prepare({'train': [{'image': PIXELS, 'label': 0}]}, tmp_path / NAME, TARGET)


def test_a_name_that_tfds_does_not_take_is_refused(tmp_path: Path) -> None:
    with refused("ends in 'Image-Net'", 'lower-case'):
        prepare({'train': Arrays([PIXELS])}, tmp_path / 'Image-Net', TARGET)


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    with refused('cannot be written', 'another --out'):
        prepare({'train': Arrays([PIXELS])}, tmp_path / 'file' / NAME, TARGET)
