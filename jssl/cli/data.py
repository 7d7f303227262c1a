"""Images as a command line names them: ``folder:photos``, ``list:photos.txt``, ``tfds:cifar10``."""

from typing import Any

from jssl.components import build
from jssl.data.sources import Source
from jssl.errors import JsslError, suggest

KINDS = {'folder': 'Folder', 'list': 'ImageList', 'tfds': 'TFDS'}
FORMS = (
    'folder:PATH (its sub-folders are the classes, if all images lie in some), list:PATH (a text '
    'with a path and perhaps a label on each line) or tfds:NAME/SPLIT'
)


def source_of(text: str, *, argument: str = '--data', **fields: Any) -> Source:
    """The images that an argument names.

    Args:
      text: such as ``folder:photos``.
      argument: that it was given for, for messages.
      fields: as for `described`.

    Raises:
      JsslError: not written as it should be, or what the source objects to.
    """
    try:
        return build('data', described(text, argument=argument, **fields))
    except JsslError as error:
        said = str(error).removeprefix('config.data: ')
        raise JsslError(said if said.startswith('--') else f'{argument}={text}: {said}') from error


def described(
    text: str, *, argument: str = '--data', split: str = 'train', data_dir: str | None = None
) -> dict[str, Any]:
    """The part of a config that stands for the images that an argument names.

    Args:
      text: such as ``folder:photos``.
      argument: that it was given for, for messages.
      split: of a TFDS data set that is named without one.
      data_dir: where TFDS data sets lie; None for TFDS's own place.

    Raises:
      JsslError: not written as it should be.
    """
    kind, _, where = text.partition(':')
    if kind not in KINDS or not where.strip('/'):
        raise JsslError(f'{argument}={text} must be written as {FORMS}.{_meant(text, argument)}')
    if kind != 'tfds':
        return dict(type=KINDS[kind], path=where)
    name, slash, part = where.rpartition('/')
    if slash and not (name and part):
        lacking = 'split' if name else 'data set'
        raise JsslError(
            f'{argument}={text} names no {lacking}; write it as tfds:NAME or tfds:NAME/SPLIT, such '
            'as tfds:cifar10/test.'
        )
    named = dict(name=name, split=part) if slash else dict(name=where, split=split)
    return dict(type=KINDS[kind], **named, data_dir=data_dir)


def _meant(text: str, argument: str) -> str:
    """What was meant by an argument that is written otherwise, if that can be told."""
    kind, colon, _ = text.partition(':')
    if not colon:
        return f' Did you mean {argument}=folder:{text}?'
    return '' if kind in KINDS else f' {suggest(kind, KINDS)}'
