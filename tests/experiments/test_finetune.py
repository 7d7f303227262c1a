import json
from pathlib import Path
from typing import Any

import pytest

from experiments import finetune
from tests.test_eval_configs import BACKBONE

RESNET = BACKBONE | {'type': 'ResNet', 'cifar_stem': True}


@pytest.fixture
def run(tmp_path: Path, digits_dir: str) -> Path:
    """What the config of a run says; nothing else of it is read before it is fine-tuned."""
    data = {'type': 'TFDS', 'name': 'embedded_digits', 'data_dir': digits_dir}
    described = {
        'model': {'type': 'SimCLR', 'backbone': RESNET},
        'data': data | {'split': 'train'},
        'test_data': data | {'split': 'test'},
        'canvas': 32,
        'channels': 3,
        'eval_view': {'type': 'CenterView', 'size': 32, 'resize': 32},
    }
    (tmp_path / 'config.json').write_text(json.dumps({'config': described}))
    return tmp_path


def described(run: Path, start: str, *arguments: str) -> dict[str, Any]:
    options = finetune._options([f'--run={run}', *arguments])
    return finetune.describe(options, start, seed=2)


def test_only_the_initial_weights_differ(run: Path) -> None:
    tuned, scratch = (described(run, start) for start in finetune.STARTS)
    assert tuned['pretrained'] == str(run)
    assert scratch == tuned | {'pretrained': ''}
    assert tuned['model']['backbone'] == RESNET
    assert tuned['data']['split'] == 'train[:100]'
    assert (tuned['seed'], tuned['batch_size'], tuned['epochs']) == (2, 50, 100)


def test_few_labels_make_small_batches_and_fields_can_be_set(run: Path) -> None:
    found = described(run, 'scratch', '--labels=20', '--config.optimizer.lr=0.5')
    assert (found['batch_size'], found['optimizer']['lr']) == (20, 0.5)


def test_finished_comparisons_are_read_and_make_the_table(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for start, scores in {'pretrained': (0.8, 0.7), 'scratch': (0.5, 0.4)}.items():
        for seed, score in enumerate(scores):
            folder = tmp_path / 'runs' / f'{run.name}-100-{start}-{seed}'
            folder.mkdir(parents=True)
            (folder / 'report.html').touch()
            row = {'step': 8, 'time': 1.0, 'kind': 'evaluation', 'test_accuracy': score}
            (folder / 'metrics.jsonl').write_text(json.dumps(row) + '\n')
    arguments = [f'--run={run}', '--seeds', '0', '1', f'--runs={tmp_path / "runs"}', '--json']
    assert finetune.main(arguments) == 0
    said = capsys.readouterr().out
    assert '| fine-tuned | 0.800 / 0.700 | 0.750 |' in said
    assert '| from scratch | 0.500 / 0.400 | 0.450 |' in said
    assert json.loads(said.splitlines()[-1])['scratch'] == [0.5, 0.4]


def test_a_folder_without_a_run_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert finetune.main([f'--run={tmp_path}', f'--runs={tmp_path / "runs"}']) == 2
    assert 'not the directory of a run' in capsys.readouterr().err
