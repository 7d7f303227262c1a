"""DINOv3: what moves, what is anchored and from when on, which norm local crops go through."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl import config
from jssl.algorithm import Batch
from jssl.algorithms import DINOv3
from jssl.algorithms.dinov3 import cosine_ramp
from jssl.heads import GramAnchoring
from jssl.networks import evaluate
from tests import golden
from tests.algorithms import runs, tiny_masked
from tests.algorithms.test_dinov2 import batch as two_sizes
from tests.algorithms.test_dinov2 import masks
from tests.checks import assert_trees_close, refused, well_scaled
from tests.test_configs import load

GRAM = GramAnchoring(weight=0.5, copy_epochs=(1.0, 2.0))
HALF = {'last_local_weight': 0.5, 'local_epochs': (1.0, 1.0)}  # from step 3 on


@functools.cache
def model(gram: GramAnchoring | None = GRAM) -> DINOv3:
    """In a run of three steps an epoch."""
    return dataclasses.replace(tiny_masked.tiny_dinov3(gram, **HALF), run=runs.RUN)


def batch(step: int = 3) -> Batch:
    """Global crops of 4 x 4 patches, as those of the Gram teacher at twice the side."""
    plain = tuple(jnp.repeat(jnp.repeat(view, 2, 1), 2, 2) for view in two_sizes(1)['views'][:2])
    draws = jax.random.uniform(jax.random.key(0), (2, 1, 5))
    more = {'plain_views': plain, 'masks': masks(0, 5), 'rotary_draws': draws}
    return {**two_sizes(), **more, 'step': jnp.array(step)}


@functools.cache
def start() -> Any:
    return well_scaled(jax.eval_shape(model().init, jax.random.key(0), batch()))


@functools.cache
def program() -> Any:
    return jax.jit(model().loss)


def terms(params: Any = None, state: Any = None, **changed: Any) -> dict[str, float]:
    """The metrics of the loss, itself among them, at the start but for what is changed."""
    given = (start()[0] if params is None else params, start()[1] if state is None else state)
    loss, (_, metrics) = program()(*given, {**batch(), **changed})
    return {'loss': float(loss), **{name: float(value) for name, value in metrics.items()}}


def differing(one: dict[str, float], other: dict[str, float]) -> set[str]:
    return {name for name in one if abs(one[name] - other[name]) > 1e-5}


@pytest.mark.parametrize(('step', 'local'), [(2, 1.0), (3, 0.5)])
def test_the_loss_is_the_sum_of_its_parts(step: int, local: float) -> None:
    found = terms(step=jnp.array(step))
    expected = 0.5 * (found['global'] + local * found['local']) + found['ibot']
    expected += 0.2 * found['koleo'] + 0.5 * found['gram']
    np.testing.assert_allclose(found['loss'], expected, rtol=1e-6)
    assert found['gram'] > 1e-3


def test_rotary_positions_move_in_each_pass_of_the_student_and_never_in_a_teacher_s() -> None:
    moving = model(None)
    drawn = moving.draw(jax.random.key(1), {}, two_sizes())
    assert drawn['rotary_draws'].shape == (2, 1, 5)  # sizes, blocks
    assert len(np.unique(drawn['rotary_draws'])) == 10
    still = dataclasses.replace(moving, backbone=moving.backbone.clone(rotary={}))
    assert {'rotary_draws', 'drop_path'}.isdisjoint(still.draw(jax.random.key(1), {}, two_sizes()))
    dropping = dataclasses.replace(moving, backbone=moving.backbone.clone(drop_path_rate=0.3))
    assert 'drop_path' in dropping.draw(jax.random.key(1), {}, two_sizes())
    draws = batch()['rotary_draws']
    changed = differing(terms(), terms(rotary_draws=draws.at[1].set(0.1)))
    assert changed == {'loss', 'local', 'kl'}  # of the local crops alone
    changed = differing(terms(), terms(rotary_draws=draws.at[0].set(0.1)))
    assert {'global', 'gram', 'koleo'} < changed
    assert 'teacher_entropy' not in changed


def test_class_tokens_of_local_crops_have_a_norm_of_their_own() -> None:
    params, _ = start()
    norm = jax.tree.map(lambda leaf: leaf + 1, params['backbone']['local_cls_norm'])
    other = {**params, 'backbone': {**params['backbone'], 'local_cls_norm': norm}}
    assert differing(terms(), terms(other)) == {'loss', 'local', 'kl'}
    images = batch()['views'][0]
    tokens = [evaluate(model().backbone, one['backbone'], {}, images) for one in (params, other)]
    np.testing.assert_array_equal(tokens[0][-1][1], tokens[1][-1][1])


def test_the_gram_teacher_sees_its_own_crops_and_what_the_teacher_sees_without_them() -> None:
    plain = batch()['plain_views']
    moved = (plain[0].at[:, 0].add(1.0), plain[1])
    assert differing(terms(), terms(plain_views=moved)) == {'loss', 'gram'}
    params, state = start()
    alone = {name: value for name, value in batch().items() if name != 'plain_views'}
    kept = {**state, 'gram_teacher': state['teacher']}
    own = program()(params, kept, alone)[1][1]['gram']
    shared = model(GramAnchoring(0.5, own_teacher=False))
    with_ema = jax.jit(shared.loss)(params, {'teacher': state['teacher']}, alone)[1][1]['gram']
    np.testing.assert_allclose(own, with_ema, rtol=1e-5)
    assert 'gram_teacher' not in jax.eval_shape(shared.init, jax.random.key(0), batch())[1]


def test_the_gram_teacher_stays_but_after_the_epochs_at_which_it_is_copied() -> None:
    params, state = start()
    after = jax.jit(model().after_step)
    copies = 0
    for step in range(8):
        _, left = after(params, state, jnp.array(step))
        copies += step in (2, 5)  # the last of epochs 1 and 2
        wanted = left['teacher'] if step in (2, 5) else state['gram_teacher']
        anchor = left['gram_teacher']
        assert_trees_close(
            anchor['params']['backbone'], wanted['params']['backbone'], rtol=0, atol=0
        )
        assert anchor['steps'] == copies
        state = left


@golden.each('part_dinov3_schedules')
def test_weights_follow_the_reference_s_curves(path: Path) -> None:
    saved = golden.File(path)
    settings = golden.plain(saved.meta['settings'])
    cases = [(n, case) for n, case in enumerate(settings) if 'cosine_iterations' in case]
    assert cases
    for number, case in cases:
        assert case['start'] == case['peak']
        start = case['warmup_iterations']
        ends = {'first': case['peak'], 'last': case['end']}
        steps = jnp.arange(case['total_iterations'])
        found = cosine_ramp(steps, start, start + case['cosine_iterations'], **ends)
        expected = saved.arrays[f'out/linear_warmup_cosine{number}']
        np.testing.assert_allclose(found, expected[: len(found)], rtol=1e-6)


def test_a_weight_may_change_at_once() -> None:
    found = cosine_ramp(jnp.arange(3), 0, 0, first=0.0, last=2.0)
    np.testing.assert_array_equal(found, [2.0, 2.0, 2.0])
    found = cosine_ramp(jnp.arange(4), 2, 2, first=1.0, last=0.5)
    np.testing.assert_array_equal(found, [1.0, 1.0, 0.5, 0.5])


def test_a_teacher_that_says_nothing_is_named_and_one_that_is_sure_has_not_collapsed() -> None:
    most = np.log(12)
    assert 'Uniform collapse' in str(model().diagnose({'teacher_entropy': most, 'kl': 0.0}))
    assert model().diagnose({'teacher_entropy': 0.0, 'kl': 0.0}) is None


def test_exactly_so_many_patches_are_masked() -> None:
    drawn = model().draw(jax.random.key(1), {}, two_sizes())
    counts = np.sort(drawn['masks'].sum(axis=1))
    np.testing.assert_array_equal(counts, [0, 0, 0, 0, 3, 4, 6, 8])


def test_crops_that_are_not_square_are_refused() -> None:
    wide = {**batch(), 'views': tuple(jnp.zeros((4, 8, 12, 3)) for _ in range(2))}
    with refused('DINOv3 masks square global crops', '8 x 12 px', 'GlobalLocal'):
        model().draw(jax.random.key(0), {}, wide)


def test_epochs_that_go_back_and_copies_for_no_teacher_are_refused() -> None:
    with refused('config.model.local_epochs=(2.0, 1.0)', 'give (1.0, 2.0)'):
        dataclasses.replace(model(), local_epochs=(2.0, 1.0))
    with refused('config.model.gram.epochs=(3.0, 1.0)', 'give (1.0, 3.0)'):
        GramAnchoring(epochs=(3.0, 1.0))
    with refused('gram.copy_epochs=(1.0,)', 'own_teacher=False', 'leave copy_epochs out'):
        GramAnchoring(own_teacher=False, copy_epochs=(1.0,))


@pytest.mark.parametrize('epoch', [0.1, 4.0, 100.0])
def test_copies_that_no_step_uses_are_refused(epoch: float) -> None:
    late = model(dataclasses.replace(GRAM, copy_epochs=(1.0, epoch)))
    state = jax.eval_shape(late.init, jax.random.key(0), batch())
    with refused(f'gram.copy_epochs=(1.0, {epoch})', 'a run of 12', 'between 0.33 and 4'):
        jax.eval_shape(late.after_step, *state, jnp.array(0))


@pytest.mark.parametrize(
    ('gram', 'needs'),
    [
        (None, False),
        (GRAM, True),
        (GramAnchoring(), True),
        (GramAnchoring(own_teacher=False), False),
        (GramAnchoring(epochs=(1.0, 2.0), copy_epochs=(1.0, 2.0)), False),
        (GramAnchoring(epochs=(1.0, 2.0), copy_epochs=(2.0,)), True),
    ],
)
def test_a_gram_teacher_that_would_be_random_needs_weights(
    gram: GramAnchoring | None, needs: bool
) -> None:
    assert ('random network' in model(gram).needs_weights) is needs


def test_the_gram_phase_begins_with_a_run() -> None:
    with refused('config.model.gram has a teacher of its own', 'Add --config.pretrained=RUN'):
        config.experiment(load('dinov3.py:gram'))
