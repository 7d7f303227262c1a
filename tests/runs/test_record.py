"""Values as people write them in configs, and what config.json makes of them."""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from jssl.fitting.fit import fit
from jssl.main import main
from jssl.runs.record import recordable
from tests.checks import refused
from tests.training import toy


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        (np.int64(32), 32),
        (np.float32(0.5), 0.5),
        (np.bool_(True), True),
        (np.array(3), 3),
        (jnp.float32(0.5), 0.5),
        (ml_dtypes.bfloat16(0.5), 0.5),
        (jnp.bfloat16, 'bfloat16'),
        (np.float16, 'float16'),
        (np.dtype('float32'), 'float32'),
        (Path('a/b'), 'a/b'),
        ((1, 'x', None, [True]), (1, 'x', None, [True])),
        ({'a': {1: np.int8(2)}}, {'a': {1: 2}}),
    ],
)
def test_natural_values_become_those_of_json(value: Any, expected: Any) -> None:
    found = recordable(value)
    assert found == expected
    assert type(found) is type(expected)
    json.dumps(found)


def holds_itself() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found['a'] = found
    return found


@pytest.mark.parametrize(
    ('value', 'named'),
    [
        (np.zeros(2), 'config.x.1=array'),
        (jnp.zeros((2, 2)), 'config.x.1='),
        ({1}, 'config.x.1={1}'),
        (b'x', "config.x.1=b'x'"),
        (1j, 'config.x.1=1j'),
        (np.complex64(1j), 'config.x.1='),
        (dict, 'config.x.1=<class'),
        (object(), 'config.x.1=<object'),
        ({(1, 2): 3}, 'config.x.1 has the key (1, 2)'),
        (holds_itself(), 'config is nested too deeply'),
    ],
)
def test_what_json_cannot_hold_is_named_by_its_path(value: Any, named: str) -> None:
    with refused(named, 'config.json'):
        recordable({'x': [0, value]})


def test_the_command_line_refuses_it_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ['import numpy as np', 'import ml_collections', 'def get_config():']
    lines += ['    return ml_collections.ConfigDict({"a": np.int8(1), "b": {2}})']
    (tmp_path / 'config.py').write_text('\n'.join(lines))
    assert main([f'--config={tmp_path / "config.py"}']) == 2
    assert 'config.b={2} cannot be kept in config.json' in capsys.readouterr().err


def test_fit_refuses_a_config_before_it_makes_a_directory(tmp_path: Path) -> None:
    with refused('config.note={1}'):
        fit(toy.experiment(), workdir=tmp_path / 'run', config={'note': {1}})
    assert not (tmp_path / 'run').exists()
