"""Which checkpoints stay: the newest, those of every so many steps, and the best."""

import math
from pathlib import Path
from typing import Any

from jssl.runs.keeping import Keeping
from jssl.training.settings import Checkpoint, Evaluate, MeshShape, Runtime
from tests.training import toy

SCORES = {4: 0.5, 8: 0.9, 12: 0.9, 16: math.nan, 20: 0.7}
ROWS = [{'kind': 'evaluation', 'step': step, 'knn': score} for step, score in SCORES.items()]
STEPS = [*range(24, 0, -2)]


def test_the_first_of_the_best_stays() -> None:
    assert Keeping(best='knn', rows=lambda: ROWS)(STEPS) == {8}
    assert Keeping(best='-knn', rows=lambda: ROWS)(STEPS) == {4}
    assert Keeping(best='knn', rows=lambda: ROWS)([24, 20, 16]) == {20}
    assert Keeping(best='knn', rows=lambda: ROWS)([24, 16]) == set()
    assert Keeping(best='knn')(STEPS) == set()  # before the first evaluation


def test_those_of_every_so_many_steps_stay() -> None:
    assert Keeping(every=10)(STEPS) == {10, 20}
    assert Keeping(every=10, best='knn', rows=lambda: ROWS)(STEPS) == {8, 10, 20}
    assert Keeping()(STEPS) == set()


def test_a_score_that_there_is_not_is_told_once() -> None:
    said: list[str] = []
    keeping = Keeping(best='lineer', rows=lambda: ROWS, report=said.append)
    assert keeping(STEPS) == keeping(STEPS) == set()
    (line,) = said
    assert "keep_best='lineer' is no score of this run, which are knn;" in line
    for name in ('kind', '-step'):  # in every row, and no score
        assert Keeping(best=name, rows=lambda: ROWS, report=said.append)(STEPS) == set()
    assert len(said) == 3


def test_a_run_keeps_what_it_is_told_to(tmp_path: Path) -> None:
    keep: dict[str, Any] = {'keep': 1, 'keep_every': 6, 'keep_best': '-worse'}
    runtime = Runtime(
        log_every=1,
        evaluate=Evaluate(every_epochs=1),
        checkpoint=Checkpoint(every_steps=2, **keep),
        mesh=MeshShape(devices=1),
    )
    # Of what it has to beat, and after steps 4, 8 and 12.
    scores = iter((0.0, 0.0, 3.0, 1.0, 2.0))

    def worse(train: Any, test: Any) -> dict[str, float]:
        return {'worse': next(scores)}

    subject = toy.experiment(runtime=runtime, metrics=[worse])
    toy.trained(subject, tmp_path)
    assert {path.name for path in (tmp_path / 'checkpoints').iterdir()} == {'6', '8', '12'}
