"""Written configs are Python that says the same, and nothing of them runs but that."""

from pathlib import Path
from typing import Any

import pytest

from jssl.cli.configs import load
from jssl.interop.configs.writing import comment, literal, written
from tests.checks import refused

ODD: dict[str, Any] = {
    'model': {'type': "it's", 'class': 1, 'a.b': [1, 2], 'tuple': (1,), 'empty': {}},
    'views': {'text': 'x\n"""\nimport os\\', 'numbers': [0.1, 1e-12, -3, True, None]},
    'optimizer': {'keys': {f'key{n}': {'decay_mult': 0.0, 'lr_mult': 0.5} for n in range(6)}},
}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / 'mine.py'
    hostile = 'base.py\nraise SystemExit("""'
    text = written(ODD, {'model': hostile, 'views': 'x' * 300}, [hostile, '', "'''\x0c\u2028\r x"])
    file.write_text(text, encoding='utf-8')
    found = load(str(file))
    assert {key: found[key] for key in ODD} == ODD
    short = [line for line in text.splitlines() if 'xxxx' not in line]
    assert max(map(len, short)) <= 100
    assert 'SystemExit' in text
    assert all('#' in line for line in text.splitlines() if 'SystemExit' in line)


def test_short_values_stay_on_a_line_and_long_ones_do_not() -> None:
    assert literal({'a': (1,), 'b': [True, 'x']}, 0) == "dict(a=(1,), b=[True, 'x'])"
    assert literal({'a.b': 1}, 0) == "{'a.b': 1}"
    long = literal({'numbers': list(range(40))}, 4)
    assert long.startswith('dict(\n        numbers=[\n            0,\n')
    assert long.endswith('\n    )')


def test_comments_have_no_line_ends_of_others() -> None:
    assert comment('a\nb', 4) == '    # a b'
    assert comment('') == '# '.rstrip() or comment('') == '# '


@pytest.mark.parametrize('value', [float('nan'), float('inf'), object(), {1, 2}])
def test_what_has_no_literal_is_refused(value: Any) -> None:
    with refused('The config has'):
        literal({'a': [value]}, 0)
