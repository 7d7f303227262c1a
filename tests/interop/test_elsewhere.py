"""Whole algorithms by the names of MMSelfSup before 1.0 and of MMPretrain."""

import functools
from typing import Any

import jax
import numpy as np
import pytest

from jssl.interop.mmselfsup import export_state, import_state
from jssl.reference import reference_of
from tests.algorithms import tiny_models
from tests.algorithms.runs import seen
from tests.checks import assert_trees_close, refused, well_scaled

MAKERS = {
    'byol': ('online_net', 'target_net'),
    'moco': ('encoder_q', 'encoder_k'),
    'densecl': ('encoder_q', 'encoder_k'),
    'mocov3': ('base_encoder', 'momentum_encoder'),
    'simsiam': ('encoder', None),
}


@functools.cache
def made(name: str) -> tuple[Any, Any, Any]:
    algorithm = getattr(tiny_models, f'tiny_{name}')()
    shapes = jax.eval_shape(algorithm.init, jax.random.key(0), seen())
    return algorithm, *well_scaled(shapes)


def before(weights: dict[str, np.ndarray], student: str, teacher: str | None) -> dict[str, Any]:
    """The checkpoint as 0.x wrote it: sequences, the backbone twice, no number of steps."""
    found: dict[str, Any] = {}
    for key, value in weights.items():
        part, _, rest = key.partition('.')
        if part == 'backbone':
            found |= {key: value, f'{student}.0.{rest}': value}
        elif part == 'neck':
            found[f'{student}.1.{rest}'] = value
        elif part != teacher:
            found[key] = value
        elif rest != 'steps':
            found[f'{teacher}.{rest.removeprefix("module.")}'] = value
    return found


@pytest.mark.parametrize('name', MAKERS)
def test_sequences_of_before_come_in(name: str) -> None:
    algorithm, params, state = made(name)
    older = before(export_state(params, state, algorithm=algorithm), *MAKERS[name])
    assert any(key.startswith(tuple(reference_of(algorithm).elsewhere)) for key in older)
    zeros = jax.tree.map(np.zeros_like, (params, state))
    found = import_state(older, *zeros, algorithm=algorithm)
    assert_trees_close(found[0], params, rtol=0)
    for part in state.keys() & {'batch_stats', 'queue', 'queue2'}:
        assert_trees_close(found[1][part], state[part], rtol=0)
    if 'teacher' in state:
        expected = {**state['teacher'], 'steps': np.zeros_like(state['teacher']['steps'])}
        assert_trees_close(found[1]['teacher'], expected, rtol=0)


@pytest.mark.parametrize('place', ['head.prototypes', 'head.loss_module.prototypes'])
def test_prototypes_have_other_places_elsewhere(place: str) -> None:
    algorithm, params, state = made('swav')
    weights = export_state(params, state, algorithm=algorithm)
    moved = {key.replace('head.loss.prototypes', place): value for key, value in weights.items()}
    assert moved.keys() != weights.keys()
    found = import_state(moved, params, state, algorithm=algorithm)
    assert_trees_close(found[0], params, rtol=0)


def test_copies_that_differ_are_refused() -> None:
    algorithm, params, state = made('simsiam')
    older = before(export_state(params, state, algorithm=algorithm), 'encoder', None)
    key = next(key for key in older if key.startswith('encoder.0.'))
    with refused(repr(key), 'differs', 'under another name'):
        import_state(older | {key: older[key] + 1}, params, state, algorithm=algorithm)
