"""Images as a command line names them: ``folder:photos``, ``list:photos.txt``, ``tfds:cifar10``.

What lies in tables or shards has fields behind a question mark, which a shell wants in quotes:
``'parquet:photos.parquet?image=photo&label=kind'``.
"""

import argparse
import os
from collections.abc import Callable
from typing import Any

from jssl.components import build
from jssl.data.sources import Source
from jssl.data.sources.huggingface import splits_at
from jssl.data.sources.patterns import files_of, splits_of
from jssl.data.sources.tables.rows import PARQUET
from jssl.data.sources.webdataset import TAR
from jssl.errors import JsslError, suggest

KINDS = {
    'folder': 'Folder',
    'list': 'ImageList',
    'tfds': 'TFDS',
    'hf': 'HuggingFace',
    'parquet': 'Parquet',
    'webdataset': 'WebDataset',
}
FIELDS = ('split', 'image', 'label')  # that may stand behind a question mark
SPLITS: dict[str, Callable[[str], list[str]]] = {
    'hf': splits_at,
    'parquet': lambda path: [name for name in splits_of(files_of(path, PARQUET)) if name],
    'webdataset': lambda path: [name for name in splits_of(files_of(path, TAR)) if name],
}
FORMS = (
    'folder:PATH (its sub-folders are the classes, if all images lie in some), list:PATH (a text '
    'with a path and perhaps a label on each line), tfds:NAME/SPLIT, hf:FOLDER (of Hugging Face), '
    'parquet:PATH or webdataset:PATTERN'
)


class Once(argparse.Action):
    """An argument that stands there once: of a pattern without quotes a shell makes several."""

    def __call__(
        self, parser: Any, namespace: Any, values: Any, option_string: str | None = None
    ) -> None:
        """Keeps the value.

        Raises:
          JsslError: there is one already.
        """
        before = getattr(namespace, self.dest)
        if before is not None:
            raise JsslError(
                f'{option_string} is given twice, as {before} and {values}; give it once, and '
                f"put a pattern with braces in quotes: {option_string}='webdataset:{{00..12}}.tar'."
            )
        setattr(namespace, self.dest, values)


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
      split: that is taken of several where none is named.
      data_dir: where TFDS data sets lie; None for TFDS's own place.

    Raises:
      JsslError: not written as it should be.
    """
    kind, _, where = text.partition(':')
    if kind not in KINDS or not where.strip('/'):
        raise JsslError(f'{argument}={text} must be written as {FORMS}.{_meant(text, argument)}')
    if kind in SPLITS:
        return dict(type=KINDS[kind], **_fields(kind, where, argument, split))
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


def _fields(kind: str, where: str, argument: str, split: str) -> dict[str, Any]:
    """The path, and what stands behind a question mark; the split, if there are several."""
    path, _, query = where.partition('?')
    if os.path.exists(os.path.expanduser(where)):
        path, query = where, ''
    fields: dict[str, Any] = {'path': path}
    for part in filter(None, query.split('&')):
        name, equals, value = part.partition('=')
        if name not in FIELDS or not equals or not value:
            raise JsslError(
                f'{argument}={kind}:{where} has {part!r} behind its question mark; write '
                f"NAME=VALUE there, as in {argument}='{kind}:{path}?label=NAME'. "
                f'{suggest(name, FIELDS)}'
            )
        fields[name] = None if value == 'None' else value
    if 'split' not in fields and len(there := _splits(kind, path)) > 1 and split in there:
        fields['split'] = split
    return fields


def _splits(kind: str, path: str) -> list[str]:
    """The splits that there are; none where the source itself will say what is wrong."""
    try:
        return SPLITS[kind](path)
    except (JsslError, OSError):
        return []
