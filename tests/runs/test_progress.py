"""Speed and progress against a clock that the test turns."""

import io

import pytest
from rich.console import Console

from jssl.runs.progress import (
    DataWait,
    Meter,
    Progress,
    Speed,
    format_loss,
    telling,
)

SPEED = Speed(images_per_second=1234.4, data_wait=0.012)


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_meter_counts_training_alone(clock: Clock) -> None:
    meter = Meter(images_per_step=50, clock=clock)
    for _ in range(4):
        with meter.waiting():
            clock.seconds += 0.5
        clock.seconds += 1.5
    with meter.paused():
        clock.seconds += 1000
    assert meter.read(4) == Speed(images_per_second=200 / 8, data_wait=0.25)


def test_meter_starts_anew_after_each_reading(clock: Clock) -> None:
    meter = Meter(images_per_step=50, clock=clock)
    meter.read(10)
    clock.seconds += 9
    meter.read(11)
    clock.seconds += 2
    assert meter.read(12) == Speed(images_per_second=25, data_wait=0)
    assert meter.read(12) == Speed(images_per_second=0, data_wait=0)


def test_the_end_of_the_data_passes_through_the_meter(clock: Clock) -> None:
    meter = Meter(images_per_step=1, clock=clock)
    with pytest.raises(StopIteration), meter.waiting():
        next(iter(()))


def test_waiting_for_data_is_told_once_and_not_of_the_first_interval() -> None:
    said: list[str] = []
    watch = DataWait('use more threads', said.append)
    for share in (0.9, 0.1, 0.25, 0.8):
        watch.check(share)
    assert said == ['the device waits for data 25% of the time: use more threads']


def test_without_advice_nothing_is_told() -> None:
    said: list[str] = []
    watch = DataWait('', said.append)
    for _ in range(3):
        watch.check(0.5)
    assert not said


def test_plain_line_where_there_is_no_terminal(clock: Clock) -> None:
    output = io.StringIO()
    with Progress(1128, console=Console(file=output, width=40), clock=clock) as progress:
        progress.update(440, epoch=9.5, loss=1.3, speed=SPEED)
        clock.seconds += 4
        progress.update(460, epoch=10, loss=1.2344, speed=SPEED)
        progress.print('saved [step 460]')
        progress.update(1128, epoch=24, loss=1e-5, speed=SPEED)
    assert output.getvalue().splitlines() == [
        'step  440/1128  epoch 9.5  loss 1.300  1,234 images/s  wait 1 %  ? left',
        'step  460/1128  epoch 10.0  loss 1.234  1,234 images/s  wait 1 %  2:14 left',
        'saved [step 460]',
        'step 1128/1128  epoch 24.0  loss 1.000e-05  1,234 images/s  wait 1 %  0:00 left',
    ]


@pytest.mark.parametrize(
    ('encoding', 'shown'), [('ascii', r'caf\udce9 \u2192 \u732b'), ('utf-8', r'caf\udce9 → 猫')]
)
def test_letters_that_a_terminal_lacks_stop_nothing(encoding: str, shown: str) -> None:
    stream = io.BytesIO()
    console = Console(file=io.TextIOWrapper(stream, encoding, write_through=True))
    with Progress(1, console=console) as progress:
        progress.print('caf\udce9 → 猫')
    assert stream.getvalue().decode(encoding).strip() == shown


def test_live_bar_on_a_terminal(clock: Clock) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=120)
    with Progress(1128, console=console, clock=clock) as progress:
        progress.update(460, epoch=10, loss=1.234, speed=SPEED)
        progress.print('saved [step 460]')
        progress.update(480, epoch=10.5, loss=1.2, speed=SPEED)
    text = output.getvalue()
    assert '━' in text
    assert text.startswith('\x1b[?25l')  # hides the cursor...
    assert text.endswith('\x1b[?25h')  # ...and shows it again
    assert text.index('saved [step 460]') < text.index('step  480/1128  epoch 10.5  loss 1.200')


def test_the_line_of_a_long_run_fits_a_usual_terminal(clock: Clock) -> None:
    output = io.StringIO()
    with Progress(50_000, console=Console(file=output), clock=clock) as progress:
        for step in (12_000, 12_345):
            progress.update(step, epoch=24.7, loss=1.234, speed=Speed(1234.0, 0.12))
            clock.seconds += 6
    assert max(map(len, output.getvalue().splitlines())) <= 80


def test_on_a_narrow_terminal_the_line_ends_and_does_not_wrap(clock: Clock) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=40)
    with Progress(1128, console=console, clock=clock) as progress:
        progress.update(460, epoch=10, loss=1.234, speed=SPEED)
    assert 'step  460/1128  epoch 10.0  loss 1.234 …' in output.getvalue()


def test_standard_output_of_a_test_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('FORCE_COLOR', '1')  # asks for colour, which makes rich see a terminal
    with Progress(10) as progress:
        progress.update(5, epoch=1, loss=2, speed=SPEED)
    line = 'step  5/10  epoch 1.0  loss 2.000  1,234 images/s  wait 1 %  ? left\n'
    assert capsys.readouterr().out == line


@pytest.mark.parametrize(
    ('loss', 'text'),
    [(1.2, '1.200'), (123456.0, '1.235e+05'), (1234.0, '1234'), (float('nan'), 'nan')],
)
def test_losses(loss: float, text: str) -> None:
    assert format_loss(loss) == text


def test_the_first_step_says_that_it_is_compiled() -> None:
    said: list[str] = []
    step = telling(lambda x: x + len(said), said.append)
    assert (step(1), step(1)) == (2, 3)  # it was said before the first call, and once
    assert said[0] == 'compiling the step …'
    assert said[1].startswith('compiled in ')
    assert len(said) == 2


def test_every_line_and_step_is_a_sign_of_life() -> None:
    progress = Progress(10, console=Console(file=io.StringIO()))
    progress.alive('step 1')
    first = progress.sign
    progress.print('drawing')
    assert (first[1], progress.sign) == ('step 1', (first[0] + 1, 'drawing'))
