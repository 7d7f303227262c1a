"""A script that two processes of one job run on this machine."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from tests.conftest import QUICK, ROOT


def both(script: str, where: Path, *arguments: str, devices: int = 1) -> list[tuple[int, str]]:
    """Status and words of each process.

    Args:
      script: what Python runs; `sys.argv` has `where`, the port of process 0, the number of the
        process and the arguments.
      where: a directory.
      *arguments: what else the script takes.
      devices: of each process.
    """
    with socket.socket() as probe:
        probe.bind(('localhost', 0))
        port = str(probe.getsockname()[1])
    flags = f'--xla_force_host_platform_device_count={devices} {QUICK}'
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', script, str(where), port, process, *arguments],
            cwd=ROOT,
            env=os.environ | {'XLA_FLAGS': flags, 'PYTHONPATH': str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for process in '01'
    ]
    said = [process.communicate(timeout=300)[0] for process in processes]
    return [(process.returncode, words) for process, words in zip(processes, said, strict=True)]
