"""The file that a picture is written to."""

import os
from pathlib import Path

from PIL import Image

from jssl.errors import JsslError
from jssl.paths import expanded

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
    if os.path.isdir(path) or not os.path.isdir(above):
        what = f'{above} is no folder' if not os.path.isdir(above) else 'it is a folder'
        name = 'views.png' if os.path.isdir(path) else path.name
        raise JsslError(
            f'--out={out!r} cannot be written: {what}; give another, such as --out={name}.'
        )
    return path


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
