"""What is left behind when things go wrong on the way, and after it."""

import dataclasses
import html
import json
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jssl
from jssl.data import Arrays
from jssl.fitting.fit import fit
from jssl.fitting.outcome import Outcome
from jssl.weights.files import read_weights
from tests.checks import refused
from tests.training import toy

NAMES = ['caf\udce9', '_hidden', '猫', 'a $ b $', '<script>', 'x' * 300, 'שלום', 'nul\x00\x1b[1m']


class Named(Arrays):
    """Images with classes of these names."""

    label_names = NAMES


@dataclasses.dataclass(frozen=True)
class Kept(toy.Toy):
    """Has no teacher, and says that it keeps it."""

    keeps = 'teacher'


@pytest.fixture(scope='module')
def eventful(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, str]:
    """A run on classes of odd names whose files are removed while it trains, and what it says."""
    directory = tmp_path_factory.mktemp('eventful')

    def remove() -> None:
        (directory / 'metrics.jsonl').unlink()
        (directory / 'config.json').unlink()

    found = toy.experiment(
        Kept(part='encoder'),
        test_data=Named(toy.images(32, 1), np.arange(32) % len(NAMES)),
        schedule=toy.At(step=6, act=remove),
    )
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr('jssl.runs.progress.Progress.print', lambda self, line: said.append(line))
        outcome = fit(found, workdir=directory)
    return outcome, '\n'.join(said)


def test_nothing_is_missing(eventful: tuple[Outcome, str]) -> None:
    outcome, said = eventful
    assert outcome.missing == ()
    assert [path.name for path in outcome.files] == ['report.html', 'parameters.safetensors']
    assert all(path.is_file() and str(path) in said for path in outcome.files)
    assert outcome.scores.keys() == {'feature_std', 'rankme'}  # by its own extract_feat


def test_an_algorithm_without_a_backbone_exports_all_it_has(eventful: tuple[Outcome, str]) -> None:
    outcome, said = eventful
    weights = read_weights(outcome.workdir / 'parameters.safetensors')
    kernel = outcome.train_state.params['encoder']['kernel']
    np.testing.assert_array_equal(weights.pop('encoder.kernel'), kernel)
    assert not weights
    lines = said.splitlines()
    announced = [line.startswith('Kept has no parameters called backbone') for line in lines]
    assert announced.index(True) < [line.startswith('random network') for line in lines].index(True)


def test_files_that_were_removed_are_there_again(eventful: tuple[Outcome, str]) -> None:
    outcome, said = eventful
    assert [row['step'] for row in toy.numbers(outcome.workdir) if 'rankme' in row] == [0, 4, 8, 12]
    stored = json.loads((outcome.workdir / 'config.json').read_text())
    assert 'Kept(' in stored['config']['algorithm']
    assert stored['keeps'] == 'teacher'
    for name in ('metrics.jsonl', 'config.json'):
        assert f'{outcome.workdir / name} was removed' in said


def test_names_of_classes_reach_the_report(eventful: tuple[Outcome, str]) -> None:
    page = (eventful[0].workdir / 'report.html').read_text(encoding='utf-8')
    for name in (r'caf\udce9', '_hidden', 'a $ b $', '&lt;script&gt;', r'nul\x00\x1b[1m'):
        assert f'<figcaption>{name}<small>' in page
        assert f'</span> {name}</li>' in page
    assert re.findall('> (#.*)</li>', page) == ['#2 猫', '#6 שלום']
    assert '<script' not in page
    assert 'x' * 81 not in page


def test_weights_and_pictures_that_fail_cost_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class View:
        """A view whose mean, which pictures alone ask for, nobody has thought about."""

        def __call__(self, canvas: toy.Canvas) -> jax.Array:
            return toy.view(canvas)

        @property
        def mean(self) -> float:
            raise ZeroDivisionError('nobody\nthought')

    (tmp_path / 'backbone.safetensors').mkdir()  # so that it cannot be written
    outcome = fit(toy.experiment(eval_view=View()), workdir=tmp_path)
    assert outcome.unwritten
    assert outcome.files == (tmp_path / 'report.html',)
    assert int(outcome.train_state.step) == toy.STEPS
    assert outcome.scores.keys() == {'feature_std', 'rankme'}
    weights, views, images = outcome.missing
    assert weights.startswith('The file of weights is missing: [Errno 21] Is a directory')
    said_of_views = (
        'The picture of views is missing: ZeroDivisionError: nobody thought (test_outcome.py'
    )
    assert views.startswith(said_of_views)
    page, said = (tmp_path / 'report.html').read_text(), capsys.readouterr().out
    for sentence in (weights, views, images):
        assert sentence in said
        assert f'<p class="warning">{html.escape(sentence)}</p>' in page
    assert 'RankMe' in page
    assert 'Map of the test features' in page


class Nameless(jssl.Algorithm):
    """Trains, but does not say what its features are."""

    def init(self, rng: jax.Array, batch: object) -> tuple[Any, Any]:
        return {'mean': toy.jnp.zeros(())}, {}

    def loss(self, params: Any, state: Any, batch: Any) -> tuple[Any, tuple[Any, dict[str, Any]]]:
        return toy.jnp.mean((batch['views'][0] - params['mean']) ** 2), (state, {})


def test_an_algorithm_without_features_is_refused_before_it_trains(tmp_path: Path) -> None:
    with refused('Nameless has no backbone', 'let it define extract_feat'):
        fit(toy.experiment(Nameless()), workdir=tmp_path)
