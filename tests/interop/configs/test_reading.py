"""Configs are read with their bases, by their syntax alone; hostile ones end in a paragraph."""

import contextlib
import os
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from jssl.interop.configs.reading import read_config
from tests.checks import refused

HARMLESS = (
    'x = 1e999 * 0',
    'x = ' + '[' * 90 + ']' * 90,
    ''.join(' ' * n + 'if 1:\n' for n in range(90)) + ' ' * 90 + 'x = 1',
)


def read(folder: Path, text: str | bytes, **others: str) -> dict[str, Any]:
    """The values of a file; the keywords are files beside it."""
    for name, content in others.items():
        (folder / f'{name}.py').write_text(content)
    file = folder / 'config.py'
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_config(file)


def test_values_are_those_that_python_would_find(tmp_path: Path) -> None:
    text = '''
"""A docstring."""
a: int = 2
b = [1, -2.5, 'x', (True, None), *[3, 4], 1e-3 * 4096 / 256, 2**3, 7 // 2, 7 % 4, +a]
c = dict(x=a, **dict(y=3), z={'k.1': a, **dict(w=1)})
d = list((1, 2)) + [3] * 2
e = f'{a}x{b[2]}' if a == 2 and not False or 1 > 2 else None
f = 3 in d and 'q' not in 'abc' and a is not None and 0 < a <= 2
pass
'''
    found, expected = read(tmp_path, text), dict[str, Any]()
    exec(text, expected)
    assert dict(found) == {name: expected[name] for name in list('abcdef')}


def test_a_base_is_merged_and_its_lines_are_known(tmp_path: Path) -> None:
    base = "x = dict(a=1, b=dict(c=2, d=[1]),\n         e=dict(f=1))\ny = 5\nz = 'old'\n"
    text = (
        "_base_ = './base.py'\nx = dict(\n    a=3,\n    b=dict(c=4), e=dict(_delete_=True, g=2))\n"
    )
    found: Any = read(tmp_path, text + 'z = dict(new=1)\n', base=base)
    assert found == {
        'x': {'a': 3, 'b': {'c': 4, 'd': [1]}, 'e': {'g': 2}},
        'y': 5,
        'z': {'new': 1},
    }
    assert str(found.where('x', 'a')) == f'{tmp_path / "config.py"}:3'
    assert str(found.where('x', 'b', 'd')) == f'{tmp_path / "base.py"}:1'
    assert str(found.where('x', 'b', 'none')) == f'{tmp_path / "config.py"}:4'
    assert str(found.where('y')) == f'{tmp_path / "base.py"}:3'


def test_files_of_other_editors_and_annotated_bases_are_read(tmp_path: Path) -> None:
    text = "_base_: list = ['base.py']\r\ny: int = 2\r\nz: int\r\n"
    found = read(tmp_path, b'\xef\xbb\xbf' + text.encode(), base='x = 1\n')
    assert found == {'x': 1, 'y': 2}


def test_a_config_refers_to_its_base(tmp_path: Path) -> None:
    text = """
_base_ = ['base.py']
a = {{_base_.n}}
b = _base_.d.e
c = '{{ _base_.d }}'
d = dict(k={{_base_.s[1]}})
f = [*_base_.s, '{{ fileBasename }}', '{{fileBasenameNoExtension}}']
"""
    found = read(tmp_path, text, base="n = 3\nd = dict(e='x')\ns = [1, 2]\n")
    assert (found['a'], found['b'], found['c']) == (3, 'x', {'e': 'x'})
    assert found['d'] == {'e': 'x', 'k': 2}
    assert found['f'] == [1, 2, 'config.py', 'config']


