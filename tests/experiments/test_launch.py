"""The launch scripts: their syntax, and what they call; programs of clusters are stood in for."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from jssl.cli.parser import Parser
from jssl.cli.train import add_arguments
from tests.conftest import ROOT

LAUNCH = ROOT / 'experiments' / 'launch'
SCRIPTS = sorted(LAUNCH.glob('*.sh'))
AGAIN = 'requeue\n7\n'
ARGUMENTS = ('simclr', '--workdir=runs/my first')  # a space, so that quotes matter


def run(
    script: str, folder: Path, stands_in: dict[str, str], **environment: str
) -> tuple[int, str]:
    """The exit status of a script, and what programs in the place of others were given."""
    for name, does in stands_in.items():
        program = folder / name
        program.write_text(f'#!/bin/sh\nfor a; do echo "$a" >> {folder}/{name}.txt; done\n{does}\n')
        program.chmod(0o755)
    done = subprocess.run(
        [LAUNCH / script, *ARGUMENTS],
        env=os.environ | {'PATH': f'{folder}:{os.environ["PATH"]}'} | environment,
        capture_output=True,
        check=False,
    )
    return done.returncode, ''.join(p.read_text() for p in sorted(folder.glob('*.txt')))


def test_every_script_is_shell_and_on_the_page() -> None:
    page = (ROOT / 'docs' / 'start/many_devices.md').read_text()
    for file in SCRIPTS:
        subprocess.run(['bash', '-n', file], check=True)
        assert os.access(file, os.X_OK)
    assert all(f'experiments/launch/{file.name}' in page for file in LAUNCH.iterdir())


@pytest.mark.parametrize(('status', 'tries'), [(0, 1), (2, 1), (143, 1), (134, 3)])
def test_one_box_tries_again_after_what_may_pass(status: int, tries: int, tmp_path: Path) -> None:
    code, given = run('one_box.sh', tmp_path, {'python': f'exit {status}'})
    assert (code, given) == (status, '\n'.join(['-m', 'jssl', 'train', *ARGUMENTS, '']) * tries)


@pytest.mark.parametrize(('status', 'requeued'), [(0, ''), (1, ''), (75, AGAIN), (143, AGAIN)])
def test_slurm_requeues_what_was_stopped(status: int, requeued: str, tmp_path: Path) -> None:
    stands_in = {'srun': f'exit {status}', 'scontrol': ''}
    code, given = run('slurm.sh', tmp_path, stands_in, SLURM_JOB_ID='7')
    command = ('--kill-on-bad-exit=1', 'python', '-m', 'jssl', 'train', *ARGUMENTS, '--distributed')
    assert (code, given) == (status, requeued + '\n'.join([*command, '']))


def test_all_hosts_of_a_slice_get_the_line(tmp_path: Path) -> None:
    code, given = run('tpu_pod.sh', tmp_path, {'gcloud': ''}, TPU='mine', ZONE='here')
    assert code == 0
    assert '\n--worker=all\n' in given
    line = 'python3 -m jssl train simclr --workdir=runs/my\\ first --distributed'
    assert given.endswith(f'--command={line}\n')
    code, given = run('tpu_pod.sh', tmp_path, {'gcloud': ''})
    assert code == 1


def test_the_job_of_kubernetes_has_a_name_for_process_0_and_as_many_as_it_says() -> None:
    service, job = yaml.safe_load_all((LAUNCH / 'kubernetes.yaml').read_text())
    spec, pod = job['spec'], job['spec']['template']['spec']
    (container,) = pod['containers']
    command = ' '.join(container['command']).replace('$(JOB_COMPLETION_INDEX)', '3').split()
    parser = Parser('jssl train', '')
    add_arguments(parser)
    options = parser.read(command[command.index('train') + 1 :])
    assert options.processes == spec['completions'] == spec['parallelism'] == 4
    assert options.process == 3
    name, subdomain = job['metadata']['name'], pod['subdomain']
    assert options.coordinator.startswith(f'{name}-0.{subdomain}:')
    assert service['metadata']['name'] == subdomain
    assert service['spec']['selector'] == {'job-name': name}
