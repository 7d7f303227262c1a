"""The reference numbers: which files there are, what reads them, and what of them was not read.

`JSSL_GOLDEN` names their folders as PATH names its own. Tests are made from whatever files these
hold, and take every setting from the file: `each('part_hog')` makes one test for every file of that
kind, and `whole` fails for what of a file its test did not look up.
"""

import contextlib
import fnmatch
import functools
import importlib.util
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import jssl.algorithms

TESTS = Path(__file__).resolve().parent
SHARED = TESTS.parents[1] / 'shared'
DEFAULT = (SHARED / 'golden', SHARED / 'golden2')
NAMED = os.environ.get('JSSL_GOLDEN', '').split(os.pathsep)
FOLDERS = tuple(Path(name) for name in NAMED if name) or DEFAULT
MISSING = f'no reference numbers in {os.pathsep.join(map(str, FOLDERS))}; JSSL_GOLDEN names folders'
# What a file says about itself and its tables, and checks of what is drawn anew.
DESCRIPTIONS = (
    *('format', 'kind', 'name', 'about', 'note', 'notes', 'seed', 'algorithm', 'source.*'),
    *('check/*', 'tables.*', 'shapes.*', 'state_spec.*', 'input_spec.*', 'gap64.*', 'no_grad'),
)

# Files of what jssl has not built yet. Whoever builds it takes the pattern away.
NOT_BUILT = (*('beit_*', 'beitv2_*', 'eva_mae_*', 'mff_*', 'milan_*', 'mixmim*', 'spark_*'),)

Meta = Mapping[str, Any]

# The algorithms of other repositories than MMSelfSup, by what their files call them, see
# `tests.families`.
FAMILIES = {
    'dino': 'DINO',
    'dinov2': 'DINOv2',
    'ibot': 'IBOT',
    'dinov3': 'DINOv3',
    'ijepa': 'IJEPA',
    'vicreg': 'VICReg',
}


def files(folders: tuple[Path, ...] = FOLDERS) -> list[Path]:
    """All files of reference numbers, by folder and name."""
    return [path for folder in folders for path in sorted(folder.glob('*.npz'))]


@functools.cache
def settings(path: Path) -> Meta:
    """The settings of a file alone, which is quick; `{'kind': 'damaged'}` if it cannot be read."""
    try:
        with np.load(path) as arrays:
            return json.loads(arrays['meta.json'].tobytes())
    except Exception:
        return {'kind': 'damaged'}


def kind(path: Path) -> str:
    """'step' or 'trajectory' of an algorithm, 'backbone', or the name of a part."""
    meta = settings(path)
    if meta.get('kind') == 'part':
        return 'backbone' if 'model' in meta else meta['name']
    return meta.get('kind', 'step')


def is_of(path: Path, wanted: str) -> bool:
    """Whether a file is of this kind; steps and trajectories of what jssl has alone are any."""
    found = kind(path)
    if found in ('step', 'trajectory') and not has_algorithm(settings(path)):
        return False
    return found == wanted or found.startswith(f'{wanted}_')


def modules_of(path: Path) -> list[Path]:
    """The modules of tests with an `each(...)` or a `files_of(...)` that names a file's kind."""
    return [
        module
        for module in sorted(TESTS.rglob('*.py'))
        if any(is_of(path, kind) for kind in kinds_in(module))
    ]


@functools.cache
def kinds_in(module: Path) -> set[str]:
    """What stands in an `each(...)` or a `files_of(...)` of a module."""
    calls = re.findall(r'golden\.(?:each|files_of)\(([^)]*)', module.read_text(encoding='utf-8'))
    return {name for call in calls for name in re.findall(r"'(\w+)'", call)}


def files_of(wanted: str) -> list[Path]:
    """The files of a kind."""
    return [path for path in files() if is_of(path, wanted)]


def has_algorithm(meta: Meta) -> bool:
    """Whether the algorithm of a step or a trajectory is one of jssl's."""
    name = meta['model'].get('type') or FAMILIES.get(meta['algorithm'])
    return hasattr(jssl.algorithms, str(name))


def is_deep(meta: Meta) -> bool:
    """A deep network: it takes a minute to compile, and shallow ones run the same lines."""
    network = meta['model'].get('backbone', meta['model'])
    return network.get('depth', 0) >= 50 or network.get('arch') == 'resnet50'


def is_residual(meta: Meta) -> bool:
    """A network of convolutions, of which float32 takes a minute; transformers take seconds."""
    network = meta['model'].get('backbone', meta['model'])
    arch = network.get('arch', 'vit' if 'patch_size' in network else 'resnet')
    return isinstance(arch, str) and arch.startswith('resnet')


