"""The value of an expression in a config, found from its syntax: nothing is called or imported.

What configs use is known: literals, lists, `dict(...)`, arithmetic, names of earlier variables,
``_base_.x`` and ``{{_base_.x}}``, f-strings, comparisons and conditions. Everything else, a call of
any other function above all, is refused by its line.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from jssl.errors import JsslError, show
from jssl.interop.configs.values import LONGEST, Budget, Place, Section, checked, copied

BASE = '_base_'
VARIABLE = re.compile(r'\{\{[^{}$]*\$[^{}]*\}\}')
EXPONENT = 64  # the largest, either way
SUMS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
SIGNS: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
}
TESTS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, values: item in values,
    ast.NotIn: lambda item, values: item not in values,
}


class Expressions:
    """Finds the values of expressions in one file.

    Args:
      file: its path, for messages.
      names: the variables so far.
      base: what its `_base_` files say.
      words: what stands for ``{{ fileBasename }}`` and the like in texts.
      budget: of values that may be made.
    """

    def __init__(
        self,
        file: str,
        names: Mapping[str, Any],
        base: Section,
        words: Mapping[str, str],
        budget: Budget,
    ) -> None:
        self._file, self._names, self._base, self._words = file, names, base, words
        self._budget = budget
        self.read: set[str] = set()  # the names that were looked up

    def place(self, node: ast.AST) -> Place:
        """Where a piece of syntax stands."""
        return Place(self._file, getattr(node, 'lineno', 1))

    def refusal(self, node: ast.AST, why: str) -> JsslError:
        """The error about a piece of syntax."""
        return JsslError(f'{self.place(node)}: {why}')

    def value(self, node: ast.expr) -> Any:
        """The value of an expression.

        Raises:
          JsslError: it has none without running code, is wrong, or is too large.
        """
        self._budget.spend(1, self.place(node))
        found = getattr(self, f'_{type(node).__name__.lower()}', None)
        if found is None:
            raise self.refusal(
                node,
                f'a config is read without running it, and {self._source(node)} would have to run; '
                'write its value there.',
            )
        return found(node)

    def _source(self, node: ast.AST) -> str:
        kinds = {'ListComp': 'a comprehension', 'GeneratorExp': 'a comprehension'}
        kinds |= {'SetComp': 'a comprehension', 'DictComp': 'a comprehension'}
        kinds |= {'Lambda': 'a lambda', 'Call': 'a call', 'NamedExpr': 'an assignment inside'}
        return kinds.get(type(node).__name__, f'a piece of syntax ({type(node).__name__})')

    def _constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, bytes | complex) or node.value is ...:
            raise self.refusal(node, f'{show(node.value)} is no value of a config; take it out.')
        value = checked(node.value, self.place(node))
        return self._filled(value, node) if isinstance(value, str) and '{{' in value else value

    def _filled(self, text: str, node: ast.AST) -> Any:
        """A text with ``{{ fileBasename }}``, or of ``{{ _base_.x }}`` alone, put in."""
        if variable := VARIABLE.search(text):
            raise self.refusal(
                node,
                f'{variable.group()} takes a variable of the environment, which is not read; write '
                'its value there.',
            )
        inner = text.strip().removeprefix('{{').removesuffix('}}').strip()
        if inner.startswith(f'{BASE}.') and text.strip().startswith('{{'):
            return self._of_base(inner.split('.')[1:], node)
        for word, meaning in self._words.items():
            for written in (f'{{{{ {word} }}}}', f'{{{{{word}}}}}'):
                text = text.replace(written, meaning)
        return checked(text, self.place(node))

    def _name(self, node: ast.Name) -> Any:
        if node.id == BASE:
            return copied(self._base, self._budget, self.place(node))
        if node.id not in self._names:
            raise self.refusal(
                node, f'there is no variable {node.id!r} above this line; write its value there.'
            )
        self.read.add(node.id)
        return copied(self._names[node.id], self._budget, self.place(node))

    def _attribute(self, node: ast.Attribute) -> Any:
        names: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            names.append(inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name) or inner.id != BASE:
            raise self.refusal(
                node,
                f'.{node.attr} of anything but {BASE} is not read; write the value there.',
            )
        return self._of_base(names[::-1], node)

    def _of_base(self, names: list[str], node: ast.AST) -> Any:
        found: Any = self._base
        for name in names:
            name, *numbers = name.replace(']', '').split('[')
            if not isinstance(found, Section) or name not in found:
                where = '.'.join(names)
                raise self.refusal(node, f'{BASE}.{where} is not in the files of {BASE}.')
            found = found[name]
            for number in numbers:
                found = self._item(found, int(number) if number.isdecimal() else number, node)
        return copied(found, self._budget, self.place(node))

    def _set(self, node: ast.Set) -> Any:
        """``{{_base_.x}}``, which Python reads as a set in a set; there are no other sets."""
        inner = node.elts[0]
        if len(node.elts) == 1 and isinstance(inner, ast.Set) and len(inner.elts) == 1:
            return self.value(inner.elts[0])
        raise self.refusal(node, 'a set is no value of a config; write a list.')

    def _subscript(self, node: ast.Subscript) -> Any:
        if isinstance(node.slice, ast.Slice):
            raise self.refusal(node, 'a part of a list is not read; write it there.')
        return self._item(self.value(node.value), self.value(node.slice), node)

    def _item(self, value: Any, key: Any, node: ast.AST) -> Any:
        try:
            return value[key]
        except (TypeError, LookupError) as error:
            raise self.refusal(
                node, f'[{show(key)}] is not in the value before it; correct it.'
            ) from error

    def _list(self, node: ast.List) -> list[Any]:
        return self._elements(node.elts)

    def _tuple(self, node: ast.Tuple) -> tuple[Any, ...]:
        return tuple(self._elements(node.elts))

    def _elements(self, nodes: list[ast.expr]) -> list[Any]:
        result: list[Any] = []
        for node in nodes:
            if not isinstance(node, ast.Starred):
                result.append(self.value(node))
                continue
            several = self.value(node.value)
            if not isinstance(several, list | tuple):
                raise self.refusal(node, f'*{show(several)} is no list; write one.')
            result += several
        return result

    def _dict(self, node: ast.Dict) -> Section:
        result = Section(self.place(node))
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                self._merge(result, value)
                continue
            name = self.value(key)
            if not isinstance(name, str | int):
                raise self.refusal(key, f'the key {show(name)} must be a text.')
            result.put(str(name), self.value(value), self.place(key))
        return result

    def _call(self, node: ast.Call) -> Any:
        """`dict(...)`, and `list` and `tuple` of a list."""
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if name == 'dict' and not node.args:
            result = Section(self.place(node))
            for keyword in node.keywords:
                if keyword.arg is None:
                    self._merge(result, keyword.value)
                else:
                    result.put(keyword.arg, self.value(keyword.value), self.place(keyword))
            return result
        if name in ('list', 'tuple') and len(node.args) <= 1 and not node.keywords:
            given = self.value(node.args[0]) if node.args else []
            if isinstance(given, list | tuple):
                return list(given) if name == 'list' else tuple(given)
        raise self.refusal(
            node,
            'a config is read without running it, and of calls only dict(a=1) is known; write the '
            'value there.',
        )

    def _merge(self, result: Section, node: ast.expr) -> None:
        """``**other`` in a dict."""
        other = self.value(node)
        if not isinstance(other, Section):
            raise self.refusal(node, f'**{show(other)} is no dict; write one.')
        for key, value in other.items():
            result.put(key, value, other.places[key])

    def _binop(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        self._check_size(node, left, right)
        try:
            result = SUMS[type(node.op)](left, right)
        except (KeyError, TypeError, ArithmeticError, ValueError) as error:
            raise self.refusal(
                node, f'{show(left)} and {show(right)} cannot be combined so; correct it.'
            ) from error
        if isinstance(result, list | tuple):
            return copied(result, self._budget, self.place(node))
        if isinstance(result, complex):
            raise self.refusal(node, 'a root of a negative number; correct it.')
        return checked(result, self.place(node))

    def _check_size(self, node: ast.BinOp, left: Any, right: Any) -> None:
        """Refuses powers and repetitions that would take time or memory, before they do."""
        parts = (left, right)
        power = isinstance(node.op, ast.Pow)
        if power and (not isinstance(right, int | float) or abs(right) > EXPONENT):
            raise self.refusal(
                node, f'the power {show(left)}**{show(right)} is too large; write its value.'
            )
        if not isinstance(node.op, ast.Mult):
            if isinstance(node.op, ast.Mod) and isinstance(left, str):
                raise self.refusal(node, "'...' % x is not read; write the text.")
            return
        many = next((part for part in parts if isinstance(part, str | list | tuple)), None)
        times = next((part for part in parts if isinstance(part, int)), 1)
        if many is None:
            return
        if isinstance(many, str) and len(many) * times > LONGEST:
            raise self.refusal(node, f'a text of {len(many) * times} characters is too long.')
        self._budget.spend(max(len(many) * times, 0), self.place(node))

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        value = self.value(node.operand)
        try:
            return SIGNS[type(node.op)](value)
        except (KeyError, TypeError) as error:
            raise self.refusal(node, f'{show(value)} is no number; correct it.') from error

    def _boolop(self, node: ast.BoolOp) -> Any:
        result: Any = None
        for part in node.values:
            result = self.value(part)
            if bool(result) != isinstance(node.op, ast.And):
                break
        return result

    def _compare(self, node: ast.Compare) -> bool:
        left = self.value(node.left)
        for test, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node)
            try:
                if not TESTS[type(test)](left, right):
                    return False
            except TypeError as error:
                raise self.refusal(
                    node, f'{show(left)} and {show(right)} cannot be compared; correct it.'
                ) from error
            left = right
        return True

    def _ifexp(self, node: ast.IfExp) -> Any:
        return self.value(node.body if self.value(node.test) else node.orelse)

    def _joinedstr(self, node: ast.JoinedStr) -> str:
        parts = [self.value(part) for part in node.values]
        return str(checked(''.join(map(str, parts)), self.place(node)))

    def _formattedvalue(self, node: ast.FormattedValue) -> str:
        value = self.value(node.value)
        plain = isinstance(value, str | int | float) and node.conversion in (-1, ord('s'))
        if not plain or node.format_spec is not None:
            raise self.refusal(
                node, 'in an f-string only {x} of a text or a number is read; write the text.'
            )
        return str(value)
