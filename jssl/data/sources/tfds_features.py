"""Which classes the files of a TFDS data set name, looked at before TFDS imports any of them."""

import contextlib
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jssl.errors import JsslError

FEATURES = 'features.json'
CLASS = ('pythonClassName', 'python_class_name', 'type')  # the last one up to TFDS 4.4
OWN = 'tensorflow_datasets.core.features.'
DEPTH = 64  # levels of nesting, far above any data set's


def check_features(folder: str | Path) -> None:
    """Refuses a prepared data set whose features.json names classes that would be imported.

    TFDS imports whatever module that file names. Its own features are loaded already, and so are
    the user's that the config, or the program, has imported.

    Args:
      folder: of one version of a data set, with its features.json.

    Raises:
      JsslError: the file names another class, or cannot be read.
    """
    import tensorflow_datasets as tfds

    _ = tfds.features.FeatureConnector  # loads the modules of TFDS's own
    path = Path(folder) / FEATURES
    try:
        described = json.loads(path.read_text(encoding='utf-8'))
        if not isinstance(described, dict):
            raise ValueError('it holds no object')
        for name in _classes(described):
            if not _is_loaded(name):
                raise JsslError(
                    f'{path} names {name!r} as a feature, which is none of TFDS. Code that a file '
                    'names is run only if you name it too: if you trust it, add import '
                    f'{name.rpartition(".")[0] or name} to your own config file.'
                )
    except JsslError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise JsslError(f'{path} cannot be read: {error}. Prepare the data set again.') from error


def own_modules(folder: str | Path) -> list[str]:
    """The modules of the user's own features in a data set that `check_features` has let through.

    A process that reads beside this one imports them too, having been told by this one.
    """
    described = json.loads((Path(folder) / FEATURES).read_text(encoding='utf-8'))
    names = [name for name in _classes(described) if not name.startswith(OWN)]
    return sorted({name.rpartition('.')[0] for name in names})


def _is_loaded(name: str) -> bool:
    """Whether a feature's class is there without an import."""
    module, _, attribute = name.rpartition('.')
    found = sys.modules.get(module)
    if found is None:
        return False
    return module.startswith(OWN) or inspect.isclass(vars(found).get(attribute))


def _classes(value: Any, depth: int = 0) -> Iterator[str]:
    """Every class in a description of features; some parts of it are JSON within strings."""
    if depth > DEPTH:
        raise ValueError(f'it is nested more than {DEPTH} levels deep')
    if isinstance(value, str):
        with contextlib.suppress(json.JSONDecodeError):  # most are no JSON
            yield from _classes(json.loads(value), depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _classes(inner, depth + 1)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in CLASS and isinstance(inner, str):
                yield inner
            else:
                yield from _classes(inner, depth + 1)