def test_lists_grow_and_conditions_choose(tmp_path: Path) -> None:
    text = """
fast = False
steps = [1]
if not fast:
    steps.extend([2, 3])
else:
    steps.append(9)
steps.append(4)
whole = dict(steps=steps)
"""
    assert read(tmp_path, text)['whole'] == {'steps': [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ('text', 'said'),
    [
        ("x = __import__('os').system('touch ran')", 'config.py:1: a config is read without'),
        ("import os\nos.system('touch ran')", 'config.py:1: a config is read without running'),
        ("x = open('ran', 'w')", 'only dict(a=1)'),
        ("x = 'a'.upper()", 'config.py:1'),
        ("print('hello')", 'only dict(a=1)'),
        ('x = [a for a in (1, 2)]', 'a comprehension'),
        ('x = {a: [0] * 10 for a in range(10)}', 'a comprehension'),
        ('x = (lambda: 3)()', 'config.py:1'),
        ('y = (lambda: 3)', 'a lambda'),
        ('x = (y := 3)', 'an assignment inside'),
        ('def f():\n    return 3', 'config.py:1'),
        ('while True:\n    pass', 'config.py:1'),
        ('x = dict.__class__', '.__class__ of anything but _base_'),
        ('x = ().__class__.__bases__[0]', 'anything but _base_'),
        ('a, b = 1, 2', 'only assignments to a name'),
        ('a.b = 3', 'only assignments to a name'),
        ('a = 1\na += 1', 'only assignments to a name'),
        ('x = y', "no variable 'y'"),
        ('x = {1, 2}', 'a set'),
        ("x = b'bytes'", 'is no value of a config'),
        ('x = 3j', 'is no value of a config'),
        ('x = [1, 2][0:1]', 'a part of a list'),
        ('x = [1][5]', '[5] is not in the value'),
        ('x = dict(a=1)["b"]', "['b'] is not in the value"),
        ("x = 'a' - 1", 'cannot be combined'),
        ('x = 1 / 0', 'cannot be combined'),
        ('x = (-1) ** 0.5', 'a root of a negative number'),
        ("x = '%0999999999d' % 1", "'...' % x"),
        ("x = f'{1:>999999999}'", 'in an f-string only {x}'),
        ("x = f'{[1]!r}'", 'in an f-string only {x}'),
        ("x = 'a' < 1", 'cannot be compared'),
        ("x = -'a'", 'is no number'),
        ('x = dict(**3)', 'is no dict'),
        ('x = [*3]', 'is no list'),
        ('x = dict([(1, 2)])', 'only dict(a=1)'),
        ('x = {(1, 2): 3}', 'must be a text'),
        ('x = 3\nx.append(1)', 'is no list above this line'),
        ('x = [1]\ny = x\nx.append(1)', 'grows after it was used'),
        ('x = [1]\nx.extend(3)', 'is no list'),
        ('[1].append(3)', 'of what is no variable'),
        ("x = '{{$DATA:/data}}/images'", '{{$DATA:/data}} takes a variable of the environment'),
        ('x = 1\ny = {{$BATCH:32}}', 'config.py:2 is no Python that can be read: {{$BATCH:32}}'),
        ("if True:\n    _base_ = 'x.py'", 'config.py:2: _base_ stands in an if'),
        ("_base_ = 'none.py'", "names 'none.py', and there is no such file in"),
        (f"_base_ = '{'n' * 5000}.py'", 'and there is no such file in'),
        ("_base_ = 'mmcls::_base_/x.py'", 'in an installed package'),
        ('_base_ = 3', 'must be paths'),
        ("_base_ = 'config.py'", 'is its own _base_'),
        ('x = _base_.y', '_base_.y is not in the files of _base_'),
        ('x = {{_base_.y}}', '_base_.y is not in the files of _base_'),
        ('x = (', 'config.py:1 is no Python'),
        ('x = 1\0', 'is no Python'),
        (b'x = "\xff\xfe"', 'is no text in UTF-8'),
    ],
)
def test_what_is_not_read_is_named_by_its_line(
    text: str | bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with refused(said) as error:
        read(tmp_path, text)
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize(
    'text',
    [
        'x = 9**9**9',
        'x = 10**64\ny = x**64',
        f'x = 1{"0" * 4000} * 1{"0" * 4000}',
        "x = 'a' * 10**12",
        "x = 10**9 * 'a'",
        'x = [0] * 10**10',
        'x = (1, 2) * 10**9 * 10**9',
        'a = [0] * 1000\n' + 'b = [a] * 1000\nc = [b] * 1000\nd = [c] * 1000',
        'a = [1]\n' + 'a = [a, a]\n' * 60,
        'a = dict(b=1)\n' + 'a = dict(x=a, y=a, z=a)\n' * 40,
        "a = 'x'\n" + 'a = a + a\n' * 60,
        "a = 'x'\n" + "a = f'{a}{a}'\n" * 60,
        'x = ' + '(' * 5000 + ')' * 5000,
        'x = ' + '[' * 100_000,
        'x = ' + '-' * 100_000 + '1',
        'x = ' + '1+' * 100_000 + '1',
        'x = ' + 'not ' * 50_000 + '1',
        'x = _base_' + '.a' * 100_000,
        'x = ' + 'dict(a=' * 3000 + '1' + ')' * 3000,
        *HARMLESS,
        'x = {{' + '$' * 900_000,
        '#' * 2_000_000,
    ],
    ids=lambda text: text[:12].replace('\n', ';'),
)
def test_hostile_files_take_neither_time_nor_memory(text: str, tmp_path: Path) -> None:
    tracemalloc.start()
    begin = time.process_time()
    with contextlib.nullcontext() if text in HARMLESS else refused('config.py') as error:
        read(tmp_path, text)
    assert error is None or len(str(error.value)) < 1000
    assert time.process_time() - begin < 10
    assert tracemalloc.get_traced_memory()[1] < 400 * 2**20
    tracemalloc.stop()


def test_bases_neither_loop_nor_multiply(tmp_path: Path) -> None:
    with refused('is its own _base_'):
        read(tmp_path, "_base_ = 'a.py'", a="_base_ = 'b.py'", b="_base_ = 'config.py'")
    chain = {f'c{n}': f"_base_ = 'c{n + 1}.py'" for n in range(40)}
    with refused('levels or'):
        read(tmp_path, "_base_ = 'c0.py'", **chain)
    wide = {f'w{n}': f"_base_ = ['w{n + 1}.py', 'w{n + 1}.py']" for n in range(15)}
    with refused('levels or'):
        read(tmp_path, "_base_ = 'w0.py'", **wide, w15='')


def test_a_key_of_two_bases_is_told_with_both_lines(tmp_path: Path) -> None:
    with refused("'x' is in two files of _base_", 'a.py:1', 'b.py:2'):
        read(tmp_path, "_base_ = ['a.py', 'b.py']", a='x = 1', b='y = 1\nx = 2')


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with refused('cannot be read'):
        read_config(tmp_path / 'none.py')
    with refused('cannot be read'):
        read_config(tmp_path)
    os.mkfifo(tmp_path / 'pipe.py')
    with refused('pipe.py cannot be read: it is no file'):
        read_config(tmp_path / 'pipe.py')
