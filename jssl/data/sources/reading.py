"""Samples that cannot be read, whatever their source raises: the reason in words, and the next one
that can.

A source may be anybody's: a broken sample of a zip, of HDF5 or of TFDS shows in as many exceptions
as there are libraries. All of them count as a fault of that sample. A mistake in the code of a
source shows on every sample, and is an error at the first one.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from jssl.errors import JsslError, in_words

TRIES = 100

Value = TypeVar('Value')


class Broken(NamedTuple):
    """A sample that cannot be read.

    Attributes:
      fault: what is wrong with it, in words.
      substitute: the sample that takes its place.
    """

    fault: str
    substitute: int


def nearest(
    source: Any, index: int, take: Callable[[int], Value], *, forward: bool = True
) -> tuple[Value, Broken | None]:
    """What `take` makes of sample `index`, or of the nearest following one of which it can.

    Of those that follow `TRIES` are looked at one by one, then ever more are left out: behind a
    missing file of thousands the next one is soon found. After the last sample comes the first.

    Args:
      source: what `take` reads from.
      index: of the sample.
      take: number -> value; whatever it raises is a fault of that sample.
      forward: False goes backwards.

    Raises:
      JsslError: none can be read.
    """
    fault, tried = None, 0
    for number in _order(index, len(source), 1 if forward else -1):
        try:
            value = take(number)
        except MemoryError:
            raise
        except Exception as error:
            fault = fault or f'{name_of(source, number)}: {in_words(error)}'
            tried += 1
            continue
        return value, None if fault is None else Broken(fault, number)
    if fault is None:
        raise JsslError('the data set is empty; give one with at least one sample.')
    raise JsslError(
        f'none of the {tried} samples of the data set that were tried from {index} on can be read; '
        f'check the path and the files, and the code of a source of your own. The first is {fault}'
    )


def _order(index: int, length: int, direction: int) -> Iterator[int]:
    for step in range(min(TRIES, length)):
        yield (index + direction * step) % length
    step = 2 * TRIES
    while step < length:
        yield (index + direction * step) % length
        step *= 2


def checked_sample(source: Any, number: int) -> Mapping[str, Any]:
    """Sample `number`.

    Raises:
      JsslError: it is no dict, or has no image.
    """
    sample = source[number]
    if not isinstance(sample, Mapping) or 'image' not in sample:
        raise JsslError(
            f'the source gives {sample!r:.80}; let it give a dict with the key '
            "'image', and 'label' if there is one."
        )
    return sample


def name_of(source: Any, number: int) -> str:
    """Such as ``sample 7 ('cats/felix.jpg')``; a source may have `name_of`, as those of files."""
    try:
        return f'sample {number} ({source.name_of(number)!r})'
    except Exception:  # it has none, or knows no name for this one
        return f'sample {number}'
