"""Labels: what counts as one, and whether two sets of images mean the same classes by theirs."""

import operator
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jssl.counts import counted
from jssl.errors import JsslError

NONE = -1  # on every sample: there are no labels
LARGEST = 2**31 - 1
FEW = 2**16  # logits, whose gaps do not matter


def checked_labels(labels: Any, count: int) -> NDArray[np.int32] | None:
    """Labels in memory as int32 (count,); None where all are -1.

    Args:
      labels: whole numbers from 0, (count,) or (count, 1).
      count: of the images.

    Raises:
      JsslError: anything else, one-hot rows, fractions, names and some -1 among them.
    """
    try:
        values = np.asarray(labels)
    except ValueError as error:  # rows of several lengths
        raise JsslError(
            f'the labels are no array: {error}; give one whole number an image.'
        ) from None
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 0 or len(values) != count:
        found = len(values) if values.ndim else 'not a sequence of'
        raise JsslError(
            f'there are {count} images and {found} labels; give one per image, or labels=None.'
        )
    if count and (values.ndim > 1 or values.dtype.kind not in 'iu'):
        raise JsslError(
            f'the labels have the shape {values.shape} and the type {values.dtype}, such as '
            f'{_shown(values[0])}; give one whole number from 0 an image: {_remedy(values)}.'
        )
    if (values == NONE).all():
        return None
    for index in np.flatnonzero((values < 0) | (values > LARGEST))[:1]:
        raise _no_label(int(index), values[index])
    return values.astype(np.int32)


def _remedy(values: NDArray[Any]) -> str:
    """How such values become labels."""
    if values.ndim > 1:
        return 'labels.argmax(axis=1) of one-hot rows'
    if values.dtype.kind in 'USO':
        return 'np.unique(labels, return_inverse=True)[1] of names'
    return 'labels.astype(int), if they are whole'


def checked_label(label: Any, index: int, classes: int | None) -> int:
    """The label of sample `index` as read from a source.

    Args:
      label: what the source gives; None for nothing.
      index: of the sample.
      classes: how many there are; None if the source does not say.

    Raises:
      JsslError: no whole number from 0 to ``classes - 1``.
    """
    try:
        number = operator.index(label)
    except TypeError:
        raise _no_label(index, label) from None
    if not 0 <= number <= LARGEST:
        raise _no_label(index, label)
    if classes is not None and number >= classes:
        raise JsslError(
            f'sample {index} of the data set has the label {number}, but its num_classes is '
            f'{classes}; number the classes from 0 to {classes - 1}, or correct num_classes.'
        )
    return number


def _shown(label: Any) -> str:
    """A label without the name of its type."""
    plain = label.tolist() if isinstance(label, np.ndarray | np.generic) else label
    return f'{plain!r:.80}'


def _no_label(index: int, label: Any) -> JsslError:
    found = 'no label, and others have one' if label is None else f'the label {_shown(label)}'
    return JsslError(
        f'sample {index} of the data set has {found}; label all of them with whole numbers from 0 '
        f'to {LARGEST}, or none (-1 for every one; labelled=False for Folder, label=None for TFDS).'
    )


def declared_classes(source: Any) -> int | None:
    """How many classes samples may have, by what a source says; None if it says nothing.

    The labels of a source that holds them as `labels` are known, and may have gaps.
    """
    names, count = (getattr(source, name, None) for name in ('label_names', 'num_classes'))
    if count is not None and getattr(source, 'labels', None) is None:
        return count
    return None if names is None else len(names)


def label_count(source: Any) -> int | None:
    """One more than the largest label: what is indexed by labels needs so many entries.

    None where the source does not say. How many classes there are is `num_classes`; where the
    labels of a list have gaps, that is less.
    """
    labels = getattr(source, 'labels', None)
    known = None if labels is None else checked_labels(labels, len(source))
    if known is None:
        return declared_classes(source)
    return max(int(known.max()) + 1, declared_classes(source) or 0)


