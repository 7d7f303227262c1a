"""Real signals to real programs, and what they say and return."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jssl.fitting.fit import fit
from jssl.interrupts import Handlers, Interrupted, Stopped
from tests.conftest import ROOT
from tests.training import toy

SLEEPS = 'import time\n    ready()\n    time.sleep(60)'
# A mutex that is locked twice: the second call returns never, and no signal wakes it.
HANGS = """import ctypes
    mutex, lib = ctypes.create_string_buffer(64), ctypes.CDLL(None)
    lib.pthread_mutex_lock(mutex)
    ready()
    lib.pthread_mutex_lock(mutex)"""


def stopped(body: str, number: int, setup: str = '') -> tuple[int, str]:
    """Exit status and standard error of a command that gets a signal once `body` calls ready()."""
    code = f"""
import signal
import jssl.interrupts as interrupts
interrupts.GRACE = 1.0
{setup}
def ready():
    print('ready', flush=True)
def main():
    {body}
    return 0
raise SystemExit(interrupts.run_command(main))
"""
    process = subprocess.Popen(
        [sys.executable, '-c', code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    return process.returncode, said


@pytest.mark.parametrize('body', [SLEEPS, HANGS])
@pytest.mark.parametrize(('number', 'status'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_command_ends_in_one_line(body: str, number: signal.Signals, status: int) -> None:
    assert stopped(body, number) == (status, f'jssl: stopped by {number.name}.\n')


def test_after_a_signal_python_takes_nothing_apart() -> None:
    """Where threads still run, that may be a segmentation fault."""
    crash = 'import atexit, os\natexit.register(os.kill, os.getpid(), signal.SIGSEGV)'
    said = 'jssl: stopped by SIGTERM.\n'
    assert stopped(SLEEPS, signal.SIGTERM, crash) == (143, said)
    caught = """try:
        import time
        ready()
        time.sleep(60)
    except KeyboardInterrupt:
        sys.stderr.write('half a line')
        return 143"""
    buffered = f'{crash}\nimport io, sys\nsys.stderr = io.TextIOWrapper(open(2, "wb"))'
    assert stopped(caught, signal.SIGTERM, buffered) == (143, 'half a line')


def test_a_library_that_makes_an_error_of_a_signal_hides_it_not() -> None:
    """As the start of a module in C++ does."""
    body = """try:
        import time
        ready()
        time.sleep(60)
    except BaseException as error:
        raise ImportError('no module') from error"""
    assert stopped(body, signal.SIGTERM) == (143, 'jssl: stopped by SIGTERM.\n')
    status, said = stopped("ready()\n    raise ImportError('no module')", 0)
    assert (status, said.splitlines()[-1]) == (1, 'ImportError: no module')


def test_a_signal_in_a_finalizer_is_not_lost() -> None:
    """Python drops what is raised there, as in callbacks of its garbage collector."""

    class Dying:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    def wait() -> None:
        Dying()
        time.sleep(20)

    before = sys.unraisablehook
    with pytest.raises(Stopped, match='SIGTERM'), Handlers():
        wait()
    assert sys.unraisablehook is before


def test_what_is_ignored_stays_so() -> None:
    ignored = 'signal.signal(signal.SIGINT, signal.SIG_IGN)'
    assert stopped('import time\n    ready()\n    time.sleep(0.3)', signal.SIGINT, ignored) == (
        0,
        '',
    )


def test_a_signal_while_python_ends_changes_nothing() -> None:
    late = """import atexit, os
atexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))
atexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))"""
    assert stopped('ready()\n    import time\n    time.sleep(0.1)', 0, late) == (0, '')


def test_the_handlers_found_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(ZeroDivisionError), Handlers():
        raise ZeroDivisionError
    assert before == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_the_baselines_says_that_nothing_is_saved(
    number: signal.Signals, tmp_path: Path
) -> None:
    """It comes while their program is traced."""
    once = toy.Once(number)

    def view(canvas: toy.Canvas) -> toy.jax.Array:
        once()
        return toy.view(canvas)

    words = f'stopped by {number.name} before anything was saved; .*--workdir={tmp_path}'
    with Handlers(), pytest.raises(Interrupted, match=words) as caught:
        toy.trained(toy.experiment(eval_view=view), tmp_path)
    assert caught.value.signal == number


def test_a_second_ctrl_c_stops_at_once_and_names_what_is_saved(tmp_path: Path) -> None:
    def twice() -> None:
        toy.Once(signal.SIGINT)()
        toy.Once(signal.SIGINT)()

    found = toy.experiment(schedule=toy.At(step=6, act=twice))
    with Handlers(), pytest.raises(Interrupted, match='SIGINT after step 4, which is saved'):
        toy.trained(found, tmp_path)
    assert [path.name for path in (tmp_path / 'checkpoints').iterdir()] == ['4']
    with pytest.raises(KeyboardInterrupt) as caught:  # as in a notebook
        toy.trained(found, tmp_path)
    assert not isinstance(caught.value, Stopped)


def test_a_signal_during_the_report_names_the_last_step(tmp_path: Path) -> None:
    once = toy.Once(signal.SIGINT)

    class View:
        """The view of the evaluation, which the pictures alone ask for its mean."""

        def __call__(self, canvas: toy.Canvas) -> toy.jax.Array:
            return toy.view(canvas)

        @property
        def mean(self) -> float:
            once()
            return 0.0

    with Handlers(), pytest.raises(Interrupted, match='SIGINT after step 12, which is saved'):
        fit(toy.experiment(eval_view=View()), workdir=tmp_path)


def test_an_error_waits_for_the_save_that_goes_on(tmp_path: Path) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    wide = toy.Toy(width=10_000)  # 8 MB, which are not written in the time of a step
    found = toy.experiment(wide, test_data=None, schedule=toy.At(step=5, act=fail))
    with pytest.raises(ZeroDivisionError):
        toy.trained(found, tmp_path)
    assert [path.name for path in (tmp_path / 'checkpoints').iterdir()] == ['4']
