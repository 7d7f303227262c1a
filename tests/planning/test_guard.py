"""Programs are what they were when they were last looked at; tests/planning/guard.py is that look.

Their properties hold for every release of JAX, their numbers for the one that made the file.
"""

import pytest

from jssl.planning import machines
from jssl.planning.program import lacks
from tests.planning import guard

# Bytes that a step gives besides its state, which lies where it was: metrics, and of a program for
# an accelerator a table of places and what fills tiles.
METRICS, TILES = 1024, 32768
ANEW = 'if that is meant: python -m tests.planning.guard'


def check(found: guard.Found, expected: guard.Found, metrics: int = METRICS, on: str = '') -> None:
    """Raises where a program waits for the host, copies its state or has become another."""
    assert found['to_host'] == found.get('copied', []) == []  # see test_in_place.py for CPUs
    assert found['not_aliased'] < metrics
    same = guard.releases(on).items() <= guard.committed().items()
    assert found['operations'] == pytest.approx(expected['operations'], rel=0.01), ANEW
    assert not same or not guard.differences(found, expected, within=0.1), ANEW


@pytest.mark.usefixtures('float64')
@pytest.mark.parametrize('name', guard.STEPS)
def test_the_step_on_eight_devices_is_what_it_was(name: str) -> None:
    check(guard.measure(name), guard.committed()['steps'][name])


@pytest.mark.parametrize('name', guard.SMALL)
@pytest.mark.parametrize('on', guard.MACHINES)
def test_a_small_step_for_a_machine_that_is_not_there_is_what_it_was(on: str, name: str) -> None:
    if command := lacks(machines.parse(on).machine):
        pytest.skip(f'nothing compiles for {on} here: {command}')
    check(guard.plan(name, on), guard.committed()['machines'][on][name], TILES, on)


def test_a_program_that_has_become_another_is_told() -> None:
    known = guard.committed()['steps']['SimCLR']
    assert guard.differences(known, known, within=0.0) == []
    slower = {**known, 'moved': 2 * known['moved'], 'messages': {'all-reduce': [99, 1]}}
    moved, messages = guard.differences(slower, known, within=0.1)
    assert moved.startswith('moved: ')
    assert '99' in messages
    for change in ({'to_host': ['callback']}, {'not_aliased': 4096}):
        with pytest.raises(AssertionError):
            check({**known, **change}, known)
    with pytest.raises(AssertionError, match='if that is meant'):
        check({**known, 'operations': 2 * known['operations']}, known)
