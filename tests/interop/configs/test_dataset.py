"""The data sets of the reference as sources of jssl."""

from pathlib import Path
from typing import Any

import pytest

from jssl.interop.configs.dataset import source
from jssl.interop.configs.notes import Fields, Notes
from jssl.interop.configs.reading import read_config


@pytest.mark.parametrize(
    ('text', 'expected', 'count', 'canvas'),
    [
        (
            "type='mmcls.ImageNet', data_root='d/', ann_file='meta/train.txt', "
            "data_prefix=dict(img_path='train/'), pipeline=[]",
            {'type': 'ImageList', 'path': 'd/meta/train.txt', 'root': 'd/train/'},
            1281167,
            512,
        ),
        (
            "type='ImageNet', data_root='d', split='train'",
            {'type': 'Folder', 'path': 'd/train'},
            1281167,
            512,
        ),
        (
            "type='ImageNet', data_prefix='d/train', ann_file='d/train.txt'",
            {'type': 'ImageList', 'path': 'd/train.txt', 'root': 'd/train'},
            1281167,
            512,
        ),
        ("type='CustomDataset', data_prefix='d'", {'type': 'Folder', 'path': 'd'}, None, 512),
        (
            "type='CIFAR10', data_prefix='d'",
            {'type': 'TFDS', 'name': 'cifar10', 'split': 'train'},
            50000,
            32,
        ),
    ],
)
def test_a_data_set_is_a_source(
    text: str, expected: dict[str, Any], count: int | None, canvas: int, tmp_path: Path
) -> None:
    (tmp_path / 'config.py').write_text(f'data = dict({text})')
    notes = Notes()
    fields = Fields(read_config(tmp_path / 'config.py'), notes, 'config').inner('data')
    assert source(fields) == (expected, count, canvas)
    assert not notes.missing


def test_others_are_noted(tmp_path: Path) -> None:
    (tmp_path / 'config.py').write_text("data = dict(type='VOC', data_root=3)")
    notes = Notes()
    source(Fields(read_config(tmp_path / 'config.py'), notes, 'config').inner('data'))
    assert [note.name for note in notes.missing] == ['config.data.type', 'config.data.data_root']
