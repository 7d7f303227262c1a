"""A config file of MMSelfSup or MMPretrain with its `_base_` files, as one dict.

The file is parsed and never run: assignments, conditions on values, and `.append` and `.extend` of
a list are followed, everything else in it is refused by its line (`expressions`).
"""

import ast
import dataclasses
import os
import warnings
from pathlib import Path
from typing import Any

from jssl.errors import JsslError, show
from jssl.interop.configs.expressions import BASE, VARIABLE, Expressions
from jssl.interop.configs.values import Budget, Place, Section, copied

LARGEST = 1_000_000  # bytes of a file; those of the reference have ten thousand
DEEPEST = 20  # files that follow from each other by `_base_`
FILES = 100
DELETE = '_delete_'


def read_config(path: Path) -> Section:
    """What a config says, its `_base_` files included.

    Raises:
      JsslError: a file is missing, no Python, too large, part of its own `_base_`, or holds what
        only running it would tell; names the file and the line.
    """
    try:
        return _Reader().read(path, ())
    except RecursionError as error:
        raise JsslError(
            f'{path}: its values are nested deeper than Python can follow; no config of a training '
            'needs that.'
        ) from error


@dataclasses.dataclass
class _Reader:
    """Reads a file and those that it builds on.

    Attributes:
      budget: of values.
      files: how many were read.
    """

    budget: Budget = dataclasses.field(default_factory=Budget)
    files: int = 0

    def read(self, path: Path, above: tuple[Path, ...]) -> Section:
        """The values of a file, `above` being the ones that led to it."""
        real = Path(os.path.realpath(path))
        self.files += 1
        if real in above:
            raise JsslError(f'{path} is its own {BASE}, by way of {above[-1].name}; take it out.')
        if len(above) > DEEPEST or self.files > FILES:
            raise JsslError(f'{path}: more than {DEEPEST} levels or {FILES} files of {BASE}.')
        tree = _parsed(path)
        module = _Module(path, self.budget)
        base = self._base(path, module, tree, (*above, real))
        return module.run(tree, base)

    def _base(
        self, path: Path, module: '_Module', tree: ast.Module, above: tuple[Path, ...]
    ) -> Section:
        """What the `_base_` files of a file say, together."""
        place, names = Place(str(path), 1), list[str]()
        for statement in tree.body:
            if _target(statement) == BASE:
                place, names = module.bases(statement)
        result = Section(place)
        for name in names:
            if '::' in name:
                raise JsslError(
                    f'{place}: {BASE} names {name!r}, which lies in an installed package; copy '
                    'that file beside this one and give its path.'
                )
            file = path.parent / name
            if not os.path.isfile(file):  # a pipe would never end
                raise JsslError(
                    f'{place}: {BASE} names {show(name)}, and there is no such file in '
                    f'{path.parent}; correct it.'
                )
            found = self.read(file, above)
            for key in found:
                if key in result:
                    raise JsslError(
                        f'{place}: {key!r} is in two files of {BASE}, at {result.places[key]} and '
                        f'at {found.places[key]}; take one out.'
                    )
                result.put(key, found[key], found.places[key])
        return result


