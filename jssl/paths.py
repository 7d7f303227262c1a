"""Paths as people type them, and those at which a run can live."""

import os
import re
from pathlib import Path

from jssl.errors import JsslError

URL = re.compile(r'([A-Za-z][A-Za-z0-9+.-]+):/')  # `Path` makes one slash of two
# Orbax looks for what it has written by a pattern that begins with the path; TensorStore takes a
# backslash for a slash.
TAKEN_FOR_PATTERNS = '*?[\\'
NAME = os.pathconf('/', 'PC_NAME_MAX')  # bytes
BELOW = 256  # bytes that the names of a checkpoint's files add to the path


def expanded(path: Path | str) -> Path:
    """The path with what ``~`` stands for: no shell replaces that in ``--workdir=~/runs``."""
    return Path(os.path.expanduser(path))


def run_directory(path: Path | str) -> Path:
    """The path of a run's directory, expanded, once it is known that checkpoints work there.

    Raises:
      JsslError: it is empty, an address, or has characters or a length that do not work.
    """
    text = str(path)
    if not text.strip():
        raise JsslError(
            '--workdir= is empty. Name a directory, such as --workdir=runs/first, or leave it out '
            'for a new one under runs/.'
        )
    if address := URL.match(text):
        raise JsslError(
            f'--workdir={text} is an address, and a run lives in a directory of this machine or '
            f'of one that is mounted. Mount {address[1]}: there, and give the path, such as '
            '--workdir=/mnt/runs/first.'
        )
    found = expanded(path)
    if str(found).startswith('~'):
        raise JsslError(
            f'--workdir={text} is the directory of a user {found.parts[0][1:]!r}, and there is '
            f'none. If that is its name, write --workdir={os.path.abspath(found)}.'
        )
    if reason := _unusable(os.path.abspath(found)):
        raise JsslError(
            f'--workdir={text!r} {reason}. Give another, or a symbolic link to that directory '
            'under a plain name.'
        )
    return found


def _unusable(path: str) -> str | None:
    """Why no checkpoint that is written at an absolute path could be read again, if so."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return 'has bytes in its path that are no UTF-8, which checkpoints cannot have'
    if '\0' in path:
        return 'has a zero byte in its path'
    if taken := [character for character in TAKEN_FOR_PATTERNS if character in path]:
        return f'has {" and ".join(taken)} in its path, which checkpoints take for a pattern'
    if size > (most := os.pathconf('/', 'PC_PATH_MAX') - BELOW):
        return f'has a path of {size} bytes; checkpoints need one of at most {most}'
    if (longest := max(len(part.encode()) for part in path.split('/'))) > NAME:
        return f'has a name of {longest} bytes in its path; the longest has {NAME}'
    return None
