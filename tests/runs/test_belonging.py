"""Checkpoints that a run cannot go on from; of other data and models, see `test_checkpoints.py`."""

from pathlib import Path

from jssl.runs.checkpoints import Checkpoints
from tests.checks import refused
from tests.runs.states import make_state, target_of


def test_a_checkpoint_of_more_turns_than_are_known_is_refused(tmp_path: Path) -> None:
    with Checkpoints(tmp_path, turns=lambda: 2) as saver:
        saver.save(1, make_state())
    for known in (lambda: 2, lambda: 3, None):
        with Checkpoints(tmp_path, turns=known) as saver:
            assert saver.restore(target_of(make_state())) is not None
    with (
        refused('rolled back 2 times', 'orders.json names 1', 'Put that file back'),
        Checkpoints(tmp_path, turns=lambda: 1) as saver,
    ):
        saver.restore(target_of(make_state()))
