"""Sources: arrays, and TFDS data sets read from real ArrayRecord files."""

import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jssl.data.sources import TFDS, Arrays, has_labels
from jssl.errors import JsslError

LAZY = ('tensorflow_datasets', 'grain', 'sklearn', 'tensorflow')


class PicturesAndMasks(tfds.core.GeneratorBasedBuilder):
    """Two images per sample and no label, as a user's own builder might have."""

    VERSION = tfds.core.Version('2.1.0')
    url_infos = None

    def _info(self):
        image = {name: tfds.features.Image(encoding_format='png') for name in ('image', 'mask')}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(image))

    def _split_generators(self, dl_manager):
        return {'unlabelled': self._generate_examples()}

    def _generate_examples(self):
        for grey in range(5):
            yield grey, {'image': png(grey), 'mask': png(grey)}


class NumbersOnly(tfds.core.GeneratorBasedBuilder):
    """No image at all."""

    VERSION = tfds.core.Version('1.0.0')
    url_infos = None

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict({'number': np.int64})
        )

    def _split_generators(self, dl_manager):
        return {'train': [(0, {'number': 1})]}

    def _generate_examples(self):
        return iter(())


def png(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.new('RGB', (4, 4), (grey, grey, grey)).save(buffer, 'PNG')
    return buffer.getvalue()


@pytest.fixture
def own_dir(tmp_path) -> str:
    """A TFDS folder with the two data sets above."""
    for builder in (PicturesAndMasks, NumbersOnly):
        builder(data_dir=tmp_path, file_format='array_record').download_and_prepare()
    return str(tmp_path)


def test_importing_the_data_package_imports_no_data_library():
    code = f'import sys, jssl.data; print([name for name in {LAZY} if name in sys.modules])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_embedded_digits_are_encoded_images_with_labels(digits_dir):
    source = TFDS('embedded_digits', 'test', digits_dir)
    sample = source[len(source) - 1]
    assert Image.open(io.BytesIO(sample['image'])).size == (32, 32)
    assert type(sample['label']) is int
    assert 0 <= sample['label'] < 10
    assert source.num_classes == 10
    assert source.label_names == list('0123456789')
    assert has_labels(source)


def test_parts_of_splits(digits_dir):
    part, whole = (TFDS('embedded_digits', s, digits_dir) for s in ('train[10%:20%]', 'train'))
    assert len(part) == 600
    assert part[7] == whole[607]


def test_a_source_pickles_small_and_reads_the_same(digits_dir):
    source = TFDS('embedded_digits', 'train', digits_dir)
    pickled = pickle.dumps(source)
    assert len(pickled) < 1000
    assert pickle.loads(pickled)[5] == source[5]


def test_a_data_set_without_labels_and_with_more_images(own_dir):
    source = TFDS('pictures_and_masks', 'unlabelled', own_dir)
    assert not source.has_labels
    assert source.num_classes is None
    assert source.label_names is None
    assert sorted(source[i]['image'] for i in range(5)) == sorted(png(grey) for grey in range(5))
    assert source[0].keys() == {'image'}


def test_a_catalogue_name_comes_with_the_command_that_prepares_it(tmp_path):
    expected = (
        rf"'cifar10' is not prepared under {tmp_path}.*pip install tensorflow tensorflow-datasets "
        rf'&& tfds build cifar10 --file_format=array_record --data_dir={tmp_path} '
    )
    with pytest.raises(JsslError, match=expected):
        TFDS('cifar10', 'train', str(tmp_path))


def test_a_catalogue_set_whose_code_needs_more_packages_is_still_only_not_prepared(tmp_path):
    with pytest.raises(JsslError, match='tfds build qm9 '):
        TFDS('qm9', 'train', str(tmp_path))


@pytest.mark.parametrize('name', ['cifar1O', 'Cifar10/plain', 'cifar_10:1.0.0'])
def test_an_unknown_name_comes_with_the_nearest(tmp_path, name):
    with pytest.raises(JsslError, match=r"neither prepared under .* Did you mean .*'cifar10'"):
        TFDS(name, 'train', str(tmp_path))


@pytest.mark.parametrize('split', ['validation', 'train[:x]', 'train[:200%]', ''])
def test_an_unknown_split_comes_with_the_names_of_all(digits_dir, split):
    with pytest.raises(JsslError, match='its splits are test, train'):
        TFDS('embedded_digits', split, digits_dir)


def test_a_data_set_in_another_format_comes_with_the_command_that_converts_it(own_dir):
    info = Path(own_dir) / 'pictures_and_masks' / '2.1.0' / 'dataset_info.json'
    info.write_text(json.dumps(json.loads(info.read_text()) | {'fileFormat': 'tfrecord'}))
    expected = (
        'written as tfrecord.*tfds convert_format '
        f'--dataset_version_dir={info.parent} --out_file_format=array_record'
    )
    with pytest.raises(JsslError, match=expected):
        TFDS('pictures_and_masks', 'unlabelled', own_dir)


def test_a_data_set_without_images_is_refused(own_dir):
    with pytest.raises(
        JsslError, match=r"no image under the name 'image'; its features are number"
    ):
        TFDS('numbers_only', 'train', own_dir)


def test_arrays():
    images = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    source = Arrays(images, labels=np.array([2, 0, 1]))
    assert len(source) == 3
    assert source[1]['label'] == 0
    np.testing.assert_array_equal(source[1]['image'], images[1])
    assert source.num_classes == 3
    assert source.has_labels


def test_arrays_without_labels():
    source = Arrays([np.zeros((4, 4), np.uint8)])
    assert source[0].keys() == {'image'}
    assert source.num_classes is None
    assert not source.has_labels


def test_arrays_need_one_label_per_image():
    with pytest.raises(JsslError, match='1 images and 2 labels'):
        Arrays([np.zeros((4, 4), np.uint8)], labels=[1, 2])


def test_a_plain_list_is_a_source():
    assert has_labels([{'image': png(0), 'label': 1}])
    assert not has_labels([{'image': png(0)}])
