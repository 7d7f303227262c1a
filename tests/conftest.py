"""Eight fake CPU devices and one compilation cache for the whole run, set before JAX starts."""

import ctypes
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

DEVICES = '--xla_force_host_platform_device_count=8'
# Compiling takes most of the suite's time. Programs of plain loops, which LLVM leaves as they are,
# compile in about a fifth of it.
# XLA of later releases ends at the name of an option that it lacks.
PLAIN_LOOPS = version('jaxlib').startswith('0.10.')
QUICK = '--xla_backend_optimization_level=0'
QUICK += ' --xla_cpu_use_fusion_emitters=false' if PLAIN_LOOPS else ''
os.environ['XLA_FLAGS'] = f'{os.environ.get("XLA_FLAGS", "")} {DEVICES} {QUICK}'.strip()
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
CACHE = Path(tempfile.gettempdir()) / f'jssl-test-compilation-cache-{os.getuid()}'
os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(CACHE))
# Also the smallest: what one process of the suite has compiled the others read in half the time.
os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0')
# Programs that tests start would else start a second time, see jssl.training.huge_pages.
os.environ.setdefault('GLIBC_TUNABLES', '')

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A suite in the background of a shell hands this down to programs that tests stop by Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

import jax  # noqa: E402
import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def float64() -> Iterator[None]:
    """JAX computes in double precision during the test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope='module', autouse=True)
def programs_make_room() -> Iterator[None]:
    """Compiled programs of the modules before are forgotten where they fill 3 GB."""
    yield
    if memory() > 3 << 30:
        jax.clear_caches()
        if sys.platform == 'linux':
            ctypes.CDLL(None).malloc_trim(0)  # else it would be full after every later module too


def memory() -> int:
    """How many bytes this process takes: now, or at most so far where the system is not Linux."""
    if sys.platform == 'linux':
        pages = int(Path('/proc/self/statm').read_text(encoding='ascii').split()[1])
        return pages * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS


@pytest.fixture(scope='session')
def digits_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A TFDS folder in which embedded_digits is prepared."""
    from jssl.data.preparing import digits

    folder = str(tmp_path_factory.mktemp('tensorflow_datasets'))
    digits.prepare(folder)
    return folder
