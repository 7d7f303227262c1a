"""TFDS data sets, read from real ArrayRecord files."""

import importlib
import io
import json
import pickle
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jssl.data.sources import TFDS, has_labels
from jssl.errors import JsslError
from tests.checks import refused


class PicturesAndMasks(tfds.core.GeneratorBasedBuilder):
    """Two images per sample and no label, as a user's own builder might have."""

    VERSION = tfds.core.Version('2.1.0')
    url_infos = None

    def _info(self) -> tfds.core.DatasetInfo:
        image = {name: tfds.features.Image(encoding_format='png') for name in ('image', 'mask')}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(image))

    def _split_generators(self, dl_manager: object) -> dict[str, Any]:
        return {'unlabelled': self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for grey in range(5):
            yield grey, {'image': png(grey), 'mask': png(grey)}


class NumbersOnly(tfds.core.GeneratorBasedBuilder):
    """No image at all."""

    VERSION = tfds.core.Version('1.0.0')
    url_infos = None

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict({'number': np.int64})
        )

    def _split_generators(self, dl_manager: object) -> dict[str, Any]:
        return {'train': [(0, {'number': 1})]}

    def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
        return iter(())


class Scenes(tfds.core.GeneratorBasedBuilder):
    """Several labels per image, as VOC07 has, one class of another name, and samples without."""

    VERSION = tfds.core.Version('1.2.0')
    url_infos = None

    def _info(self) -> tfds.core.DatasetInfo:
        names = ['cat', 'dog', 'emu']
        features = {
            'image': tfds.features.Image(encoding_format='png'),
            'labels': tfds.features.Sequence(tfds.features.ClassLabel(names=names)),
            'objects': tfds.features.Sequence(
                {'bbox': tfds.features.BBoxFeature(), 'kind': tfds.features.ClassLabel(names=names)}
            ),
            'place': tfds.features.ClassLabel(names=['indoors', 'outdoors']),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: object) -> dict[str, Any]:
        return {
            'train': self._generate_examples(True),
            'unlabelled': self._generate_examples(False),
        }

    def _generate_examples(self, labelled: bool = True) -> Iterator[tuple[int, dict[str, Any]]]:
        for grey in range(4):
            box = {'bbox': tfds.features.BBox(0.0, 0.1, 0.5, 1.0), 'kind': 'dog'}
            place = 'outdoors' if labelled else -1
            sample = {'labels': ['dog', 'emu'], 'objects': [box] * grey, 'place': place}
            yield grey, sample | {'image': png(grey)}


