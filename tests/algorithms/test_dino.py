"""DINO: who sees what, when the teacher moves, and the two collapses in its metrics."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Run
from jssl.algorithms import DINO
from jssl.algorithms.dino import watch
from jssl.backbones import DINOViT
from jssl.heads import DINOHead
from jssl.networks import by_size, evaluate, forward
from tests.algorithms import runs, tiny_masked, tiny_models
from tests.checks import assert_trees_close, refused, well_scaled

K = 12


def of_vit(**fields: Any) -> DINO:
    arch = {**tiny_masked.VIT, 'num_layers': 2}  # drop path grows from 0 at the first
    backbone = DINOViT(arch, img_size=8, patch_size=2, **fields)
    model = DINO(backbone, DINOHead(tiny_models.WIDTH, K, tiny_models.WIDTH, tiny_models.WIDTH))
    return dataclasses.replace(model, run=Run(samples=64, steps_per_epoch=4, epochs=5))


def batch(seed: int = 0, sizes: tuple[int, ...] = (8, 8, 4, 4), step: int = 0) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    views = tuple(jnp.asarray(draw.standard_normal((3, s, s, 3)), 'float32') for s in sizes)
    return {'views': views, 'index': jnp.arange(3), 'step': jnp.array(step)}


def start(model: DINO) -> Any:
    return well_scaled(jax.eval_shape(model.init, jax.random.key(0), batch()))


def test_a_student_begins_as_its_teacher_and_shares_no_memory_with_it() -> None:
    params, state = jax.jit(of_vit().init)(jax.random.key(0), batch())
    assert_trees_close(state['teacher']['params'], dict(params), rtol=0)
    assert state['center'].shape == (K,)
    assert not np.any(state['center'])


def test_the_teacher_sees_the_global_crops_alone() -> None:
    model = of_vit()
    params, state = start(model)
    one, other = batch(), batch(seed=1)
    other['views'] = one['views'][:2] + other['views'][2:]
    loss = jax.jit(model.loss)
    (first, (left, _)), (second, (again, _)) = (loss(params, state, b) for b in (one, other))
    assert first != second
    np.testing.assert_array_equal(left['center'], again['center'])


def test_each_size_is_one_pass_and_the_loss_its_mean_over_pairs() -> None:
    model = of_vit()
    params, state = start(model)
    views = batch()['views']
    slow: Any = state['teacher']['params'], {}
    run = jax.jit(lambda *weights, view: evaluate(model.network, *weights, by_size([view]))[0])
    t = [run(*slow, view=view) for view in views[:2]]
    s = [run(params, {}, view=view) for view in views]
    p = [jax.nn.softmax((x - state['center']) / 0.04) for x in t]
    terms = [
        -(p[q] * jax.nn.log_softmax(s[v] / 0.1)).sum(-1).mean()
        for q in range(2)
        for v in range(4)
        if v != q
    ]
    loss, (after, metrics) = jax.jit(model.loss)(params, state, batch())
    assert float(loss) == pytest.approx(float(np.mean(terms)), rel=1e-5)
    center = 0.9 * state['center'] + 0.1 * jnp.concatenate(t).mean(axis=0)
    np.testing.assert_allclose(after['center'], center, atol=1e-5)
    assert float(metrics['kl'] + metrics['teacher_entropy']) == pytest.approx(float(loss), rel=1e-5)
    assert metrics['kl'] > 0


def test_the_teacher_follows_the_optimizer_at_a_momentum_that_grows_to_1() -> None:
    model = of_vit()
    params, state = start(model)
    moved = jax.tree.map(lambda leaf: np.asarray(leaf) + 1, params)
    advance = jax.jit(model.after_step)
    _, after = advance(moved, state, 0)
    last, new = (s['teacher']['params']['head']['mlp.0']['bias'] for s in (state, after))
    np.testing.assert_allclose(
        new, 0.996 * last + 0.004 * moved['head']['mlp.0']['bias'], rtol=1e-5
    )
    _, after = advance(moved, state, 20)
    assert_trees_close(after['teacher']['params'], state['teacher']['params'], rtol=1e-6)


def test_the_teacher_s_temperature_warms_up_by_epochs() -> None:
    model = dataclasses.replace(of_vit(), teacher_temperature=0.07, warmup_teacher_epochs=4)
    params, state = start(model)
    loss = jax.jit(model.loss)
    found = [loss(params, state, batch(step=n))[1][1]['temperature'] for n in (0, 3, 4, 8, 12, 19)]
    np.testing.assert_allclose(found, [0.04, 0.04, 0.05, 0.06, 0.07, 0.07], rtol=1e-5)


def test_drop_path_is_the_student_s_alone() -> None:
    model = of_vit(drop_path_rate=0.5)
    params, state = start(model)
    loss, drawn = (
        jax.jit(model.loss),
        [model.draw(jax.random.key(n), state, batch()) for n in (0, 1)],
    )
    (one, (left, _)), (other, (again, _)) = (loss(params, state, found) for found in drawn)
    assert one != other
    np.testing.assert_array_equal(left['center'], again['center'])
    assert 'drop_path' not in of_vit().draw(jax.random.key(0), state, batch())


def test_batch_norms_of_the_teacher_keep_their_own_statistics() -> None:
    model: Any = runs.tiny('DINO')
    params, state = jax.jit(model.init)(jax.random.key(0), runs.seen(copies=3))
    _, (left, _) = jax.jit(model.loss)(params, state, runs.seen(copies=3))
    slow = state['teacher']['params'], state['teacher']['batch_stats']
    crops = by_size(runs.seen(copies=3)['views'][:2])
    _, stats = jax.jit(functools.partial(forward, model.teacher))(*slow, crops)
    assert_trees_close(left['teacher']['batch_stats'], stats, rtol=1e-5)
    _, after = jax.jit(model.after_step)(params, left, 0)
    assert_trees_close(after['teacher']['batch_stats'], left['teacher']['batch_stats'], rtol=0)


def test_the_metrics_tell_the_collapses_apart_and_words_follow_them() -> None:
    center, model = jnp.zeros(K), of_vit()
    one = jnp.eye(K)[jnp.zeros((2, 3), int)]
    uniform = watch(jnp.log(K), jnp.full((2, 3, K), 1 / K), center)
    single = watch(jnp.array(0.0), one, 5 * one[0, 0])
    found = [float(uniform[name]) for name in ('teacher_entropy', 'kl')]
    assert found == [pytest.approx(np.log(K)), pytest.approx(0, abs=1e-6)]
    assert [float(value) for value in single.values()] == [0, 0, 5]
    for metrics, words in ((uniform, ('Uniform', 'lower')), (single, ('one dimension', 'raise'))):
        said = model.diagnose({name: float(value) for name, value in metrics.items()})
        assert said is not None
        assert all(word in said for word in words)


@pytest.mark.parametrize('entropy', [0.0, 1.2, float(np.log(K))])
def test_a_student_that_differs_from_its_teacher_has_not_collapsed(entropy: float) -> None:
    assert of_vit().diagnose({'teacher_entropy': entropy, 'kl': 0.3}) is None
    assert of_vit().diagnose({}) is None


def test_a_student_that_has_learned_all_there_is_has_not_collapsed() -> None:
    assert of_vit().diagnose({'teacher_entropy': 1.2, 'kl': 0.0}) is None


@pytest.mark.parametrize('sizes', [(8,), (8, 4), (4, 8, 4)])
def test_two_global_crops_of_one_size_are_needed(sizes: tuple[int, ...]) -> None:
    with refused('DINO needs two global crops of one size', 'GlobalLocal'):
        of_vit().init(jax.random.key(0), batch(sizes=sizes))
