"""Real signals, sent by the process to itself."""

import os
import signal
import threading

import pytest

from jssl.training.signals import StopSignal


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_flag_and_nothing_else(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    with StopSignal() as stop:
        assert not stop.requested
        assert stop.number is None
        os.kill(os.getpid(), number)
        assert stop.requested
        assert stop.number == number
    assert 'stopping after this step' in capfd.readouterr().err


def test_a_second_interrupt_stops_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), StopSignal():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)


def test_a_second_sigterm_does_not() -> None:
    with StopSignal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.number == signal.SIGTERM


def test_the_handlers_found_are_put_back() -> None:
    def own(number: int, frame: object) -> None:
        del number, frame

    before = signal.signal(signal.SIGTERM, own)
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(ZeroDivisionError), StopSignal():
            raise ZeroDivisionError
        assert signal.getsignal(signal.SIGTERM) is own
        assert signal.getsignal(signal.SIGINT) is interrupt
    finally:
        signal.signal(signal.SIGTERM, before)


def test_another_thread_installs_nothing() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def enter() -> None:
        with StopSignal() as stop:
            seen.append((signal.getsignal(signal.SIGTERM), stop.requested))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [(before, False)]
