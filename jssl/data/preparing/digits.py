"""The embedded data set: scikit-learn's handwritten digits, rendered once as a TFDS data set.

Importing this module imports tensorflow_datasets (not TensorFlow) and registers the builder.
"""

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from numpy.typing import NDArray
from PIL import Image

from jssl.data.sources.tfds_folder import tfds_folder
from jssl.errors import JsslError

SIZE = 32
COUNTS = {'train': 6000, 'test': 1000}
SEED = 0
NOISE = 0.05

DESCRIPTION = """The 1,797 handwritten digits that scikit-learn ships (8x8 pixels), split 80/20 and
rendered as 6,000 training and 1,000 test images: one digit each, 14 to 24 pixels, at a random
place, turned by up to 15 degrees, light grey on dark grey with 5 % noise. No digit of the test
images is seen in training."""

CITATION = """@misc{alpaydin1998optical,
  author = {Alpaydin, Ethem and Kaynak, Cenk},
  title = {Optical Recognition of Handwritten Digits},
  year = {1998},
  howpublished = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49}
}"""


class EmbeddedDigits(tfds.core.GeneratorBasedBuilder):
    """32x32 RGB images of one handwritten digit each; the label is the digit."""

    VERSION = tfds.core.Version('1.0.0')
    url_infos = None  # nothing is downloaded; TFDS's own look-up needs an undeclared package

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                'image': tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format='png'),
                'label': tfds.features.ClassLabel(num_classes=10),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description=DESCRIPTION,
            features=features,
            supervised_keys=('image', 'label'),
            homepage='https://archive.ics.uci.edu/dataset/80',
            citation=CITATION,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # scikit-learn ships the digits: there is nothing to download
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        from sklearn.datasets import load_digits

        digits, labels = load_digits(return_X_y=True)
        chosen = split_digits()[split]
        rng = np.random.default_rng([SEED, list(COUNTS).index(split)])
        for number in range(COUNTS[split]):
            digit = chosen[number % len(chosen)]
            pixels = render(digits[digit].reshape(8, 8) / 16, rng)
            yield number, {'image': _png(pixels), 'label': int(labels[digit])}


def split_digits() -> dict[str, NDArray[np.int64]]:
    """Which of scikit-learn's 1,797 digits each split renders: 80 % and 20 %, disjoint."""
    order = np.random.default_rng(SEED).permutation(1797)
    return {'train': order[:1437], 'test': order[1437:]}


def render(digit: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One image of one digit.

    Args:
      digit: (8, 8), ink between 0 and 1.
      rng: draws the digit's size, place, angle, both greys and the noise.

    Returns:
      uint8 (32, 32, 3).
    """
    side = int(rng.integers(14, 25))
    left, top = (int(x) for x in rng.integers(0, SIZE - side + 1, size=2))
    angle = rng.uniform(-15, 15)
    dark, light = rng.uniform(0, 0.4), rng.uniform(0.6, 1)
    ink = _place(digit, side, left, top, angle)
    grey = dark + (light - dark) * ink[..., None]
    noisy = grey + rng.normal(0, NOISE, (SIZE, SIZE, 3))
    return np.rint(255 * noisy.clip(0, 1)).astype(np.uint8)


def _place(
    digit: NDArray[np.floating], side: int, left: int, top: int, angle: float
) -> NDArray[np.float64]:
    """The digit enlarged to `side` pixels, put at (left, top) and turned about its own centre."""
    bilinear = Image.Resampling.BILINEAR
    enlarged = Image.fromarray(np.rint(255 * digit).astype(np.uint8)).resize((side, side), bilinear)
    ink = Image.new('L', (SIZE, SIZE))
    ink.paste(enlarged, (left, top))
    centre = (left + side / 2, top + side / 2)
    return np.asarray(ink.rotate(angle, bilinear, center=centre)) / 255


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """The pixels as a PNG file: TFDS would need TensorFlow to encode an array itself."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG')
    return buffer.getvalue()


def builder_folder(data_dir: str | None = None) -> Path:
    """Where the prepared data set is or will be: ``<data_dir>/embedded_digits/<version>``.

    Raises:
      JsslError: the folder is no local one.
    """
    root = tfds_folder(data_dir)
    if '://' in root:
        raise JsslError(
            f'embedded_digits is written to a local folder, and data_dir is {root!r}; set data_dir '
            'or the environment variable TFDS_DATA_DIR to a local folder.'
        )
    return Path(root) / EmbeddedDigits.name / str(EmbeddedDigits.VERSION)


def is_prepared(data_dir: str | None = None) -> bool:
    """Whether the data set is there; a folder gets its name only once it is complete."""
    return (builder_folder(data_dir) / 'dataset_info.json').is_file()


def prepare(data_dir: str | None = None) -> Path:
    """Writes the data set as ArrayRecord unless it is there; takes seconds.

    Any number of processes may do so at once, and any may be killed: each builds in a folder of its
    own on the same file system and renames the finished one into place. Who comes second takes the
    first one's.

    Args:
      data_dir: the TFDS folder; None for TFDS_DATA_DIR or ~/tensorflow_datasets.

    Returns:
      The folder that `tfds.builder_from_directory` reads.

    Raises:
      JsslError: the folder cannot be written, or holds something else under this name.
    """
    folder = builder_folder(data_dir)
    try:
        if folder.exists():
            return _complete(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix='preparing-', dir=folder.parent) as scratch:
            _build(scratch)
            _move(builder_folder(scratch), folder)
    except JsslError:
        raise
    except (OSError, ValueError) as error:  # a ValueError for a path that cannot be encoded
        reason = getattr(error, 'strerror', None) or error
        raise JsslError(
            f'embedded_digits cannot be written to {folder}: {reason}; set '
            'data_dir or the environment variable TFDS_DATA_DIR to a folder that you can write to.'
        ) from None
    return folder


def _build(data_dir: str) -> None:
    """Prepares into an empty folder, without the lines and bars that TFDS prints meanwhile."""
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        EmbeddedDigits(data_dir=data_dir, file_format='array_record').download_and_prepare()


def _move(finished: Path, folder: Path) -> None:
    """Renames `finished` to `folder`, unless another process has put its own there before."""
    try:
        os.rename(finished, folder)
    except OSError:
        if not folder.exists():
            raise
        _complete(folder)


def _complete(folder: Path) -> Path:
    """The folder, if it came into being by a rename of ours: then it is all there."""
    if not (folder / 'dataset_info.json').is_file():
        raise JsslError(
            f'{folder} exists but holds no complete data set; delete it and start again.'
        )
    return folder
