"""Run directories: made, resumed, refused."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jssl.data.loading.identity import Listing
from jssl.errors import JsslError
from jssl.runs.workdir import (
    CHECKPOINTS,
    CONFIG,
    claimed,
    make_workdir,
    open_workdir,
    read_config,
    source_commit,
)
from tests.checks import refused
from tests.training.toy import took_steps

EXPERIMENT = {
    'seed': 0,
    'model': {'type': 'SimCLR', 'backbone': {'type': 'ResNet', 'depth': 18, 'out_indices': (3,)}},
    'views': [{'size': 32}, {'size': 16}],
    'extra': {},
}


def test_without_a_path_every_run_gets_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [open_workdir(None, EXPERIMENT, 'simclr-cifar10') for _ in range(3)]
    assert len(set(runs)) == 3  # within one second or two
    for run in runs:
        assert re.fullmatch(r'runs/simclr-cifar10-\d{8}-\d{6}(-\d)?', str(run))
        assert (run / CONFIG).is_file()


def test_config_json_tells_what_ran_on_what(tmp_path: Path) -> None:
    workdir = open_workdir(tmp_path / 'a' / 'b', EXPERIMENT, 'x')
    assert workdir == tmp_path / 'a' / 'b'
    stored = read_config(workdir)
    assert stored['config'] == json.loads(json.dumps(EXPERIMENT))
    assert stored['versions']['jax'] == jax.__version__
    assert stored['versions']['numpy'] == np.__version__
    assert stored['versions']['python'] == '.'.join(map(str, sys.version_info[:3]))
    assert stored['versions']['platform'] == jax.devices()[0].platform
    assert stored['versions']['devices'] == jax.device_count()
    assert {'jaxlib', 'flax', 'optax', 'orbax', 'jssl'} < set(stored['versions'])
    assert {'git_commit', 'dirty'} < set(stored)
    assert [path.name for path in workdir.iterdir()] == [CONFIG]


def test_a_start_that_failed_does_not_refuse_the_corrected_command(tmp_path: Path) -> None:
    open_workdir(tmp_path, EXPERIMENT, 'x')
    (tmp_path / CHECKPOINTS).mkdir()
    took_steps(tmp_path, 0)
    other = EXPERIMENT | {'seed': 1}
    open_workdir(tmp_path, other, 'x')
    assert read_config(tmp_path)['config']['seed'] == 1
    took_steps(tmp_path)
    with refused('seed: 1 → 0'):
        open_workdir(tmp_path, EXPERIMENT, 'x')


def test_somebody_elses_config_json_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text('{"config": {"port": 80}}')
    with refused('port: 80 → absent'):
        open_workdir(tmp_path, EXPERIMENT, 'x')


@pytest.mark.parametrize('kind', ['pipe', 'folder'])
def test_what_is_no_config_json_is_not_waited_for(kind: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / CONFIG) if kind == 'pipe' else (tmp_path / CONFIG).mkdir()
    with refused('config.json cannot be read', 'it is no file', '--workdir'):
        open_workdir(tmp_path, EXPERIMENT, 'x')


@pytest.mark.parametrize('data', [None, 5, [[1]]])
def test_a_config_json_with_odd_data_is_refused(data: object, tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text(json.dumps({'config': {}, 'data': data}))
    with refused('config.json cannot be read', 'it is not that of a run', '--workdir'):
        open_workdir(tmp_path, EXPERIMENT, 'x')


def test_a_run_keeps_its_name_and_another_gets_its_own(tmp_path: Path) -> None:
    def name(folder: str) -> str:
        return read_config(open_workdir(tmp_path / folder, EXPERIMENT, 'x'))['run']

    first = name('a')
    took_steps(tmp_path / 'a')
    assert name('a') == first != name('b')


def test_a_link_beside_config_json_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / 'precious').write_text('precious')
    (tmp_path / 'data.json.gz').symlink_to(tmp_path / 'precious')
    listing = Listing(1, ['a'], None)
    open_workdir(tmp_path, EXPERIMENT, 'x', listings={'data': listing})
    assert (tmp_path / 'precious').read_text() == 'precious'
    assert not (tmp_path / CONFIG).is_symlink()


def test_a_removed_directory_is_no_longer_the_runs(tmp_path: Path) -> None:
    workdir = make_workdir(tmp_path / 'run', 'x')
    with claimed(workdir) as check:
        check()
        shutil.rmtree(workdir)
        with refused(f'{workdir} is no longer the directory of this run', 'begin again'):
            check()
        with claimed(make_workdir(workdir, 'x')) as theirs, refused('no longer'):
            theirs()
            check()


def test_a_home_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    assert make_workdir('~/runs/a', 'x') == tmp_path / 'runs' / 'a'
    assert (tmp_path / 'runs' / 'a').is_dir()


def test_a_place_without_a_path_is_checked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / '[0]').mkdir()
    monkeypatch.chdir(tmp_path / '[0]')
    with refused('has [ in its path'):
        make_workdir(None, 'simclr')
    assert not any((tmp_path / '[0]').iterdir())


def test_the_same_config_resumes(tmp_path: Path) -> None:
    lines: list[str] = []
    open_workdir(tmp_path, EXPERIMENT, 'x')
    took_steps(tmp_path)
    written = (tmp_path / CONFIG).read_text()
    for _ in range(2):
        assert open_workdir(str(tmp_path), EXPERIMENT, 'x', report=lines.append) == tmp_path
    assert (tmp_path / CONFIG).read_text() == written
    assert lines == []


def test_another_config_is_refused_field_by_field(tmp_path: Path) -> None:
    open_workdir(tmp_path, EXPERIMENT, 'x')
    took_steps(tmp_path)
    given = json.loads(json.dumps(EXPERIMENT))
    given['seed'] = 1
    given['model']['backbone']['depth'] = 50
    given['views'] = [{'size': 64}]
    given['extra'] = {'name': 'é'}
    with pytest.raises(JsslError) as refused:
        open_workdir(tmp_path, given, 'x')
    message = str(refused.value)
    assert '\n' not in message
    listed = re.search(r'\(stored → given\): (.*)\. Give another --workdir', message)
    assert listed is not None
    assert listed[1].split('; ') == [
        'seed: 0 → 1',
        'model.backbone.depth: 18 → 50',
        'views.0.size: 32 → 64',
        'views.1.size: 16 → absent',
        'extra: {} → absent',
        'extra.name: absent → "é"',
    ]


def test_a_run_goes_on_with_other_settings_of_speed(tmp_path: Path) -> None:
    open_workdir(tmp_path, EXPERIMENT | {'threads': 8, 'workers': 0}, 'x')
    took_steps(tmp_path)
    lines: list[str] = []
    faster = EXPERIMENT | {'threads': 64, 'workers': 4, 'mesh': {'devices': 2, 'fsdp': 1}}
    open_workdir(tmp_path, faster, 'x', report=lines.append)
    assert not lines


def test_what_changes_no_number_may_change_and_the_rest_of_its_section_may_not(
    tmp_path: Path,
) -> None:
    saves = {'every_steps': 5, 'keep': 3}
    begun = EXPERIMENT | {'checkpoint': saves, 'mesh': {'devices': 1, 'fsdp': 1}, 'log_every': 5}
    defaults = {'non_finite': 'stop', 'checkpoint': {'new': 0}}
    open_workdir(tmp_path, begun, 'x')  # before there were such fields
    took_steps(tmp_path)
    more = saves | {'keep': 9, 'keep_every': 100, 'keep_best': 'knn'}
    others = begun | {'checkpoint': more, 'mesh': {'devices': 8, 'fsdp': 2}, 'log_every': 20}
    later = others | {'non_finite': 'stop', 'checkpoint': more | {'new': 0}}
    open_workdir(tmp_path, later, 'x', defaults=defaults)
    for other, words in (
        ({'non_finite': 'skip'}, 'non_finite: "stop" → "skip"'),
        ({'checkpoint': more | {'new': 1}}, 'checkpoint.new: 0 → 1'),
    ):
        with refused(words):
            open_workdir(tmp_path, later | other, 'x', defaults=defaults)
    with refused('checkpoint.every_steps: 5 → 6'):
        open_workdir(tmp_path, begun | {'checkpoint': saves | {'every_steps': 6}}, 'x')


def test_whose_backbone_is_kept_is_noted_in_runs_of_before_too(tmp_path: Path) -> None:
    open_workdir(tmp_path, EXPERIMENT, 'x')
    took_steps(tmp_path)
    stored = json.loads((tmp_path / CONFIG).read_text())
    assert stored.pop('keeps') == 'student'
    (tmp_path / CONFIG).write_text(json.dumps(stored))
    lines: list[str] = []
    open_workdir(tmp_path, EXPERIMENT, 'x', keeps='teacher', report=lines.append)
    assert read_config(tmp_path) == stored | {'keeps': 'teacher'}
    assert lines == []


def test_other_versions_are_only_told(tmp_path: Path) -> None:
    open_workdir(tmp_path, EXPERIMENT, 'x')
    took_steps(tmp_path)
    stored = json.loads((tmp_path / CONFIG).read_text())
    now = stored['versions']['flax']
    stored['versions']['flax'] = '0.1'
    stored['git_commit'], stored['dirty'] = 'abc', None
    (tmp_path / CONFIG).write_text(json.dumps(stored))
    lines: list[str] = []
    open_workdir(tmp_path, EXPERIMENT, 'x', report=lines.append)
    assert len(lines) == 1
    assert f'versions.flax: "0.1" → "{now}"' in lines[0]
    assert 'git_commit: "abc" → ' in lines[0]
    assert 'versions.jax' not in lines[0]


@pytest.mark.parametrize(
    'content',
    ['', '{"config": {"seed"', '[]', 'null', '{"versions": {}}', '{"config": 1}', '[' * 100_000],
)
def test_a_config_json_that_cannot_be_read_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text(content)
    with pytest.raises(JsslError, match=r'config\.json cannot be read .*another --workdir'):
        open_workdir(tmp_path, EXPERIMENT, 'x')
    assert (tmp_path / CONFIG).read_text() == content


def test_checkpoints_without_config_json_are_not_taken_for_those_of_this_run(
    tmp_path: Path,
) -> None:
    (tmp_path / CHECKPOINTS).mkdir()
    open_workdir(tmp_path, EXPERIMENT, 'x')  # nothing was saved yet
    (tmp_path / CONFIG).unlink()
    (tmp_path / CHECKPOINTS / '93').mkdir()
    with pytest.raises(JsslError, match=r'unknown which run.*put the file back'):
        open_workdir(tmp_path, EXPERIMENT, 'x')
    assert not (tmp_path / CONFIG).exists()


@pytest.mark.parametrize('below', ['', 'run'])
def test_a_file_in_the_way_is_refused(below: str, tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('precious')
    with pytest.raises(JsslError, match=r'run directory .*file.* cannot be used: .*--workdir'):
        open_workdir(tmp_path / 'file' / below, EXPERIMENT, 'x')
    assert (tmp_path / 'file').read_text() == 'precious'


@pytest.mark.skipif(not Path('/proc/self').is_dir(), reason='no /proc on this system')
def test_where_nobody_can_write_is_refused() -> None:
    """Not even root makes files in /proc, where permission bits say otherwise."""
    for path in ('/proc/self', '/proc/jssl'):
        with pytest.raises(JsslError, match=f'run directory {path}.* cannot be used: .*--workdir'):
            open_workdir(path, EXPERIMENT, 'x')


PROCESS = """
import sys
import jax
from pathlib import Path
from jssl.errors import JsslError
from jssl.runs.workdir import claimed
workdir, address, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
jax.distributed.initialize(address, 2, number)
try:
    with claimed(workdir):
        pass
