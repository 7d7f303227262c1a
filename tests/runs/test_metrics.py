"""Metrics on disk: whole lines, resumed where a checkpoint is, readable by TensorBoard's format."""

import json
import math
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from jssl.errors import JsslError
from jssl.runs.metrics import METRICS, MetricsWriter, Stopwatch, metrics_of, of_kind, read_metrics
from tests.checks import refused

FIRST, SECOND = (f'{{"step": {step}, "kind": "step"}}' for step in (1, 2))


def events(directory: Path) -> list[Event]:
    """All events of a run, oldest file first: each is length, checksum, content, checksum."""
    found = []
    for path in sorted(directory.glob('events.out.tfevents.*')):
        content = path.read_bytes()
        while content:
            length = int.from_bytes(content[:8], 'little')
            found.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return found


def test_a_line_holds_step_epoch_time_and_plain_numbers(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as writer:
        writer.write(
            20, {'loss': jnp.asarray(1.5), 'lr': np.float32(0.25), 'knn': 1}, kind='step', epoch=0.5
        )
        writer.write(40, {'loss': 1.0}, kind='step', epoch=1)
    lines = (tmp_path / METRICS).read_text().splitlines()
    first = json.loads(lines[0])
    assert first.pop('time') > 1.7e9
    assert first.pop('seconds') >= 0
    assert first == {
        **{'step': 20, 'epoch': 0.5, 'kind': 'step'},
        **{'loss': 1.5, 'lr': 0.25, 'knn': 1.0},
    }
    assert [record['step'] for record in read_metrics(tmp_path / METRICS)] == [20, 40]


def test_what_is_not_finite_is_null_and_read_as_nan(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as writer:
        writer.write(
            1, {'loss': float('nan'), 'grad_norm': float('inf'), 'lr': 0.1}, kind='step', epoch=0
        )
    line = (tmp_path / METRICS).read_text()
    assert '"loss": null, "grad_norm": null, "lr": 0.1' in line
    record = read_metrics(tmp_path / METRICS)[0]
    assert math.isnan(record['loss'])
    assert math.isnan(record['grad_norm'])


def test_tensorboard_sees_the_same_numbers(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as writer:
        writer.write(20, {'loss': 1.5, 'knn': 0.75}, kind='step', epoch=0.5)
    version, event = events(tmp_path)
    assert version.file_version == 'brain.Event:2'
    assert event.step == 20
    values = {value.tag: value.simple_value for value in event.summary.value}
    assert values == {'step/loss': 1.5, 'step/knn': 0.75}


def test_scores_say_whose_they_are(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as writer:
        for kind, subject in (('baseline', 'raw pixels'), ('evaluation', 'network')):
            writer.write(0, {'knn': 0.5}, kind=kind, epoch=0, subject=subject)
    rows = read_metrics(tmp_path / METRICS)
    assert [(row['kind'], row['subject']) for row in rows] == [
        ('baseline', 'raw pixels'),
        ('evaluation', 'network'),
    ]
    assert [metrics_of(row) for row in rows] == [{'knn': 0.5}] * 2
    assert of_kind(rows, 'evaluation') == rows[1:]
    tags = [value.tag for event in events(tmp_path) for value in event.summary.value]
    assert tags == ['baseline/raw pixels/knn', 'evaluation/knn']


def test_resuming_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as writer:
        for step in (10, 20, 30):
            writer.write(step, {'loss': step}, kind='step', epoch=0)
    with (tmp_path / METRICS).open('a') as file:
        file.write('{"step": 40, "epoch": 0.0, "lo')  # where SIGKILL came
    with MetricsWriter(tmp_path) as writer:
        writer.truncate(20)
        writer.write(30, {'loss': -30}, kind='step', epoch=0)
    records = read_metrics(tmp_path / METRICS)
    assert [(record['step'], record['loss']) for record in records] == [
        (10, 10),
        (20, 20),
        (30, -30),
    ]
    resumed = [event.step for event in events(tmp_path) if event.HasField('session_log')]
    assert resumed == [21]
    assert len(list(tmp_path.glob('events.out.tfevents.*'))) == 2


@pytest.mark.parametrize(('step', 'left'), [(-1, []), (0, [0]), (10, [0, 10]), (99, [0, 10])])
def test_truncate_keeps_up_to_its_step(step: int, left: list[int], tmp_path: Path) -> None:
    with MetricsWriter(tmp_path) as writer:
        writer.truncate(step)  # nothing there yet
        for written in (0, 10):
            writer.write(written, {}, kind='step', epoch=0)
        writer.truncate(step)
    assert [record['step'] for record in read_metrics(tmp_path / METRICS)] == left


def test_half_a_last_line_is_left_out_and_a_broken_one_before_is_named(tmp_path: Path) -> None:
    path = tmp_path / METRICS
    path.write_text(f'{FIRST}\n{SECOND}\n{{"st')
    assert [record['step'] for record in read_metrics(path)] == [1, 2]
    path.write_text(f'{FIRST}\n{{"st\n{SECOND}\n')
    with pytest.raises(JsslError, match=r'Line 2 of .*metrics\.jsonl is no JSON object of numbers'):
        read_metrics(path)
    with pytest.raises(JsslError, match='No such file'):
        read_metrics(tmp_path / 'nowhere')


@pytest.mark.parametrize(
    'line',
    [
        b'5',
        b'null',
        b'[]',
        b'{"step": "3", "kind": "step"}',
        b'{"step": null, "kind": "step"}',
        b'{"step": 3, "kind": "step", "loss": "x"}',
        b'{"step": 3, "kind": "step", "loss": {}}',
        b'{"step": true, "kind": "step"}',
        b'{"step": -5, "kind": "step"}',
        b'{"step": 1e999, "kind": "step"}',
        b'{"step": 3, "loss": 1}',
        b'{"step": 3, "kind": 1}',
        b'{"step": 3, "kind": "step", "subject": 1}',
        b'{"kind": "step", "loss": 1}',
        b'{"step": 3, "kind": "step", "loss": ' + b'9' * 400 + b'}',
        b'[' * 100_000,
        b'\xff\xfe\x00',
        b'',
    ],
)
def test_whatever_a_line_holds_it_is_left_out_and_told(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / METRICS
    said: list[str] = []
    rows = [{'step': step, 'kind': 'step'} for step in (1, 2, 3, 4)]
    first, _, third, fourth = (json.dumps(row).encode() for row in rows)
    path.write_bytes(b'\n'.join([first, line, third, fourth, b'{"st']))
    with MetricsWriter(tmp_path, said.append) as writer:
        writer.truncate(3)
        assert writer.rows == [rows[0], rows[2]]
    assert read_metrics(path) == writer.rows
    assert said == [f'{path} has damaged lines (1: 2); its curves have gaps there.']


def test_a_file_that_is_removed_comes_back_whole(tmp_path: Path) -> None:
    said: list[str] = []
    with MetricsWriter(tmp_path, said.append) as writer:
        for step in (1, 2):
            writer.write(step, {'loss': float('nan')}, kind='step', epoch=0)
        (tmp_path / METRICS).unlink()
        writer.write(3, {}, kind='step', epoch=0)
        (tmp_path / METRICS).rename(tmp_path / 'elsewhere')
        writer.write(4, {}, kind='step', epoch=0)
    assert [record['step'] for record in read_metrics(tmp_path / METRICS)] == [1, 2, 3, 4]
    assert len(said) == 2
    assert 'was removed' in said[0]


def test_a_link_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    (tmp_path / 'precious').touch()
    (tmp_path / METRICS).symlink_to(tmp_path / 'precious')
    with MetricsWriter(tmp_path) as writer:
        writer.truncate(-1)
        writer.write(1, {'loss': 1.0}, kind='step', epoch=0)
    assert (tmp_path / 'precious').read_bytes() == b''
    assert [row['step'] for row in read_metrics(tmp_path / METRICS)] == [1]


def test_a_run_takes_the_time_of_all_its_sessions(tmp_path: Path) -> None:
    now = [100.0]
    for session, step in ((10.0, 1), (5.0, 2)):  # with a pause between them, which does not count
        stopwatch = Stopwatch(lambda: now[0])
        with MetricsWriter(tmp_path, stopwatch=stopwatch) as writer:
            writer.truncate(step - 1 or -1)
            now[0] += session
            writer.write(step, {}, kind='step', epoch=0)
        now[0] += 1000.0
    assert [row['seconds'] for row in read_metrics(tmp_path / METRICS)] == [10.0, 15.0]


@pytest.mark.parametrize('name', ['step', 'epoch', 'time', 'seconds', 'kind', 'subject'])
def test_a_metric_takes_no_place_of_a_row(tmp_path: Path, name: str) -> None:
    with MetricsWriter(tmp_path) as writer, refused(f'A metric is called {name!r}'):
        writer.write(1, {'loss': 1.0, name: 5.0}, kind='step', epoch=0)
    assert not (tmp_path / METRICS).exists()


def test_a_killed_process_loses_no_line(tmp_path: Path) -> None:
    code = (
        'import os, signal, sys\n'
        'from jssl.runs.metrics import MetricsWriter\n'
        'MetricsWriter(sys.argv[1]).write(7, {"loss": 1.0}, kind="step", epoch=0)\n'
        'os.kill(os.getpid(), signal.SIGKILL)\n'
    )
    done = subprocess.run([sys.executable, '-c', code, str(tmp_path)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [record['step'] for record in read_metrics(tmp_path / METRICS)] == [7]
    assert [event.step for event in events(tmp_path)] == [0, 7]


def test_a_full_disk_is_one_error_and_closing_is_quiet(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with MetricsWriter(tmp_path) as writer:
        writer.write(1, {'loss': 1.0}, kind='step', epoch=0)
        size = os.path.getsize(tmp_path / METRICS)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
        try:
            with pytest.raises(JsslError, match=r'cannot be written to .*: .*--workdir'):
                writer.write(2, {'loss': 1.0}, kind='step', epoch=0)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [record['step'] for record in read_metrics(tmp_path / METRICS)] == [1]


def test_a_directory_that_is_gone_is_one_error(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path / 'gone')
    with pytest.raises(JsslError, match='No such file or directory'):
        writer.write(1, {}, kind='step', epoch=0)
    with pytest.raises(JsslError, match='No such file or directory'):
        writer.truncate(1)
