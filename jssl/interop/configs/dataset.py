"""The images that a config trains on, as a source of jssl."""

import os
from typing import Any

from jssl.errors import show
from jssl.interop.configs.notes import Fields
from jssl.interop.model_dicts import bare

IMAGENET = (*('ImageNet', 'DeepClusterImageNet', 'CustomDataset', 'ImageList', 'ImageNet21k'),)
TFDS = {'CIFAR10': 'cifar10', 'CIFAR100': 'cifar100'}
COUNTS = {'ImageNet': 1281167, 'DeepClusterImageNet': 1281167, 'CIFAR10': 50000, 'CIFAR100': 50000}
CANVAS = {'CIFAR10': 32, 'CIFAR100': 32}  # else 512: most images of ImageNet fit on that
Config = dict[str, Any]


def source(fields: Fields) -> tuple[Config, int | None, int]:
    """The source that a data set of the reference is.

    Args:
      fields: of the dataset of newer releases, or of the `data_source` of release 0.x.

    Returns:
      The section of a config, how many images it is known to have, and the side of the canvas.
    """
    name = bare(fields.take('type', ''))
    root, listed = fields.take('data_root', '') or '', fields.take('ann_file', '') or ''
    prefix, split = fields.take('data_prefix', ''), fields.take('split', '')
    fields.ignore('pipeline', 'test_mode', 'classes', 'metainfo', 'lazy_init', 'serialize_data')
    fields.ignore('_scope_', 'with_label', 'extensions', 'file_client_args', 'backend_args')
    if isinstance(prefix, dict):
        prefix = prefix.get('img_path', '')
    fields.finish()
    count, canvas = COUNTS.get(name), CANVAS.get(name, 512)
    if name in TFDS:
        return {'type': 'TFDS', 'name': TFDS[name], 'split': 'train'}, count, canvas
    if name not in IMAGENET:
        fields.miss('type', name, f'the data sets known are {", ".join((*IMAGENET, *TFDS))}')
    if not all(isinstance(part, str) for part in (root, listed, prefix, split)):
        fields.miss('data_root', show(root), 'paths are texts')
        return {'type': 'Folder', 'path': ''}, count, canvas
    folder = os.path.join(root, prefix or split)
    if listed:
        path = os.path.join(root, listed)
        return {'type': 'ImageList', 'path': path, 'root': folder}, count, canvas
    return {'type': 'Folder', 'path': folder}, count, canvas
