"""Data sources: what the loader reads samples from by number, encoded or as arrays."""

import dataclasses
import difflib
import functools
import os
import shlex
from collections.abc import Sequence
from typing import Any, NotRequired, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from jssl.errors import JsslError

DIGITS = 'embedded_digits'


class Sample(TypedDict):
    """An image, encoded (JPEG, PNG, …) or uint8 (H, W) or (H, W, C), and its label if any."""

    image: bytes | NDArray[np.uint8]
    label: NotRequired[int]


class Source(Protocol):
    """Anything with a length and samples by number. Reading must be safe from several threads."""

    def __len__(self) -> int:
        """The number of samples."""

    def __getitem__(self, index: int, /) -> Sample:
        """Sample `index`, counted from 0."""


def has_labels(source: Source) -> bool:
    """Whether the samples have labels; a source that does not say so is judged by its first one."""
    known = getattr(source, 'has_labels', None)
    return 'label' in source[0] if known is None else bool(known)


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """Images that are in memory already.

    Attributes:
      images: uint8 arrays (H, W) or (H, W, C), of one or of several sizes.
      labels: one whole number per image, or None.
    """

    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8] = dataclasses.field(repr=False)
    labels: Sequence[int] | NDArray[np.integer] | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != len(self.images):
            raise JsslError(
                f'Arrays has {len(self.images)} images and {len(self.labels)} labels; '
                'give one label per image, or labels=None.'
            )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int, /) -> Sample:
        if self.labels is None:
            return {'image': self.images[index]}
        return {'image': self.images[index], 'label': int(self.labels[index])}

    @property
    def has_labels(self) -> bool:
        """Whether labels were given."""
        return self.labels is not None

    @property
    def num_classes(self) -> int | None:
        """One more than the largest label; None without labels."""
        return None if self.labels is None else int(np.max(self.labels)) + 1

    @property
    def label_names(self) -> list[str] | None:
        """Arrays know no names."""
        return None


@dataclasses.dataclass(frozen=True)
class TFDS:
    """A split of a TensorFlow Datasets data set, read from ArrayRecord files without TensorFlow.

    The embedded data set is prepared on first use. Every other one is read from the files that
    TFDS, or a builder of your own, has prepared.

    Attributes:
      name: such as ``'cifar10'``, ``'imagenet_resized/32x32'`` or ``'cifar10:3.0.2'``.
      split: such as ``'train'`` or ``'train[:10%]'`` (TFDS's syntax).
      data_dir: the TFDS folder; None for TFDS_DATA_DIR or ~/tensorflow_datasets.

    Raises:
      JsslError: not prepared (with the command that prepares it), prepared in another file format,
        unknown name, unknown split, or no image feature.
    """

    name: str
    split: str
    data_dir: str | None = None

    def __post_init__(self) -> None:
        _ = self._records  # so that a wrong name or split fails here, not in a loader thread

    def __reduce__(self) -> tuple[Any, ...]:
        return TFDS, (self.name, self.split, self.data_dir)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int, /) -> Sample:
        record = self._records[index]
        if not self.has_labels:
            return {'image': record['image']}
        return {'image': record['image'], 'label': int(record['label'])}

    @functools.cached_property
    def has_labels(self) -> bool:
        """Whether the data set has the feature `label`, a class."""
        import tensorflow_datasets as tfds

        features = dict(self._builder.info.features.items())
        return isinstance(features.get('label'), tfds.features.ClassLabel)

    @property
    def num_classes(self) -> int | None:
        """The number of classes; None without labels."""
        return self._builder.info.features['label'].num_classes if self.has_labels else None

    @property
    def label_names(self) -> list[str] | None:
        """The names of the classes; None without labels."""
        return list(self._builder.info.features['label'].names) if self.has_labels else None

    @functools.cached_property
    def _builder(self) -> Any:
        return _open(self.name, self.data_dir)

    @functools.cached_property
    def _records(self) -> Any:
        return _data_source(self._builder, self.name, self.split)


def tfds_folder(data_dir: str | None) -> str:
    """The given TFDS folder, or the one that TFDS itself would take."""
    default = os.path.join('~', 'tensorflow_datasets')
    return os.path.expanduser(data_dir or os.environ.get('TFDS_DATA_DIR') or default)


def _open(name: str, data_dir: str | None) -> Any:
    """The builder of a data set that is prepared, read from its files alone."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.read_only_builder import builder_from_files

    if name == DIGITS:
        from jssl.data import digits

        return tfds.builder_from_directory(digits.prepare(data_dir))
    folder = tfds_folder(data_dir)
    try:
        builder = builder_from_files(name, data_dir=folder)
    except (
        ValueError,
        ImportError,
    ):  # no such name or files, or its code needs a missing package
        raise _not_prepared(name, folder) from None
    if not any(form.value == 'array_record' for form in builder.info.available_file_formats()):
        raise _wrong_format(name, builder)
    return builder


def _data_source(builder: Any, name: str, split: str) -> Any:
    """The split by number, its images left encoded."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features.items())
    if not isinstance(features.get('image'), tfds.features.Image):
        raise JsslError(
            f"data set {name!r} has no image under the name 'image'; its features are "
            f'{", ".join(sorted(features))}. Choose an image data set.'
        )
    images = [key for key, form in features.items() if isinstance(form, tfds.features.Image)]
    skip = {key: tfds.decode.SkipDecoding() for key in images}
    try:
        return builder.as_data_source(split, decoders=skip, file_format='array_record')
    except (ValueError, KeyError):
        raise JsslError(
            f'split {split!r} cannot be read from data set {name!r}; its splits are '
            f"{', '.join(sorted(builder.info.splits))}, and parts of them such as 'train[:10%]'."
        ) from None


def _not_prepared(name: str, folder: str) -> JsslError:
    """The error for a name that is not in the folder: prepare it, or correct it."""
    import tensorflow_datasets as tfds

    known = [*tfds.list_builders(with_community_datasets=False), DIGITS]
    base = name.partition('/')[0].partition(':')[0]
    if base in known:
        return JsslError(
            f'data set {name!r} is not prepared under {folder}. Prepare it on a machine with '
            f'TensorFlow: pip install tensorflow tensorflow-datasets && tfds build {name} '
            f'--file_format=array_record --data_dir={shlex.quote(folder)} '
            '(reading it needs no TensorFlow). If it is elsewhere, set data_dir or the environment '
            'variable TFDS_DATA_DIR.'
        )
    close = [repr(match) for match in difflib.get_close_matches(base.lower(), known, n=3)]
    hint = f' Did you mean {" or ".join(close)}?' if close else ''
    return JsslError(
        f'data set {name!r} is neither prepared under {folder} nor known to TFDS.{hint} '
        'For a data set of your own set data_dir or TFDS_DATA_DIR to the folder that holds it.'
    )


def _wrong_format(name: str, builder: Any) -> JsslError:
    """The error for a data set in files that only TensorFlow reads."""
    folder, written = str(builder.data_path), builder.info.file_format.value
    return JsslError(
        f'data set {name!r} under {folder} is written as {written}, and reading it without '
        'TensorFlow needs array_record. Convert it on a machine with TensorFlow: '
        'pip install tensorflow tensorflow-datasets && tfds convert_format '
        f'--dataset_version_dir={shlex.quote(folder)} --out_file_format=array_record.'
    )
