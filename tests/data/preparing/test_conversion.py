"""Images at another size: the pixels, the files, and what a source may give."""

import io
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jssl.data.preparing.conversion import Target, prepare, shrink
from jssl.data.sources import TFDS, Arrays, Folder, Sample
from tests.checks import refused
from tests.data.preparing.mini import NAME, PIXELS, TARGET, pixels, same_files


def encoded(picture: Image.Image, form: str = 'PNG', **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


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
