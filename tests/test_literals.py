"""Values as they are typed on a command line."""

import contextlib
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from jssl.literals import read, read_as


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('3', 3),
        ('-1', -1),
        ('+2.5', 2.5),
        ('1e-3', 1e-3),
        ('None', None),
        ('True', True),
        ("'a=b'", 'a=b'),
        ('0.9,0.95', (0.9, 0.95)),
        ('(5,)', (5,)),
        ('()', ()),
        ('[1, [2, (3, -4)]]', [1, [2, (3, -4)]]),
        ("{'bias': {'decay_mult': 0.0}}", {'bias': {'decay_mult': 0.0}}),
        ("dict(type='Folder', path='x')", {'type': 'Folder', 'path': 'x'}),
        ('dict()', {}),
        ("dict(view=dict(type='View', size=8), n=[dict(a=1)])", None),
    ],
)
def test_python_s_literals_are_read(text: str, value: Any) -> None:
    if text.startswith('dict(view'):
        value = {'view': {'type': 'View', 'size': 8}, 'n': [{'a': 1}]}
    assert read(text) == value
    assert type(read(text)) is type(value)


@pytest.mark.parametrize(
    'text',
    [
        *('', 'ResNet', 'a.b', 'train[:10]', '1 + 1', '3j', "b'x'", '{1}', '...', 'f(x=1)', '(1'),
        *('dict(a)', "dict('a', 1)", 'dict(**{})', 'dict([("a", 1)])', '{1: 2}', '{**{}}', '[*()]'),
        *('__import__("os").system("x")', 'lambda: 0', '[x for x in ()]', '1 if 1 else 2', '-True'),
        *(
            'f"{1}"',
            'not 1',
            '~1',
            '-"a"',
            '(' * 500,
            '[' * 100_000,
            '9' * 5000,
            '\0',
            '1if 1else 2',
        ),
        *('-' * 5000 + '1', 'dict(a=' * 300, 'x := 1', 'a' * 10**5, 'dict(a=1, a=2)'),
    ],
)
def test_nothing_else_is(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  of whatever words
        read(text)


@pytest.mark.parametrize(
    ('text', 'hint', 'value'),
    [
        ('2024', str, '2024'),
        ('train[:10]', str, 'train[:10]'),
        ("'quoted'", str, 'quoted'),
        ('', str, ''),
        ('(a folder', str, '(a folder'),
        ('None', str | None, None),
        ('None', int | None, None),
        ('1', float, 1.0),
        ('nan', float, 'nan'),
        ('-inf', float | None, float('-inf')),
        ('red', float, 'red'),
        ('1', int | None, 1),
        ('1e1', int, 10.0),
        ('[1, 2]', tuple[int, ...], (1, 2)),
        ('[[1], 2]', Sequence[Any], ((1,), 2)),
        ('[1, 2]', Any, [1, 2]),
        ('true', bool, True),
        ('0', bool, False),
        ('1', bool, True),
        ('False', bool, False),
        ('2', bool, 2),
        ('tiny', str | Mapping[str, int], 'tiny'),
        ('dict(depth=3)', str | Mapping[str, int], {'depth': 3}),
        ('7', str | Mapping[str, int], '7'),
        ('a=b', Any, 'a=b'),
        ('1' + '0' * 400, float, None),
    ],
)
def test_a_value_takes_the_type_of_its_field(text: str, hint: Any, value: Any) -> None:
    found = read_as(text, hint)
    if value == 'nan':
        assert found != found
    elif value is None and len(text) > 9:
        assert found == 10**400
    else:
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize('text', ['dict(type=Folder)', '[a, b]', '(1', '{x}'])
def test_what_looks_like_brackets_is_no_string(text: str) -> None:
    with pytest.raises(ValueError, match='strings in it need quotes'):
        read_as(text, Any)


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(20))
def test_any_text_is_read_or_refused(seed: int) -> None:
    draw = random.Random(seed)
    pieces = ['dict(', '(', ')', '[', ']', '{', '}', ',', '=', ':', "'", '"', '-', '.', '1', 'e9']
    pieces += ['a', 'None', 'True', ' ', '\n', '\\', '\0', '*', '**', 'lambda', '\ud800', 'é', 'f"']
    hints = [Any, str, int, float, bool, tuple[int, ...], str | None, str | Mapping[str, int]]
    for _ in range(2000):
        text = ''.join(draw.choices(pieces, k=draw.randint(0, 12)))
        with contextlib.suppress(ValueError):
            read_as(text, draw.choice(hints))
