"""TensorFlow Datasets as a source, read from ArrayRecord files without TensorFlow."""

import dataclasses
import difflib
import functools
import importlib
import os
import re
import shlex
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jssl.data.sources.base import Sample
from jssl.data.sources.folder import file_stamps
from jssl.data.sources.labels import NONE  # TFDS too, as in STL-10's split 'unlabelled'
from jssl.data.sources.reading import nearest
from jssl.data.sources.tfds_advice import INFO, elsewhere, lacking, no_split
from jssl.data.sources.tfds_features import check_features, own_modules
from jssl.data.sources.tfds_folder import tfds_folder
from jssl.errors import JsslError, in_words, suggest

DIGITS = 'embedded_digits'
LABEL = 'label'


@dataclasses.dataclass(frozen=True)
class TFDS:
    """A split of a TensorFlow Datasets data set, read from ArrayRecord files without TensorFlow.

    The embedded data set is prepared on first use. Every other one is read from the files that
    TFDS, or a builder of your own, has prepared.

    Attributes:
      name: such as ``'cifar10'``, ``'imagenet_resized/32x32'`` or ``'cifar10:3.0.2'``.
      split: such as ``'train'``, ``'train[:10%]'`` or ``'train+unlabelled'`` (TFDS's syntax).
      data_dir: the TFDS folder; None for TFDS_DATA_DIR or ~/tensorflow_datasets.
      image: the feature that is the image.
      label: the feature that is the class; None for no labels. Without one of the usual name, or
        with samples whose class is not known, the data set counts as unlabelled.

    Raises:
      JsslError: not prepared (with the command that prepares it), prepared in another file format,
        unknown name, unknown or empty split, no such image, or no such class.
    """

    name: str
    split: str
    data_dir: str | None = None
    image: str = 'image'
    label: str | None = LABEL

    def __post_init__(self) -> None:
        # So that a wrong name or split fails here, not in a loader thread.
        try:
            self._check_lengths()
            if self.label not in (LABEL, None):
                _check_label(self._features, self.name, self.label)
        except (JsslError, MemoryError):
            raise
        except Exception as error:  # of many types, by the place of the damage
            words = f'what its files say of it cannot be read ({in_words(error, where=False)})'
            raise _damaged(self.name, self.data_dir, words) from error

    def _check_lengths(self) -> None:
        """Refuses a number of images that the files cannot hold; single ones may be damaged."""
        splits = self._builder.info.splits.values()
        lengths = [length for split in splits for length in split.shard_lengths]
        if lengths and min(lengths) < 0:
            words = f'{INFO} says that {min(lengths)} images are in one of its files'
            raise _damaged(self.name, self.data_dir, words)
        count, size = len(self), int(self._stamps[:, 0].clip(min=0).sum())
        if 0 < size < count:
            words = f'{INFO} says that {count} images are in files of {size} bytes'
            raise _damaged(self.name, self.data_dir, words)

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (self.name, self.split, self.data_dir, self.image, self.label)
        return _opened_again, (own_modules(self._builder.data_path), fields)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int, /) -> Sample:
        record = self._record(index)
        if self.label is None or not self.has_labels:
            return {'image': record[self.image]}
        return {'image': record[self.image], 'label': int(record[self.label])}

    def _record(self, index: int) -> Any:
        """All features of a sample.

        Raises:
          JsslError: its file is damaged or missing.
        """
        try:
            record = self._records[index]
            if record[self.image] is None:  # what ArrayRecord makes of the rest of a cut file
                raise ValueError('the record is empty')
            return record
        except MemoryError:
            raise
        except Exception as error:  # of ArrayRecord, of protocol buffers, of NumPy
            stops = np.cumsum([part.take for part in self._parts])
            part = self._parts[int(np.searchsorted(stops, index, side='right'))]
            raise JsslError(
                f'it cannot be read from {part.filename}: {in_words(error, where=False)}; copy '
                'that file again'
            ) from error

    def name_of(self, index: int) -> str:
        """What a log calls sample `index`."""
        return f'{self.name} {self.split} {index}'

    def names(self) -> list[str]:
        """The version, and which images of which files: what decides about the samples."""
        full_name = self._builder.info.full_name
        return [
            f'{full_name}, {os.path.basename(part.filename)} from {part.skip}, {part.take} images'
            for part in self._parts
        ]

    def stamps(self) -> NDArray[np.int64]:
        """Size and time of every file; of the embedded set, which each machine writes, none."""
        if self.name == DIGITS:
            return np.full((len(self._parts), 2), -1)
        return self._stamps

    @functools.cached_property
    def has_labels(self) -> bool:
        """Whether every sample has a class; each of joined splits is judged by its two ends."""
        if self.label is None or not _is_class(self._features.get(self.label)):
            return False
        return NONE not in self._labels_at_ends(self.label)

    def _labels_at_ends(self, label: str) -> list[int]:
        """The labels of the first and the last sample of each of the splits that are joined."""
        splits = self._builder.info.splits
        lengths = [splits[part.strip()].num_examples for part in self.split.split('+')]
        stops = np.cumsum([length for length in lengths if length]).tolist()

        def take(index: int) -> int:
            return int(self._record(index)[label])

        firsts = [nearest(self, index, take)[0] for index in (0, *stops[:-1])]
        return firsts + [nearest(self, stop - 1, take, forward=False)[0] for stop in stops]

    @property
    def num_classes(self) -> int | None:
        """The number of classes; None without labels."""
        return self._class.num_classes if self.has_labels else None

    @property
    def label_names(self) -> list[str] | None:
        """The names of the classes; None without labels."""
        return list(self._class.names) if self.has_labels else None

    @property
    def _class(self) -> Any:
        return self._features[self.label or LABEL]

    @property
    def _features(self) -> dict[str, Any]:
        return dict(self._builder.info.features.items())

    @functools.cached_property
    def _builder(self) -> Any:
        return _open(self.name, self.data_dir)

    @property
    def _stamps(self) -> NDArray[np.int64]:
        return file_stamps([str(part.filename) for part in self._parts])

    @functools.cached_property
    def _parts(self) -> list[Any]:
        return self._builder.info.splits[self.split].file_instructions

    @functools.cached_property
    def _records(self) -> Any:
        return _data_source(self._builder, self.name, self.split, self.image)