def repeats(meta: Meta) -> bool:
    """A network of convolutions, or not the first transformer of its algorithm.

    What float32 costs is seen from one file of an algorithm; these take three programs each.
    """
    steps = map(settings, files_of('step'))
    alike = [m for m in steps if m['algorithm'] == meta['algorithm'] and not is_residual(m)]
    return is_residual(meta) or meta['name'] != alike[0]['name']


def each(
    *kinds: str,
    of: Callable[[Meta], bool] = lambda meta: True,
    slow: Callable[[Meta], bool] = lambda meta: False,
) -> pytest.MarkDecorator:
    """One test with `path` for every file of these kinds, skipped by name where there is none.

    Args:
      kinds: of files, see `kind`.
      of: takes some of them by their settings.
      slow: marks some of them as slow.
    """
    paths = [p for p in files() if any(is_of(p, wanted) for wanted in kinds) and of(settings(p))]
    names = [path.stem for path in paths]
    params = [
        pytest.param(
            path,
            id=path.stem if names.count(path.stem) == 1 else f'{path.parent.name}-{path.stem}',
            marks=[pytest.mark.slow] if slow(settings(path)) else [],
        )
        for path in paths
    ]
    reason = f'no {" or ".join(kinds)} in the folders' if files() else MISSING
    none = pytest.param(None, id='none', marks=pytest.mark.skip(reason=reason))
    return pytest.mark.parametrize('path', params or [none])


@functools.cache
def reader(folder: Path = FOLDERS[0]) -> ModuleType:
    """The reader that lies beside the files: `Golden`, `make_inputs`, `row` and their rules."""
    beside = [f / 'weights.py' for f in (folder, *FOLDERS) if (f / 'weights.py').is_file()]
    spec = importlib.util.spec_from_file_location('golden_weights', beside[0])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Entries(Mapping[str, Any]):
    """A dict that remembers what was looked up in it and in the dicts and lists within."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {key: _remember(value) for key, value in values.items()}
        self._seen: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        value = self._values[key]
        self._seen.add(key)
        return value

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def see(self, pattern: str) -> None:
        """Takes the entries of this pattern as read."""
        self._seen |= set(fnmatch.filter(self._values, pattern))

    def unread(self, prefix: str = '') -> list[str]:
        """The names of all entries that were not looked up, `outer.2.inner` for those within."""
        return [
            name
            for key, value in self._values.items()
            for name in _unread(value, f'{prefix}{key}', key in self._seen)
        ]


def _remember(value: Any) -> Any:
    if isinstance(value, dict):
        return Entries(value)
    return [_remember(item) for item in value] if isinstance(value, list) else value


def _unread(value: Any, name: str, seen: bool) -> list[str]:
    if isinstance(value, Entries) and value:
        return value.unread(f'{name}.')
    if isinstance(value, list) and any(isinstance(item, Entries) for item in value):
        parts = [_unread(item, f'{name}.{number}', seen) for number, item in enumerate(value)]
        return [part for found in parts for part in found]
    return [] if seen else [name]


def plain(value: Any) -> Any:
    """The dicts and lists themselves, all of it taken as read."""
    if isinstance(value, Entries):
        return {key: plain(value[key]) for key in value}
    return [plain(item) for item in value] if isinstance(value, list) else value


class File:
    """A file of reference numbers whose `meta` and `arrays` remember what was looked up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._golden = reader(path.parent).Golden(path)
        self.meta, self.arrays = Entries(self._golden.meta), Entries(self._golden.arrays)

    def state(self) -> dict[str, np.ndarray]:
        """Weights and state, drawn anew or stored."""
        self.arrays.see('stored/*')
        return self._golden.state()

    def inputs(self) -> dict[str, np.ndarray]:
        """Images drawn anew, and recorded arrays."""
        self.arrays.see('in/*')
        return self._golden.inputs()

    def group(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays under `prefix/`, without it."""
        keys = [key for key in self.arrays if key.startswith(f'{prefix}/')]
        return {key.removeprefix(f'{prefix}/'): self.arrays[key] for key in keys}

    def table(self, name: str) -> dict[str, np.ndarray]:
        """Name -> norm, first eight values and probe."""
        rows = self.arrays[f'{name}/table']
        return dict(zip(self._golden.meta['tables'][name], rows, strict=True))

    def unread(self, *allowed: str) -> list[str]:
        """What was not looked up, but for `allowed` patterns and what describes the file."""
        names = self.arrays.unread() + self.meta.unread()
        patterns = (*DESCRIPTIONS, *allowed)
        return [n for n in names if not any(fnmatch.fnmatchcase(n, p) for p in patterns)]


@contextlib.contextmanager
def whole(path: Path, *unread: str) -> Iterator[File]:
    """A file of which the block has to look up every entry, but for the patterns `unread`."""
    saved = File(path)
    yield saved
    left = saved.unread(*unread)
    assert not left, f'{path.name}: no test reads {", ".join(left)}'
