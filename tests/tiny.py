"""The main job in miniature: 256 embedded digits, a network of 4 channels, 8 steps an epoch."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import QUICK, ROOT

CONFIG = f'--config={ROOT / "configs" / "simclr.py"}'
OVERRIDES = {
    'config.model.backbone.base_channels': 4,
    'config.model.neck.in_channels': 16,
    'config.model.neck.hid_channels': 16,
    'config.model.neck.out_channels': 8,
    'config.data.split': 'train[:256]',
    'config.test_data.split': 'test[:64]',
    'config.views.view.size': 16,
    'config.batch_size': 32,
    'config.epochs': 1,
    'config.schedule.warmup_epochs': 0.5,
    'config.log_every': 1,
    'config.evaluate.every_epochs': 0,
}


def arguments(data_dir: str, workdir: Path | None = None, **overrides: object) -> list[str]:
    """The command line of a tiny run; `epochs=2` stands for --config.epochs=2, __ for a dot."""
    given = {f'config.{key.replace("__", ".")}': value for key, value in overrides.items()}
    folders = {'config.data.data_dir': data_dir, 'config.test_data.data_dir': data_dir}
    if workdir is not None:
        folders['workdir'] = str(workdir)
    return [CONFIG, *(f'--{key}={value}' for key, value in (OVERRIDES | folders | given).items())]


MAIN = (sys.executable, '-m', 'jssl.main')
TWO = ('experiments/launch/localhost.sh',)  # processes on this machine


def start(
    arguments: list[str], devices: int = 1, command: tuple[str, ...] = MAIN
) -> subprocess.Popen[str]:
    """`python -m jssl.main` in a process of its own, with so many fake devices."""
    flags = f'--xla_force_host_platform_device_count={devices} {QUICK}'
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    return subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        env=os.environ | {'XLA_FLAGS': flags, 'PATH': path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    """What the process said, once it has ended with `status`."""
    said, _ = process.communicate(timeout=300)
    assert process.returncode == status, said
    return said