def _opened_again(modules: list[str], fields: tuple[Any, ...]) -> TFDS:
    """The source in another process, once the modules of its features are imported there."""
    for module in modules:
        importlib.import_module(module)
    return TFDS(*fields)


def _open(name: str, data_dir: str | None) -> Any:
    """The builder of a data set that is prepared, read from its files alone."""
    import tensorflow_datasets as tfds

    if name == DIGITS:
        from jssl.data.preparing import digits

        prepared = digits.prepare(data_dir)
        check_features(prepared)
        return tfds.builder_from_directory(prepared)
    folder = tfds_folder(data_dir)
    try:
        found = _find(name, folder)
    except (ValueError, ImportError):  # no such name, or its code needs a missing package
        found = None
    if found is None and (missing := lacking(name, folder)):
        raise _damaged(name, data_dir, f'{missing} is missing')
    if found is None:
        raise _not_prepared(name, folder)
    check_features(found)
    builder = tfds.builder_from_directory(found)
    if not any(form.value == 'array_record' for form in builder.info.available_file_formats()):
        raise _wrong_format(name, builder)
    return builder


def _find(name: str, folder: str) -> Any:
    """The folder of a prepared data set, as TFDS finds it; None if there is none."""
    from tensorflow_datasets.core.read_only_builder import _find_builder_dir
    from tensorflow_datasets.core.utils.error_utils import record_error_context

    with record_error_context():  # what TFDS would say; ours says it in `_not_prepared`
        return _find_builder_dir(name, data_dir=folder)


def _data_source(builder: Any, name: str, split: str, image: str) -> Any:
    """The split by number, its images left encoded."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features.items())
    images = [key for key, form in features.items() if isinstance(form, tfds.features.Image)]
    if image not in images:
        remedy = f'Set image. {suggest(image, images)}' if images else 'Choose an image data set.'
        raise JsslError(
            f'data set {name!r} has no image under the name {image!r}; its features are '
            f'{", ".join(sorted(features))}. {remedy}'
        )
    skip = {key: tfds.decode.SkipDecoding() for key in images}
    try:
        # Of a part that ends before it begins TFDS takes a negative number.
        if any(part.take < 0 for part in builder.info.splits[split].file_instructions):
            raise ValueError(split)
        return builder.as_data_source(split, decoders=skip, file_format='array_record')
    except (ValueError, KeyError, NotImplementedError):  # the last for a part of 'all'
        raise no_split(builder.info.splits, name, split) from None


def _is_class(feature: Any) -> bool:
    import tensorflow_datasets as tfds

    return isinstance(feature, tfds.features.ClassLabel)


def _check_label(features: dict[str, Any], name: str, label: str) -> None:
    """Raises a `JsslError` for a feature that was asked for and is no class."""
    classes = [key for key, feature in features.items() if _is_class(feature)]
    if label not in classes:
        remedy = suggest(label, classes) if classes else 'It has no classes; leave label out.'
        raise JsslError(f'data set {name!r} has no class under the name {label!r}. {remedy}')


def catalogue() -> list[str]:
    """The names under which TFDS knows a data set, and that of the embedded one."""
    import tensorflow_datasets as tfds

    return [*tfds.list_builders(with_community_datasets=False), DIGITS]


def _not_prepared(name: str, folder: str) -> JsslError:
    """The error for a name that is not in the folder: prepare it, or correct it."""
    unfinished = os.path.join(folder, f'{name}.incomplete')
    if os.path.isdir(unfinished):
        return JsslError(
            f'data set {name!r} is not complete: {unfinished} was left by an interrupted '
            'preparation. Give the same jssl prepare command again; it '
            'continues.'
        )
    base = name.partition('/')[0].partition(':')[0]
    if place := elsewhere(base, folder):
        return JsslError(f'data set {name!r} is not prepared under {folder}{place}')
    known = catalogue()
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


def _damaged(name: str, data_dir: str | None, what: str) -> JsslError:
    """The error for files that describe a data set and cannot be right."""
    folder = os.path.join(tfds_folder(data_dir), re.split('[/:]', name)[0])
    remedy = 'prepare it again' if name != DIGITS else 'start again, which writes it anew'
    return JsslError(
        f'data set {name!r} is damaged: {what}. Copy {folder} again, or delete it and {remedy}.'
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