except JsslError as error:
    print(error)
with claimed(workdir / 'free'):
    jax.experimental.multihost_utils.sync_global_devices('both are in')
print('done')
"""


def test_the_processes_of_a_job_hold_a_directory_together(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(('localhost', 0))
        address = f'localhost:{probe.getsockname()[1]}'
    (tmp_path / 'free').mkdir()
    with claimed(tmp_path):
        processes = [
            subprocess.Popen(
                [sys.executable, '-c', PROCESS, str(tmp_path), address, str(number)],
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in (0, 1)
        ]
        told = [process.communicate(timeout=60)[0] for process in processes]
    assert f'{tmp_path} is in use by process {os.getpid()} on' in told[0]
    assert f'Process 0 of this job could not have {tmp_path}' in told[1]
    assert [text.splitlines()[-1] for text in told] == ['done', 'done']


def git(folder: Path, *arguments: str) -> str:
    identity = ('-c', 'user.name=Ada', '-c', 'user.email=ada@example.org')
    command = ['git', '-C', str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_of_the_source_tree(tmp_path: Path) -> None:
    source = tmp_path / 'package' / 'module.py'
    source.parent.mkdir()
    source.write_text('x = 1\n')
    unknown = {'git_commit': None, 'dirty': None}
    assert source_commit(source) == unknown
    git(tmp_path, 'init', '--quiet')
    assert source_commit(source) == unknown  # in a repository, but not kept in it
    git(tmp_path, 'add', '.')
    git(tmp_path, 'commit', '--quiet', '-m', 'one')
    commit = git(tmp_path, 'rev-parse', 'HEAD')
    assert source_commit(source) == {'git_commit': commit, 'dirty': False}
    source.write_text('x = 2\n')
    assert source_commit(source) == {'git_commit': commit, 'dirty': True}


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    assert source_commit() == {'git_commit': None, 'dirty': None}
