"""``--sweep``: what it takes, and what it refuses."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from jssl.cli.sweeps import read
from jssl.main import main
from jssl.runs.checkpoints import read_parts
from jssl.runs.metrics import read_metrics
from tests import tiny
from tests.conftest import ROOT
from tests.test_main import refusal


def test_every_combination_is_a_lane() -> None:
    text = "optimizer.lr=[1e-3, 3e-3]; --config.seed = range(4) ;views.type=['A']"
    lanes = read(text)
    assert len(lanes) == 8
    assert lanes[5] == {'optimizer.lr': 3e-3, 'seed': 1, 'views.type': 'A'}
    assert [lane['seed'] for lane in read('seed=range(3, 0, -1)')] == [3, 2, 1]


@pytest.mark.parametrize('page', ['docs/guides/overrides.md', 'docs/guides/sweeps.md'])
def test_the_sweep_of_a_page_is_one_of_eight_lanes(page: str) -> None:
    found = re.findall(r'^jssl train simclr --sweep="(.*?)"', (ROOT / page).read_text(), re.M)
    assert [len(read(text)) for text in found] == [8]


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('', ['names no field', 'seed=range(4)']),
        ('seed', ["'seed' is no field=values"]),
        ('seed=3', ['write seed=[3]']),
        ('seed=[]', ['seed=[] has no value; write at least one']),
        ('seed=range(-3)', ['seed=range(-3) has no value']),
        (f'seed=range({10**30})', ['is no range']),
        ('seed=[1, 1]', ['seed=[1, 1] has a value twice']),
        ('seed=[0]; seed=[1]', ['names seed twice']),
        ('seed=range(4.0)', ["'range(4.0)' is no range"]),
        ('seed=range(2**9)', ['seed', 'no Python literal']),
        ('seed=range(1, 2, 0)', ['range', 'zero']),
        ('seed=range(2000)', ['2000 lanes, more than 1000']),
        ('seed=[__import__("os")]', ['values of seed cannot be read']),
        ('optimizer.lrr=[1, 2]', ['optimizer.lrr', "Did you mean 'lr'"]),
        ('canvas=[32, 64]', ['config.canvas cannot vary', '--config.canvas=64']),
        ('evaluate.neighbors=[1, 2]', ['config.evaluate.neighbors cannot vary']),
        ('optimizer.lr=[-1, 1]', ['optimizer.lr', '-1']),
    ],
)
def test_bad_sweeps_are_refused_before_anything_is_made(
    capsys: pytest.CaptureFixture[str],
    digits_dir: str,
    tmp_path: Path,
    text: str,
    words: list[str],
) -> None:
    argv = tiny.arguments(digits_dir, tmp_path / 'run', mesh__devices=1)
    said = refusal(capsys, [*argv, f'--sweep={text}'])
    for word in words:
        assert word in said
    assert not (tmp_path / 'run').exists()


def test_a_field_is_set_once(
    capsys: pytest.CaptureFixture[str], digits_dir: str, tmp_path: Path
) -> None:
    argv = tiny.arguments(digits_dir, tmp_path / 'run', mesh__devices=1, seed=3)
    assert 'set the same field' in refusal(capsys, [*argv, '--sweep=seed=[1, 2]'])


@pytest.mark.slow(reason='compiles three programs: pytest -m slow tests/cli/test_sweeps.py')
def test_lanes_are_the_runs_of_their_overrides(digits_dir: str, tmp_path: Path) -> None:
    base = tiny.arguments(digits_dir, mesh__devices=1)
    sweep = 'optimizer.lr=[1e-3, 3e-3]; model.head.temperature=[0.1, 0.5]; seed=[0, 7]'
    assert main([*base, f'--workdir={tmp_path / "sweep"}', f'--sweep={sweep}']) == 0
    for number in (0, 7):
        lane = tmp_path / 'sweep' / f'lane-{number}'
        settings = json.loads((lane.parent / 'sweep.json').read_text())['lanes'][lane.name]
        own = [f'--config.{field}={value}' for field, value in settings.items()]
        alone = tmp_path / f'alone-{number}'
        assert main([*base, f'--workdir={alone}', *own]) == 0
        configs = [json.loads((run / 'config.json').read_text())['config'] for run in (lane, alone)]
        assert configs[0] == configs[1]
        losses = [
            [row['loss'] for row in read_metrics(run / 'metrics.jsonl') if 'loss' in row]
            for run in (lane, alone)
        ]
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
        found, expected = (read_parts(run / 'checkpoints', ('params',))[0] for run in (lane, alone))
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected
        )
