"""docs/guides/callbacks.md tells the truth: its code runs, other services are stand-ins."""

import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import jssl
from jssl.data import Arrays
from jssl.fitting.pretrained import read_weights
from jssl.runs.checkpoints import read_parts
from jssl.runs.metrics import read_metrics
from tests.conftest import ROOT
from tests.training import toy

BLOCKS = re.findall(
    r'```python\n(.*?)```', (ROOT / 'docs' / 'guides/callbacks.md').read_text(), flags=re.DOTALL
)


class Service:
    """What Weights & Biases and MLflow have of what is used here; writes down what it is given."""

    def __init__(self) -> None:
        self.given: list[tuple[Any, ...]] = []

    def init(self, **settings: Any) -> 'Service':
        self.given.append(('init', settings))
        return self

    def log(self, values: dict[str, float], step: int) -> None:
        self.given.append(('log', step, values))

    log_metrics = log

    def save(self, path: str) -> None:
        self.given.append(('file', Path(path)))

    log_artifact = save

    def finish(self) -> None:
        self.given.append(('finish',))

    def of(self, what: str) -> list[Any]:
        return [given[1] for given in self.given if given[0] == what]


@pytest.fixture
def doc(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """All code of the page, and the two services."""
    services = {name: Service() for name in ('wandb', 'mlflow')}
    for name, service in services.items():
        monkeypatch.setitem(sys.modules, name, service)
    names: dict[str, Any] = {'__name__': 'callbacks'}
    exec(compile('\n'.join(BLOCKS), 'callbacks.md', 'exec'), names)
    return SimpleNamespace(**{**names, **services})


def flat(train: Any, test: Any) -> dict[str, float]:
    return {'flat': 1.0}


def test_the_examples_run_together(
    doc: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.arange(96) % 3
    data, test_data = (
        Arrays(toy.images(count, seed), labels[:count]) for seed, count in enumerate((64, 32))
    )
    found = toy.experiment(data=data, test_data=test_data, metrics=[doc.purity, flat])
    best = tmp_path / 'best.safetensors'
    callbacks = [
        *(doc.Print(), doc.WandB(project='mine'), doc.MLflow()),
        *(doc.EarlyStopping(score='flat', patience=1), doc.KeepBest(best, score='rankme')),
    ]
    outcome = jssl.fit(found, workdir=tmp_path / 'run', callbacks=callbacks)
    assert (outcome.stopped_by, int(outcome.train_state.step)) == ('EarlyStopping', 8)

    said = capsys.readouterr().out
    assert f'end {tmp_path / "run"}' in said
    assert said.count('\nlog ') == 8
    rows = read_metrics(tmp_path / 'run' / 'metrics.jsonl')
    scores = {row['step']: row for row in rows if row['kind'] == 'evaluation'}
    wanted = {'knn', 'linear', 'purity', 'flat', 'rankme'}
    assert all(wanted <= row.keys() for row in scores.values())
    assert [row['subject'] for row in rows if row['kind'] == 'baseline' and 'purity' in row] == [
        'raw pixels',
        'random network',
    ]
    assert 'purity' in (tmp_path / 'run' / 'report.html').read_text()
    assert re.search(r'after epoch 1 .* purity 0\.\d+', said)

    assert doc.wandb.given[0] == ('init', {'project': 'mine'})
    assert doc.wandb.given[-1] == ('finish',)
    assert doc.wandb.of('log') == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]
    assert doc.mlflow.of('log') == doc.wandb.of('log')
    assert doc.mlflow.of('file') == list(outcome.files)

    kernels = dict(zip((4, 8), kernels_of(tmp_path / 'run' / 'checkpoints'), strict=True))
    step = max(scores, key=lambda at: scores[at]['rankme'])
    kept = read_weights(str(best))['backbone.weight']
    np.testing.assert_array_equal(kept.T, kernels[step])


def kernels_of(checkpoints: Path) -> list[np.ndarray]:
    """The weights of the last checkpoint, after those of the one before."""
    last = read_parts(checkpoints, ('params',))[0]['params']['backbone']['kernel']
    shutil.rmtree(checkpoints / '8')
    return [read_parts(checkpoints, ('params',))[0]['params']['backbone']['kernel'], last]


def test_what_it_says_of_baselines_that_are_not_there(doc: SimpleNamespace) -> None:
    test = SimpleNamespace(features=np.ones((2, 3)), labels=None)
    assert doc.purity(None, test) == {}
