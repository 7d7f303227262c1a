"""Runs whose optimizer or schedule is one of optax."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

import jssl
from jssl.errors import JsslError
from jssl.optim import SGD, AdamW, Constant, Scheduled
from tests.training import toy


def run(directory: Path, optimizer: Any, schedule: Any = None) -> list[dict[str, Any]]:
    """The rows of steps of a run."""
    schedule = Constant() if schedule is None else schedule
    toy.trained(toy.experiment(optimizer=optimizer, schedule=schedule), directory)
    return [row for row in toy.numbers(directory) if 'loss' in row]


def test_any_transformation_trains_and_its_rate_is_not_logged(tmp_path: Path) -> None:
    plain = toy.experiment(optimizer=optax.adamw(3e-3), schedule=Constant())
    outcome = jssl.fit(plain, workdir=tmp_path / 'plain')
    rows = [row for row in toy.numbers(tmp_path / 'plain') if 'loss' in row]
    assert rows[-1]['loss'] < rows[0]['loss']
    assert not any('lr' in row for row in rows)
    assert 'Learning rate' not in (outcome.workdir / 'report.html').read_text()
    jssl.fit(plain, workdir=tmp_path / 'plain')  # resumes
    with pytest.raises(JsslError, match='optimizer'):
        jssl.fit(toy.experiment(optimizer=AdamW(lr=3e-3)), workdir=tmp_path / 'plain')


def test_what_follows_the_schedule_logs_its_rate_and_takes_the_same_steps(tmp_path: Path) -> None:
    curve = optax.linear_schedule(1.0, 0.0, transition_steps=12)
    rows = run(tmp_path / 'scheduled', Scheduled(optax.sgd, lr=0.1), curve)
    assert [row['lr'] for row in rows] == pytest.approx([0.1 * (1 - i / 12) for i in range(12)])
    ours = run(tmp_path / 'ours', SGD(lr=0.1), curve)
    assert [row['loss'] for row in ours] == pytest.approx([row['loss'] for row in rows], rel=1e-6)


def test_one_that_asks_for_the_loss_gets_it() -> None:
    halving = optax.contrib.reduce_on_plateau(factor=0.5, patience=0, rtol=0.9, accumulation_size=1)
    found = toy.experiment(optimizer=optax.chain(optax.sgd(1e-6), halving), schedule=Constant())
    state = found.initial_state()
    for batch in (found.loader[0], found.loader[1], found.loader[2]):
        state, _ = found.step(state, jax.tree.map(np.asarray, batch), found.arrays)
    scales = [
        leaf.scale
        for leaf in jax.tree.leaves(state.opt_state, is_leaf=lambda part: hasattr(part, 'scale'))
        if hasattr(leaf, 'scale')
    ]
    assert float(scales[0]) < 1
