"""Whether images are normalised as those were that a network with released weights has seen.

A file of weights, what lies beside it, or its layout may say with which mean and deviation. Nothing
is said where none of them does.
"""

import dataclasses
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from jssl.augment import views
from jssl.augment.views.places import policies

ALIKE = 0.5  # levels, of 255: publishers round their numbers
DIGITS = 3


class Normalization(NamedTuple):
    """How levels from 0 to 255 become what a network sees.

    Attributes:
      mean, std: per channel.
      standardize: by the mean and deviation of each image instead.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    standardize: bool = False

    def __str__(self) -> str:
        """In words."""
        if self.standardize:
            return 'their own mean and deviation'
        return f'mean {rounded(self.mean)} and deviation {rounded(self.std)}'


def stated(section: Any, fields: Mapping[str, Any]) -> Normalization | None:
    """What a file says, None where it does not.

    Args:
      section: the view that the file itself describes, as configs do; anything else is no answer.
      fields: of `CenterView`, as a file beside it or its layout says them.
    """
    if isinstance(section, Mapping):
        kind = getattr(views, str(section.get('type')), None)
        usual = {f.name: f.default for f in dataclasses.fields(kind)} if kind else {}
        given = {name: value for name, value in section.items() if value is not None}
        fields = usual | given
    numbers = [fields.get(name) for name in ('mean', 'std')]
    if not all(map(_are_numbers, numbers)):
        return None
    mean, std = (tuple(map(float, values)) for values in numbers if values)
    return Normalization(mean, std, fields.get('standardize') is True)


def _are_numbers(values: Any) -> bool:
    plain = isinstance(values, list | tuple) and len(values) > 0
    return plain and all(isinstance(value, int | float) for value in values)


def for_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """One number a channel: those that there are, or else their average for each."""
    return values if len(values) == channels else (sum(values) / len(values),) * channels


def options(place: str, fields: Mapping[str, Any]) -> str:
    """As a command line takes them."""
    return ' '.join(f'--{place}.{name}={shlex.quote(str(value))}' for name, value in fields.items())


def tell_other(
    path: str,
    theirs: Normalization | None,
    places: Mapping[str, Any],
    report: Callable[[str], None],
    write: Callable[[str, Mapping[str, Any]], str] = options,
) -> None:
    """Says in a line which views normalise otherwise, and what to type so that they do not.

    Args:
      path: of the weights.
      theirs: what their network has seen; None where that remains unknown.
      places: views of this run by their fields, such as ``{'config.eval_view': CenterView()}``.
      report: is told the line, if there is a difference.
      write: what to type so that a place has other fields.
    """
    if theirs is None:
        return
    found = dict(pair for place, view in places.items() for pair in policies(view, place))
    others = {place: view for place, view in found.items() if _differs(view, theirs)}
    if not others:
        return
    having: dict[str, list[str]] = {}
    for place, view in others.items():
        having.setdefault(str(_of(view)), []).append(place)
    here = '; '.join(f'{", ".join(names)} with {words}' for words, names in having.items())
    changed = {place: dict(_changes(view, theirs)) for place, view in others.items()}
    typed = ' '.join(write(place, fields) for place, fields in changed.items() if fields)
    remedy = f'. To give it what it has seen: {typed}' if typed else ''
    report(f'{path}: its network has seen images with {theirs}, and here are {here}{remedy}')


def _of(view: Any) -> Normalization | None:
    names = ('mean', 'std', 'standardize')
    return stated(None, {name: getattr(view, name, None) for name in names})


def _differs(view: Any, theirs: Normalization) -> bool:
    ours = _of(view)
    if ours is None or ours.standardize or theirs.standardize:
        return ours is not None and ours.standardize != theirs.standardize
    pairs = ((ours.mean, theirs.mean), (ours.std, theirs.std))
    return any(
        abs(a - b) > ALIKE
        for mine, other in pairs
        for a, b in zip(mine, for_channels(other, len(mine)), strict=True)
    )


def _changes(view: Any, theirs: Normalization) -> Iterator[tuple[str, Any]]:
    """The fields of a view to set; none where it has no such field."""
    if theirs.standardize != getattr(view, 'standardize', theirs.standardize):
        yield 'standardize', theirs.standardize
    if not theirs.standardize:
        for name, values in (('mean', theirs.mean), ('std', theirs.std)):
            wanted = rounded(for_channels(values, len(getattr(view, name))))
            if wanted != rounded(getattr(view, name)):
                yield name, wanted


def rounded(values: tuple[float, ...]) -> tuple[float, ...]:
    """As they are said and typed."""
    return tuple(round(value, DIGITS) for value in values)