def check_classes(source: Any) -> None:
    """Refuses labels of which a classifier cannot have one logit each.

    Raises:
      JsslError: nobody says how many there are, or they are numbers of something else, such as ids.
    """
    count = label_count(source)
    if count is None:
        raise JsslError(
            f'the data source {type(source).__name__} has labels and does not say how many classes '
            'there are; give it the property num_classes.'
        )
    labels = getattr(source, 'labels', None)
    occurring = count if labels is None else len(np.unique(labels))
    if count > FEW and count > 2 * occurring:
        raise JsslError(
            f'the labels of the training data are {occurring} different numbers up to {count - 1}, '
            'and a classifier has one logit for each from 0; number the classes from 0 to '
            f'{occurring - 1}.'
        )


def check_same_classes(train: Any, test: Any) -> NDArray[np.int32] | None:
    """Compares the classes that a probe learns with those it is tested on.

    Where both sources name their classes they are compared by name, up to Unicode normalisation;
    else by number, and by the names of folders that a list's paths go through. The test data may
    lack some classes.

    Args:
      train: the source that a probe learns from.
      test: the source it is tested on.

    Returns:
      int32 (K,), the label in `train` of each class of `test`; None where both number them alike,
      or one of them does not know its classes.

    Raises:
      JsslError: the test data have classes that the training data lack, or other numbers for the
        same ones.
    """
    names = [_names(source) for source in (train, test)]
    if names[0] is not None and names[1] is not None:
        return _compared(names[0], names[1])
    _check_numbers(*(_numbers(source) for source in (train, test)))
    _check_folders(*(_numbered_names(source) for source in (train, test)))
    return None


def _names(source: Any) -> list[str] | None:
    names = getattr(source, 'label_names', None)
    return None if names is None else [unicodedata.normalize('NFC', name) for name in names]


def _compared(train: list[str], test: list[str]) -> NDArray[np.int32] | None:
    unknown = [name for name in test if name not in set(train)]
    number = {name: label for label, name in enumerate(train)}
    order = [number[name] for name in test if name in number]
    if unknown or order != sorted(order):
        what = f'for example {unknown[0]!r} in the test data only' if unknown else 'in their order'
        raise JsslError(
            f'the test data have {_listed(test)}, and the labelled training data {_listed(train)}, '
            f'which differ, {what}; {_FIT}'
        )
    return None if order == list(range(len(order))) else np.array(order, np.int32)


def _numbers(source: Any) -> NDArray[Any] | None:
    """The labels that occur, or all that there can be; None where the source does not say."""
    labels = getattr(source, 'labels', None)
    if labels is not None and getattr(source, 'label_names', None) is None:
        return np.unique(labels)
    count = getattr(source, 'num_classes', None)
    return None if count is None else np.arange(count)


def _check_numbers(train: NDArray[Any] | None, test: NDArray[Any] | None) -> None:
    if train is None or test is None:
        return
    unknown = np.setdiff1d(test, train)
    if unknown.size:
        raise JsslError(
            f'the test data have {_ranged(test)}, and the labelled training data {_ranged(train)}, '
            f'which differ, for example the label {unknown[0]} in the test data only; number both '
            'alike, from 0, or give no test data (--config.test_data=None).'
        )


def _numbered_names(source: Any) -> dict[str, int]:
    """The labels of classes by name: their own, or those of the folders that each has alone."""
    names = _names(source)
    if names is None:
        names = getattr(source, 'folder_names', None)
        return {} if names is None else dict(zip(names, np.unique(source.labels), strict=True))
    return {name: label for label, name in enumerate(names)}


def _check_folders(train: dict[str, int], test: dict[str, int]) -> None:
    for name in train:
        if test.get(name, train[name]) != train[name]:
            raise JsslError(
                f'the class {name!r} has the label {test[name]} in the test data and '
                f'{train[name]} in the labelled training data; number both alike (Folder numbers '
                'its sub-folders from 0 in the order of their names).'
            )


_FIT = (
    'give labelled images of the classes of test_data as probe_data, or a test_data that fits, '
    """such as --config.test_data='dict(type="Folder", path="PATH")', or none with """
    '--config.test_data=None.'
)


def _listed(names: Sequence[str]) -> str:
    shown = ', '.join(map(repr, names[:3])) + (', …' if len(names) > 3 else '')
    return f'{counted(len(names), "class", "classes")} ({shown})'


def _ranged(labels: NDArray[Any]) -> str:
    return (
        f'{counted(len(labels), "class", "classes")} with labels from {labels[0]} to {labels[-1]}'
    )