class _Module:
    """Follows the statements of one file."""

    def __init__(self, path: Path, budget: Budget) -> None:
        self._path, self._budget = path, budget
        self._own = Section(Place(str(path), 1))
        self._words = {
            'fileDirname': str(path.parent),
            'fileBasename': path.name,
            'fileBasenameNoExtension': path.stem,
            'fileExtname': path.suffix,
        }
        self._reads = self._expressions(Section(self._own.place))

    def _expressions(self, base: Section) -> Expressions:
        return Expressions(str(self._path), self._own, base, self._words, self._budget)

    def bases(self, statement: ast.stmt) -> tuple[Place, list[str]]:
        """The files that `_base_` names, and where it does."""
        given = getattr(statement, 'value', None)  # an annotation alone has none
        place = self._reads.place(statement)
        value = None if given is None else self._reads.value(given)
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(x, str) for x in names):
            raise JsslError(f'{place}: {BASE}={show(value)} must be paths of files.')
        return place, list(names)

    def run(self, tree: ast.Module, base: Section) -> Section:
        """The values of the file over those of its bases."""
        self._reads = self._expressions(base)
        for statement in tree.body:
            if _target(statement) != BASE:
                self._follow(statement)
        return merged(base, self._own, self._budget)

    def _follow(self, statement: ast.stmt) -> None:
        if name := _target(statement):
            if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
                place = self._reads.place(statement)
                self._own.put(name, self._reads.value(statement.value), place)
        elif isinstance(statement, ast.If):
            chosen = statement.body if self._reads.value(statement.test) else statement.orelse
            for inner in chosen:
                if _target(inner) == BASE:
                    raise self._reads.refusal(inner, f'{BASE} stands in an if; write it before.')
                self._follow(inner)
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            self._lengthen(statement.value)
        elif not _is_idle(statement):
            raise self._reads.refusal(
                statement,
                'a config is read without running it, and of statements only assignments to a '
                'name, if, and .append and .extend of a list are followed; write the value there.',
            )

    def _lengthen(self, call: ast.Call) -> None:
        """``pipeline.append(x)`` and ``pipeline.extend([x, y])``."""
        method = call.func
        known = isinstance(method, ast.Attribute) and method.attr in ('append', 'extend')
        if not isinstance(method, ast.Attribute) or not known or len(call.args) != 1:
            self._reads.value(call)
            return
        if not isinstance(method.value, ast.Name):
            raise self._reads.refusal(call, f'.{method.attr} of what is no variable; write a list.')
        name = method.value.id
        values = self._own.get(name)
        if not isinstance(values, list):
            raise self._reads.refusal(call, f'{name} is no list above this line; write one.')
        if name in self._reads.read:
            raise self._reads.refusal(
                call, f'{name} grows after it was used above; let it grow before that.'
            )
        added = self._reads.value(call.args[0])
        if method.attr == 'extend' and not isinstance(added, list | tuple):
            raise self._reads.refusal(call, f'{show(added)} is no list; write one.')
        values.extend(added if method.attr == 'extend' else [added])


def merged(base: Any, own: Section, budget: Budget) -> Section:
    """A dict over another: dicts in both are merged, but for one with ``_delete_=True``."""
    result: Section = copied(base, budget, own.place)
    result.place = own.place
    for key, value in own.items():
        place, old = own.places[key], result.get(key)
        if isinstance(value, Section):
            fresh = value.get(DELETE, False) or not isinstance(old, Section)
            value = merged(Section(value.place) if fresh else old, _kept(value), budget)
        result.put(key, value, place)
    return result


def _kept(section: Section) -> Section:
    """A dict without ``_delete_``."""
    if DELETE not in section:
        return section
    result = Section(section.place)
    for key, value in section.items():
        if key != DELETE:
            result.put(key, value, section.places[key])
    return result


def _target(statement: ast.stmt) -> str:
    """The one name that is assigned to, or ''."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    target = targets[0] if len(targets) == 1 else None
    return target.id if isinstance(target, ast.Name) else ''


def _is_idle(statement: ast.stmt) -> bool:
    text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return text or isinstance(statement, ast.Pass)


def _parsed(path: Path) -> ast.Module:
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # reading a pipe would never end
            raise JsslError(f'{path} cannot be read: it is no file; give the path of a config.')
        if os.stat(path).st_size > LARGEST:
            raise JsslError(f'{path} has more than {LARGEST} bytes, which no config needs.')
        with open(path, 'rb') as file:
            text = file.read(LARGEST + 1).decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise JsslError(f'{path} is no text in UTF-8; save it as such.') from error
    except OSError as error:
        raise JsslError(f'{path} cannot be read: {error.strerror}.') from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', SyntaxWarning)
            return ast.parse(text, str(path))
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        line = f':{error.lineno}' if isinstance(error, SyntaxError) and error.lineno else ''
        why = getattr(error, 'msg', None) or 'it is nested too deep, or holds a null byte'
        if variable := VARIABLE.search(text):
            why = f'{variable.group()} is of the environment; write its value there'
        raise JsslError(f'{path}{line} is no Python that can be read: {why}.') from error