def png(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.new('RGB', (4, 4), (grey, grey, grey)).save(buffer, 'PNG')
    return buffer.getvalue()


@pytest.fixture(scope='module')
def own_sets(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A TFDS folder with the three data sets above."""
    folder = tmp_path_factory.mktemp('own')
    for builder in (PicturesAndMasks, NumbersOnly, Scenes):
        builder(data_dir=folder, file_format='array_record').download_and_prepare()
    return str(folder)


@pytest.fixture
def own_dir(own_sets: str, tmp_path: Path) -> str:
    """A copy of it that a test may change."""
    return str(shutil.copytree(own_sets, tmp_path / 'own'))


def test_embedded_digits_are_encoded_images_with_labels(digits_dir: str) -> None:
    source = TFDS('embedded_digits', 'test', digits_dir)
    sample = source[len(source) - 1]
    assert Image.open(io.BytesIO(bytes(sample['image']))).size == (32, 32)
    assert type(sample['label']) is int
    assert 0 <= sample['label'] < 10
    assert source.num_classes == 10
    assert source.label_names == list('0123456789')
    assert has_labels(source)


def test_a_joined_split_without_images_does_not_matter(digits_dir: str) -> None:
    assert TFDS('embedded_digits', 'test[:3]+train[9:9]', digits_dir).has_labels


def test_parts_of_splits(digits_dir: str) -> None:
    part, whole = (TFDS('embedded_digits', s, digits_dir) for s in ('train[10%:20%]', 'train'))
    assert len(part) == 600
    assert part[7] == whole[607]


def test_a_source_pickles_small_and_reads_the_same(digits_dir: str) -> None:
    source = TFDS('embedded_digits', 'train', digits_dir)
    pickled = pickle.dumps(source)
    assert len(pickled) < 1000
    assert pickle.loads(pickled)[5] == source[5]


def test_a_data_set_without_labels_and_with_more_images(own_sets: str) -> None:
    source = TFDS('pictures_and_masks', 'unlabelled', own_sets)
    assert not source.has_labels
    assert source.num_classes is None
    assert source.label_names is None
    assert sorted(source[i]['image'] for i in range(5)) == sorted(png(grey) for grey in range(5))
    assert source[0].keys() == {'image'}


def test_a_version_can_be_named(own_sets: str) -> None:
    assert len(TFDS('pictures_and_masks:2.1.0', 'unlabelled', own_sets)) == 5
    with refused("in that version or configuration; give the name 'pictures_and_masks:2.1.0'."):
        TFDS('pictures_and_masks:9.0.0', 'unlabelled', own_sets)


def test_the_image_can_have_any_name(own_sets: str) -> None:
    source = TFDS('pictures_and_masks', 'unlabelled', own_sets, image='mask')
    assert source[0].keys() == {'image'}
    with pytest.raises(JsslError, match=r"under the name 'masc'.*Did you mean 'mask'"):
        TFDS('pictures_and_masks', 'unlabelled', own_sets, image='masc')


def test_multi_view_labels_per_image_count_as_none(own_sets: str) -> None:
    source = TFDS('scenes', 'train', own_sets)
    assert not source.has_labels
    assert sorted(source[i]['image'] for i in range(4)) == sorted(png(grey) for grey in range(4))


def test_the_class_can_have_any_name(own_sets: str) -> None:
    source = pickle.loads(pickle.dumps(TFDS('scenes', 'train[:2]', own_sets, label='place')))
    assert (source[1]['label'], source.num_classes) == (1, 2)
    assert source.label_names == ['indoors', 'outdoors']
    assert source.name_of(1) == 'scenes train[:2] 1'
    with pytest.raises(JsslError, match=r"no class under the name 'labels'.*Valid names: place"):
        TFDS('scenes', 'train', own_sets, label='labels')
    with pytest.raises(JsslError, match='It has no classes; leave label out'):
        TFDS('pictures_and_masks', 'unlabelled', own_sets, label='kind')


@pytest.mark.parametrize(
    'split',
    ['unlabelled', 'train+unlabelled', 'unlabelled+train[:1]', 'train + unlabelled[:1]+train[1:]'],
)
def test_samples_whose_class_is_unknown_have_no_labels(own_sets: str, split: str) -> None:
    source = TFDS('scenes', split, own_sets, label='place')
    assert not source.has_labels
    assert source.num_classes is None
    assert source[0].keys() == source[len(source) - 1].keys() == {'image'}


def test_labels_can_be_left_out(own_sets: str) -> None:
    source = pickle.loads(pickle.dumps(TFDS('scenes', 'train', own_sets, label=None)))
    assert not source.has_labels
    assert (source.num_classes, source.label_names) == (None, None)
    assert source[0].keys() == {'image'}


def test_a_catalogue_name_comes_with_the_command_that_prepares_it(tmp_path: Path) -> None:
    expected = (
        rf"'cifar10' is not prepared under {tmp_path}.*pip install tensorflow tensorflow-datasets "
        rf'&& tfds build cifar10 --file_format=array_record --data_dir={tmp_path} '
    )
    with pytest.raises(JsslError, match=expected):
        TFDS('cifar10', 'train', str(tmp_path))


def test_a_catalogue_set_whose_code_needs_more_packages_is_still_only_not_prepared(
    tmp_path: Path,
) -> None:
    with pytest.raises(JsslError, match='tfds build qm9 '):
        TFDS('qm9', 'train', str(tmp_path))


@pytest.mark.parametrize('name', ['cifar1O', 'Cifar10/plain', 'cifar_10:1.0.0'])
def test_an_unknown_name_comes_with_the_nearest(tmp_path: Path, name: str) -> None:
    with pytest.raises(JsslError, match=r"neither prepared under .* Did you mean .*'cifar10'"):
        TFDS(name, 'train', str(tmp_path))


@pytest.mark.parametrize('split', ['validation', 'train[:x]', 'train+valid', 'all[:5%]', ''])
def test_an_unknown_split_comes_with_the_names_of_all(digits_dir: str, split: str) -> None:
    there = 'its splits are test (1,000 images), train (6,000 images), and'
    with refused('cannot be read', there):
        TFDS('embedded_digits', split, digits_dir)


@pytest.mark.parametrize(
    'split',
    [
        *('train[:200%]', 'train[:0]', 'train[5000:6001]'),
        *('train[10%:5%]', 'train[-5:-10]', 'train[10:5]+test', 'test+train[10%:5%]'),
    ],
)
def test_an_empty_split_or_one_that_goes_too_far_comes_with_the_numbers(
    digits_dir: str, split: str
) -> None:
    with refused('has no images, or a part of it', 'ends before it begins', 'train (6,000'):
        TFDS('embedded_digits', split, digits_dir)


@pytest.mark.parametrize('inside', ['pictures_and_masks', 'pictures_and_masks/2.1.0'])
def test_a_folder_that_is_levels_too_deep_comes_with_the_right_one(
    own_sets: str, inside: str
) -> None:
    with refused(f'is not prepared under {own_sets}/{inside}, but under', f'data_dir={own_sets!r}'):
        TFDS('pictures_and_masks', 'unlabelled', f'{own_sets}/{inside}')


def test_a_folder_that_is_a_level_too_high_comes_with_the_right_one(own_sets: str) -> None:
    with refused(f'data_dir={own_sets!r}.'):
        TFDS('pictures_and_masks:2.1.0', 'unlabelled', str(Path(own_sets).parent))


def test_another_spelling_comes_with_the_name_that_is_there(own_sets: str) -> None:
    with refused("'Pictures_And_Masks' is not prepared under", "but 'pictures_and_masks' is;"):
        TFDS('Pictures_And_Masks', 'unlabelled', own_sets)


def test_a_data_set_in_another_format_comes_with_the_command_that_converts_it(own_dir: str) -> None:
    info = Path(own_dir) / 'pictures_and_masks' / '2.1.0' / 'dataset_info.json'
    info.write_text(json.dumps(json.loads(info.read_text()) | {'fileFormat': 'tfrecord'}))
    expected = (
        'written as tfrecord.*tfds convert_format '
        f'--dataset_version_dir={info.parent} --out_file_format=array_record'
    )
    with pytest.raises(JsslError, match=expected):
        TFDS('pictures_and_masks', 'unlabelled', own_dir)


def test_a_data_set_without_images_is_refused(own_sets: str) -> None:
    with pytest.raises(
        JsslError, match=r"no image under the name 'image'; its features are number"
    ):
        TFDS('numbers_only', 'train', own_sets)


HOSTILE = 'trap_features.Feature'


@pytest.fixture
def described(digits_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A prepared data set's features.json, beside a module that leaves a mark when imported."""
    shutil.copytree(Path(digits_dir) / 'embedded_digits', tmp_path / 'digits')
    (tmp_path / 'trap_features.py').write_text('open("mark", "w").close()\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return next((tmp_path / 'digits').rglob('features.json'))


@pytest.mark.parametrize(
    'feature',
    [
        {'pythonClassName': HOSTILE},
        {'python_class_name': HOSTILE},
        {'type': HOSTILE, 'content': {}},
        {
            'type': 'tensorflow_datasets.core.features.features_dict.FeaturesDict',
            'content': {'inner': {'type': HOSTILE, 'content': {}}},
        },
        {
            'pythonClassName': 'tensorflow_datasets.core.features.sequence_feature.Sequence',
            'jsonFeature': {
                'json': json.dumps({'feature': {'type': HOSTILE, 'content': {}}, 'length': 1})
            },
        },
    ],
)
def test_a_data_set_s_files_have_nothing_imported(described: Path, feature: dict[str, Any]) -> None:
    content = json.loads(described.read_text())
    content['featuresDict']['features']['image'] = feature
    described.write_text(json.dumps(content))
    with refused(f"names '{HOSTILE}' as a feature", 'add import trap_features'):
        TFDS('digits', 'train', data_dir='.')
    assert not Path('mark').exists()
    assert 'trap_features' not in sys.modules


def test_a_feature_of_the_user_s_own_is_taken_once_it_is_imported(described: Path) -> None:
    Path('trap_features.py').write_text(
        'import tensorflow_datasets as tfds\nclass Feature(tfds.features.Image): pass\n'
    )
    content = json.loads(described.read_text())
    content['featuresDict']['features']['image']['pythonClassName'] = HOSTILE
    described.write_text(json.dumps(content))
    importlib.import_module('trap_features')
    try:
        pickled = pickle.dumps(TFDS('digits', 'train', data_dir='.'))
        del sys.modules['trap_features']  # as in a process that reads beside this one
        assert len(pickle.loads(pickled)) == 6000
    finally:
        sys.modules.pop('trap_features', None)


@pytest.mark.parametrize('text', ['', '{', '[' * 10_000, '3', '[]'])
def test_damaged_features_are_refused(described: Path, text: str) -> None:
    described.write_text(text)
    with refused('features.json cannot be read'):
        TFDS('digits', 'train', data_dir='.')
