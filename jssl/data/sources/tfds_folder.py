"""Where the data sets of TensorFlow Datasets lie."""

import os


def tfds_folder(data_dir: str | None) -> str:
    """The given TFDS folder, or the one that TFDS itself would take."""
    default = os.path.join('~', 'tensorflow_datasets')
    return os.path.expanduser(data_dir or os.environ.get('TFDS_DATA_DIR') or default)
