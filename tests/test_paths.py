"""Paths as people type them: expanded, or refused before a run that could not be restored."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from jssl.data import Arrays
from jssl.data.preparing.conversion import Target, prepare
from jssl.fitting.fit import fit
from jssl.paths import expanded, run_directory
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.workdir import make_workdir
from tests.checks import refused
from tests.training import toy

NOT_UTF8 = os.fsdecode(b'caf\xe9')
ODD = (
    'a b',
    'ü日本\N{COMBINING ACUTE ACCENT}',
    '\'"$(x)&;#%{0}',
    'a\nb',
    ']',
    '~',
    '-',
    'a:b',
    'x' * 200,
)
REFUSED = {
    '': '--workdir= is empty',
    ' ': '--workdir= is empty',
    'gs://bucket/run': '--workdir=gs://bucket/run is an address',
    's3://bucket': 'Mount s3: there',
    'file:///data/run': 'is an address',
    'run[1]': 'has [ in its path',
    'a/*/b?': 'has * and ? in its path',
    'C:\\runs': 'has \\ in its path',
    NOT_UTF8: 'bytes in its path that are no UTF-8',
    'a\0b': 'has a zero byte',
    '~nobody_of_that_name/run': "of a user 'nobody_of_that_name', and there is none",
    '/'.join(['y' * 200] * 20): 'bytes; checkpoints need one of at most',
}


@pytest.mark.parametrize('given', REFUSED, ids=range(len(REFUSED)))
def test_where_no_run_can_live_is_refused(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with refused('--workdir', REFUSED[given]):
        make_workdir(given, 'x')
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize('name', ODD, ids=range(len(ODD)))
def test_what_is_saved_at_an_odd_path_is_restored(name: str, tmp_path: Path) -> None:
    workdir = make_workdir(tmp_path / name, 'x')
    tree = {'a': jnp.arange(12.0).reshape(4, 3)}
    for _ in range(2):  # whose other run a pattern would find as well
        checkpoints = Checkpoints(workdir / 'checkpoints')
        checkpoints.save(1, tree)
        place = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        found = checkpoints.restore({'a': jax.ShapeDtypeStruct((4, 3), 'float32', sharding=place)})
        checkpoints.close()
        assert found is not None
        assert (found[0]['a'] == tree['a']).all()


def test_a_link_leads_to_a_path_that_does_not_work(tmp_path: Path) -> None:
    """As the refusal advises."""
    (tmp_path / 'a[b]').mkdir()
    with refused('a symbolic link to that directory under a plain name'):
        run_directory(tmp_path / 'a[b]')
    (tmp_path / 'plain').symlink_to(tmp_path / 'a[b]')
    test_what_is_saved_at_an_odd_path_is_restored('plain', tmp_path)


def test_home_directories_are_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', '/home/ada')
    assert expanded('~/runs') == expanded(Path('~/runs')) == Path('/home/ada/runs')
    assert expanded('runs/~') == Path('runs/~')
    assert run_directory('/tmp/~x') == Path('/tmp/~x')


@pytest.mark.parametrize('name', ['x' * 300, 'é' * 130])
def test_a_name_that_no_file_system_takes_is_refused(name: str, tmp_path: Path) -> None:
    with refused(f'has a name of {len(name.encode())} bytes in its path', '255'):
        run_directory(tmp_path / name / 'run')
    with refused('bytes in its path'):
        fit(toy.experiment(), workdir=tmp_path / name)
    with refused('cannot be written', 'choose another --out'):
        prepare({'train': Arrays(toy.images(1, 0))}, tmp_path / ('x' * 300), Target(8))
