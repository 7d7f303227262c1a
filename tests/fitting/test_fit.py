"""Whole runs: what they leave behind, and that they can be stopped, killed, moved and repeated."""

import contextlib
import json
import os
import random
import re
import signal
import socket
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from jssl import config
from jssl.cli.train import parse
from jssl.durations import format_duration
from jssl.interop.metadata import read_metadata
from jssl.interop.safetensors import load_backbone
from jssl.main import main
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.metrics import read_metrics
from jssl.runs.workdir import claimed
from tests import tiny
from tests.training import toy


@pytest.fixture(scope='module')
def run(digits_dir: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two epochs on 8 devices."""
    workdir = tmp_path_factory.mktemp('run') / 'two-epochs'
    options = {'epochs': 2, 'evaluate__every_epochs': 1}
    assert main(tiny.arguments(digits_dir, workdir, **options)) == 0
    return workdir


def losses(workdir: Path) -> list[float]:
    return [row['loss'] for row in read_metrics(workdir / 'metrics.jsonl') if 'loss' in row]


def assert_same_steps(workdir: Path, run: Path) -> None:
    """The same samples and augmentation: the first five losses are equal but for rounding.

    The first is continuous in all that is rounded. From the second on a unit within rounding of 0
    may change sides under its ReLU: that changes one of the thousands of terms (images, places) of
    a gradient, and a loss by a thousandth of what a step does. Later losses drift further apart.
    """
    found, expected = losses(workdir)[:5], losses(run)[:5]
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert np.abs(np.diff(expected)).min() > 1e-3  # other samples would be noticed


def saved_state(argv: list[str], workdir: Path, step: int) -> list[np.ndarray]:
    """All leaves of the checkpoint of `step`, from a run with these arguments."""
    experiment = config.experiment(parse(argv).config)
    checkpoints = Checkpoints(workdir / 'checkpoints')
    restored = checkpoints.restore(experiment.placed_state, step)
    checkpoints.close()
    assert restored is not None
    state = restored[0].replace(rng=jax.random.key_data(restored[0].rng))
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state)]


def test_run_leaves_everything_behind(run: Path) -> None:
    names = {path.name for path in run.iterdir()}
    assert {'config.json', 'metrics.jsonl', 'checkpoints', 'report.html'} <= names
    assert any(name.startswith('events.out.tfevents') for name in names)
    stored = json.loads((run / 'config.json').read_text())
    assert stored['config']['model']['backbone']['base_channels'] == 4
    assert stored['versions']['jax'] == jax.__version__
    assert sorted(int(path.name) for path in (run / 'checkpoints').iterdir()) == [8, 16]


def test_metrics_of_every_step_and_evaluation(run: Path) -> None:
    rows = read_metrics(run / 'metrics.jsonl')
    trained = [row for row in rows if 'loss' in row]
    assert [row['step'] for row in trained] == list(range(1, 17))
    assert {'lr', 'grad_norm', 'accuracy', 'images_per_second', 'data_wait'} <= trained[0].keys()
    evaluated = [row for row in rows if row['kind'] == 'evaluation']
    assert [row['step'] for row in evaluated] == [8, 16]
    assert {row['subject'] for row in evaluated} == {'network'}
    assert {'knn', 'linear', 'feature_std', 'rankme'} <= evaluated[-1].keys()
    baselines = [row for row in rows if row['kind'] == 'baseline']
    assert [row['subject'] for row in baselines] == ['raw pixels', 'random network']
    assert all(row['step'] == 0 and 'knn' in row for row in baselines)
    assert trained[-1]['lr'] < trained[7]['lr']  # the cosine goes down


def test_exported_backbone_is_the_checkpoint(run: Path, digits_dir: str) -> None:
    argv = tiny.arguments(digits_dir, run, epochs=2, evaluate__every_epochs=1)
    weights = load_backbone(run / 'backbone.safetensors')
    kernel = weights['backbone.conv1.weight']
    assert kernel.shape == (4, 3, 3, 3)
    expected = kernel.transpose(2, 3, 1, 0)
    leaves = saved_state(argv, run, 16)
    assert any(leaf.shape == expected.shape and (leaf == expected).all() for leaf in leaves)
    assert 'backbone.layer3.0.downsample.1.running_var' in weights
    told = read_metadata(run / 'backbone.safetensors')
    data = {'name': 'embedded_digits', 'split': 'train[:256]', 'type': 'TFDS'}
    assert json.loads(told['data']) == data
    last = read_metrics(run / 'metrics.jsonl')[-1]
    assert json.loads(told['scores'])['knn'] == last['knn']


def test_report_shows_result_and_baselines(run: Path) -> None:
    page = (run / 'report.html').read_text()
    for words in ('raw pixels', 'random network', 'this run', 'RankMe', 'base_channels'):
        assert words in page


def test_finished_run_is_left_as_it_is(
    run: Path, digits_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [run / name for name in ('metrics.jsonl', 'report.html', 'backbone.safetensors')]
    before = [file.stat().st_mtime_ns for file in files]
    arguments = tiny.arguments(digits_dir, run, epochs=2, evaluate__every_epochs=1)
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert 'resuming after step 16 of 16' in said
    assert 'ended before, and its files are left as they are' in said
    took = format_duration(read_metrics(run / 'metrics.jsonl')[-1]['seconds'])
    assert f'  took {took}\n' in said
    assert [file.stat().st_mtime_ns for file in files] == before


def test_a_report_that_was_removed_is_drawn_anew_with_the_same_time(
    run: Path, digits_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (run / 'report.html').read_text()
    (run / 'report.html').unlink()
    assert main(tiny.arguments(digits_dir, run, epochs=2, evaluate__every_epochs=1)) == 0
    time = format_duration(read_metrics(run / 'metrics.jsonl')[-1]['seconds'])
    assert f'  took {time}\n' in capsys.readouterr().out
    for text in (page, (run / 'report.html').read_text()):
        assert f'<dt>time</dt><dd>{time}</dd>' in text


def test_another_config_in_the_same_directory_is_refused(
    run: Path, digits_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = tiny.arguments(digits_dir, run, epochs=3, evaluate__every_epochs=1)
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert 'of the 16 steps that it has taken the learning rate of step ' in said
    assert f'--workdir={run}-3 --config.pretrained={run}' in said
    assert main([*argv, '--config.seed=7']) == 2
    said = capsys.readouterr().err
    assert 'seed: 0 → 7' in said
    assert '--workdir' in said


def test_a_second_run_in_the_same_directory_is_refused(
    run: Path, digits_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = tiny.arguments(digits_dir, run, epochs=2, evaluate__every_epochs=1)
    before = sorted(run.rglob('*'))
    with claimed(run):
        assert main(argv) == 2
    said = capsys.readouterr().err
    assert f'{run} is in use by process {os.getpid()} on {socket.gethostname()} since ' in said
    assert '--workdir' in said
    assert sorted(run.rglob('*')) == before


def test_truncated_newest_checkpoint_falls_back(
    digits_dir: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = tiny.arguments(digits_dir, tmp_path / 'run', epochs=2)
    assert main(argv) == 0
    whole = saved_state(argv, tmp_path / 'run', 16)
    for path in (tmp_path / 'run' / 'checkpoints' / '16').rglob('*'):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    capsys.readouterr()
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert re.search(r'Checkpoint 16 in .* is unreadable', said)
    assert 'resuming after step 8 of 16' in said
    again = saved_state(argv, tmp_path / 'run', 16)
    assert all((one == other).all() for one, other in zip(whole, again, strict=True))


def test_number_of_devices_does_not_matter(run: Path, digits_dir: str, tmp_path: Path) -> None:
    argv = tiny.arguments(digits_dir, tmp_path / 'run', epochs=2, mesh__devices=1)
    assert main(argv) == 0
    assert_same_steps(tmp_path / 'run', run)


def test_streamed_equals_resident(run: Path, digits_dir: str, tmp_path: Path) -> None:
    argv = tiny.arguments(digits_dir, tmp_path / 'run', epochs=2, resident='no')
    assert main(argv) == 0
    assert_same_steps(tmp_path / 'run', run)


def test_killed_and_resumed_run_is_bit_equal(digits_dir: str, tmp_path: Path) -> None:
    """SIGKILL at a random step; after step 40 nothing tells the runs apart.

    Of every algorithm: `test_killed.py`.
    """
    options = {'epochs': 5, 'checkpoint__every_steps': 3, 'checkpoint__keep': 3}
    whole = tiny.arguments(digits_dir, tmp_path / 'whole', **options)
    tiny.finish(tiny.start(whole))
    killed = tiny.arguments(digits_dir, tmp_path / 'killed', **options)
    process = tiny.start(killed)
    victim = random.randint(8, 36)
    metrics = tmp_path / 'killed' / 'metrics.jsonl'
    while not (metrics.exists() and f'"step": {victim},' in metrics.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert 'resuming after step' in tiny.finish(tiny.start(killed))
    states = [
        saved_state(argv, tmp_path / name, 40)
        for argv, name in ((whole, 'whole'), (killed, 'killed'))
    ]
    for one, other in zip(*states, strict=True):
        np.testing.assert_array_equal(one, other)
    numbers = [toy.numbers(tmp_path / name) for name in ('killed', 'whole')]
    assert numbers[0] == numbers[1], f'killed at {victim}'
    assert [row['step'] for row in numbers[0] if 'loss' in row] == list(range(1, 41))


def test_sigterm_saves_and_says_so(digits_dir: str, tmp_path: Path) -> None:
    argv = tiny.arguments(digits_dir, tmp_path / 'run', epochs=400)
    process = tiny.start(argv)
    metrics = tmp_path / 'run' / 'metrics.jsonl'
    while not (metrics.exists() and '"step": 3,' in metrics.read_text()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said = tiny.finish(process, status=128 + signal.SIGTERM)
    (step,) = map(int, re.findall(r'stopped by SIGTERM after step (\d+), which is saved', said))
    assert f'--workdir={tmp_path / "run"}' in said
    assert (tmp_path / 'run' / 'checkpoints' / str(step)).is_dir()
    assert read_metrics(metrics)[-1]['step'] == step


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(16))
def test_a_signal_at_any_time_ends_in_a_line(seed: int, digits_dir: str, tmp_path: Path) -> None:
    """From the first line on: in baselines, compilation, training, evaluation and report."""
    choose = random.Random(seed)
    number = choose.choice([signal.SIGTERM, signal.SIGINT])
    options = {'epochs': 3, 'evaluate__every_epochs': 1}
    process = tiny.start(tiny.arguments(digits_dir, tmp_path / 'run', **options))
    assert process.stdout is not None
    assert 'SimCLR' in process.stdout.readline()
    time.sleep(choose.uniform(0, 30))
    process.send_signal(number)
    said, _ = process.communicate(timeout=300)
    assert 'Traceback' not in said
    if process.returncode != 0:  # else it had done everything
        assert process.returncode == 128 + number, said
        assert said.splitlines()[-1].startswith(f'jssl: stopped by {number.name}')
    assert main(tiny.arguments(digits_dir, tmp_path / 'run', **options)) == 0


def test_two_processes_are_one_run(run: Path, digits_dir: str, tmp_path: Path) -> None:
    """Two processes of 4 devices give the losses of one process of 8."""
    argv = tiny.arguments(digits_dir, tmp_path / 'run', epochs=2)
    said = tiny.finish(tiny.start(argv, devices=4, command=tiny.TWO))
    assert '4 images a step on each of 8 devices of 2 processes; batch norm goes by all 32' in said
    assert len(re.findall(r'^  this run ', said, flags=re.MULTILINE)) == 1  # only the first speaks
    assert_same_steps(tmp_path / 'run', run)
    assert (tmp_path / 'run' / 'report.html').is_file()


@pytest.mark.slow
def test_a_signal_to_one_process_saves_and_stops_all(digits_dir: str, tmp_path: Path) -> None:
    argv = tiny.arguments(digits_dir, tmp_path / 'run', epochs=400)
    both = tiny.start(argv, devices=2, command=tiny.TWO)
    metrics = tmp_path / 'run' / 'metrics.jsonl'
    while not metrics.exists() or metrics.read_text().count('"kind": "step"') < 3:
        assert both.poll() is None, both.communicate()
        time.sleep(0.1)
    os.kill(second_of(both.pid), signal.SIGTERM)
    said = tiny.finish(both, status=128 + signal.SIGTERM)
    steps = re.findall(r'stopped by SIGTERM after step (\d+), which is saved', said)
    assert len(steps) == 2
    assert len(set(steps)) == 1
    assert (tmp_path / 'run' / 'checkpoints' / steps[0]).is_dir()


def second_of(script: int) -> int:
    """Process 1 of those that `localhost.sh` has started."""
    for folder in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            started = (folder / 'stat').read_text().rpartition(')')[2].split()[1] == str(script)
            if started and b'--process=1' in (folder / 'cmdline').read_bytes():
                return int(folder.name)
    raise AssertionError('process 1 has not begun')


def test_diverging_run_stops_with_advice(
    digits_dir: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = tiny.arguments(
        digits_dir, tmp_path / 'run', epochs=2, optimizer__lr=1e9, schedule__warmup_epochs=0
    )
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert re.search('The loss became nan|Step .* left NaN or infinity', said)
    assert 'a gradient norm of ' in said
    assert 'Lower config.optimizer.lr' in said
