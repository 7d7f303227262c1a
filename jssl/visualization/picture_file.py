"""The file that a picture is written to."""

import os
from pathlib import Path

from PIL import Image

from jssl.errors import JsslError
from jssl.paths import NAME, expanded

FORMATS = ('.png', '.webp')  # can be transparent between the cells


def check_path(out: str) -> Path:
    """The path of the picture.

    Raises:
      JsslError: its ending is not that of a format that can be written, or no file can be there.
    """
    path = expanded(out)
    if path.suffix.lower() not in FORMATS:
        raise JsslError(f'--out={out!r} must end with {" or ".join(FORMATS)}.')
    above = next(folder for folder in path.absolute().parents if os.path.exists(folder))
    if reason := _unwritable(path, above):
        name = 'views.png' if os.path.isdir(above) else path.name
        raise JsslError(
            f'--out={out!r} cannot be written: {reason}; give another, such as --out={name}.'
        )
    return path


def _unwritable(path: Path, above: Path) -> str | None:
    """Why no file can be at `path`, of whose folders `above` is the deepest that there is."""
    if not os.path.isdir(above):
        return f'{above} is no folder'
    if os.path.isdir(path):
        return 'it is a folder'
    long = max(len(os.fsencode(part)) for part in path.parts) > NAME
    return f'a name in it is longer than {NAME} bytes' if long else None


def save(picture: Image.Image, path: Path) -> None:
    """Writes a picture, and the folder that it is in.

    Raises:
      JsslError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    except OSError as error:
        raise JsslError(
            f'the picture cannot be written to {path}: {error.strerror or error}; give another '
            f'path, such as --out={path.name}, or make room there.'
        ) from error
