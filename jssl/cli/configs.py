"""Config files: those that come along, found by name from any folder, and a user's own."""

import ast
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from jssl.config import choose
from jssl.errors import JsslError, suggest
from jssl.recipes.own_images import OwnImages

DEFAULT = 'embedded'  # the variant for the data set that comes along
PACKAGE = Path(__file__).resolve().parent.parent
SHIPPED = next(  # inside an installed package, beside it in a checkout
    (folder for folder in (PACKAGE / 'configs', PACKAGE.parent / 'configs') if folder.is_dir()),
    PACKAGE / 'configs',
)


def shipped() -> dict[str, Path]:
    """The config files that come along, by name, such as `simclr` and `eval/linear`."""
    files = sorted(SHIPPED.rglob('*.py'))
    return {file.relative_to(SHIPPED).with_suffix('').as_posix(): file for file in files}


def load(named: str) -> dict[str, Any]:
    """What a config file gives, as nested dicts.

    Args:
      named: the name of a config that comes along or the path of a file, and perhaps a variant:
        ``'simclr'``, ``'simclr:imagenet'``, ``'my/config.py:small'``.

    Raises:
      JsslError: there is no such config, it fails, or it gives none.
    """
    name, _, variant = named.partition(':')
    file = find(name)
    try:
        get_config = _module(file).get_config
        config = get_config(variant) if variant else get_config()
    except JsslError:
        raise
    except Exception as error:  # a config is a program of the user's
        raise JsslError(f'The config could not be made: {_place(error)}.') from error
    if not isinstance(config, ConfigDict):
        raise JsslError(
            f'get_config of {file} gives {config!r}; return ml_collections.ConfigDict(...) '
            'there, as configs/simclr.py does.'
        )
    return config.to_dict()


def own(named: str) -> Callable[[OwnImages], dict[str, Any]] | None:
    """What makes a config for a user's own images, where the one that is named has such a thing.

    A variant of a recipe for another data set stays what it is.
    """
    name, _, variant = named.partition(':')
    make = getattr(_module(find(name)), 'own', None)
    if make is None or variant not in ('', DEFAULT):
        return None
    return lambda images: choose('', own=lambda: make(images)).to_dict()


def find(name: str) -> Path:
    """The file that is called `name`.

    Raises:
      JsslError: there is none; names the nearest.
    """
    known = shipped()
    if name in known:
        return known[name]
    file = Path(name)
    if file.is_file():
        return file
    if file.suffix != '.py' and file.parent in (Path('.'), Path('eval')):
        raise JsslError(
            f'There is no config {name!r}. {suggest(name, known)} A file of your own is named by '
            'its path, such as my_config.py.'
        )
    beside = sorted(str(other) for other in file.parent.glob('*.py') if other.is_file())
    remedy = suggest(name, beside) if beside else f'Those that come along: {", ".join(known)}.'
    raise JsslError(f'--config={name}: there is no file {name!r} in {os.getcwd()}. {remedy}')


def about(named: str) -> list[str]:
    """The lines that a config's file says of itself; the first is what it is, in a line."""
    source = find(named.partition(':')[0]).read_text(encoding='utf-8')
    return (ast.get_docstring(ast.parse(source)) or 'without a word of its own').splitlines()


def title(name: str) -> str:
    """What a run's own directory is called after: the config's file and variant."""
    path, _, variant = name.partition(':')
    return '-'.join(filter(None, (Path(path).stem, variant)))


def _module(file: Path) -> ModuleType:
    """The module in a file; what it imports may lie in the current folder."""
    if os.getcwd() not in sys.path and '' not in sys.path:
        sys.path.insert(0, os.getcwd())
    spec = importlib.util.spec_from_file_location(f'jssl_config_{file.stem}', file)
    if spec is None or spec.loader is None:
        raise JsslError(f'{file} is no Python file; a config ends in .py.')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _place(error: Exception) -> str:
    """What was raised, and where."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    said = ' '.join(str(error).split()) or 'no reason given'
    place = '' if isinstance(error, SyntaxError) else f' ({frame.filename}, line {frame.lineno})'
    return f'{type(error).__name__}: {said}{place}'
