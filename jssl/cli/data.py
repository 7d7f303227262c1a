"""Images as a command line names them: ``folder:photos``, ``list:photos.txt``, ``tfds:cifar10``."""

from collections.abc import Callable

from jssl.data.sources import TFDS, Folder, ImageList, Source
from jssl.errors import JsslError, suggest

FORMS = (
    'folder:PATH (its sub-folders are the classes, if all images lie in some), list:PATH (a text '
    'with a path and perhaps a label on each line) or tfds:NAME/SPLIT'
)


def source_of(
    text: str, *, argument: str = '--data', split: str = 'train', data_dir: str | None = None
) -> Source:
    """The images that an argument names.

    Args:
      text: such as ``folder:photos``.
      argument: that it was given for, for messages.
      split: of a TFDS data set that is named without one.
      data_dir: where TFDS data sets lie; None for TFDS's own place.

    Raises:
      JsslError: not written as it should be, or what the source objects to.
    """
    kind, colon, where = text.partition(':')
    kinds: dict[str, Callable[[str], Source]] = {
        'folder': Folder,
        'list': ImageList,
        'tfds': lambda named: _tfds(named, split, data_dir),
    }
    if not colon or not where or kind not in kinds:
        meant = suggest(kind, kinds) if colon else f'Did you mean {argument}=folder:{text}?'
        raise JsslError(f'{argument}={text} must be written as {FORMS}. {meant}')
    return kinds[kind](where)


def _tfds(named: str, split: str, data_dir: str | None) -> Source:
    name, slash, part = named.rpartition('/')
    return TFDS(name, part, data_dir) if slash else TFDS(named, split, data_dir)
