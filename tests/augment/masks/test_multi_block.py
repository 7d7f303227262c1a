"""I-JEPA's context and target blocks as numbers of patches."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.augment.masks import MultiBlock
from tests.checks import refused


def test_contexts_keep_out_of_targets_and_all_have_the_sizes_of_the_run() -> None:
    rule = MultiBlock(context_patches=30)
    context, target = jax.jit(rule.draw, static_argnums=(1, 2))(jax.random.key(0), 200, 14)
    assert context.shape == (200, 1, 30)
    assert target.shape == (200, 4, 30)
    assert context.dtype == target.dtype == jnp.int32
    both = np.concatenate([context, target], axis=1)
    assert both.min() == 0
    assert (np.diff(both, axis=-1) > 0).all()
    assert (both // 14 < 13).all()  # never on the last row or column
    assert (both % 14 < 13).all()
    hidden = [set(both[image, 1:].ravel()) for image in range(200)]
    shared = [set(both[image, 0]) & hidden[image] for image in range(200)]
    assert not any(shared)
    assert len({tuple(row) for row in np.asarray(target[:, 0])}) > 20
    rows = np.asarray(target[:, 0]) // 14
    height = np.ptp(rows, axis=-1)
    assert height.min() == height.max()  # one size for all targets of a batch


def test_sizes_change_from_batch_to_batch_and_shapes_do_not() -> None:
    rule = MultiBlock()
    draw = jax.jit(lambda key: rule.draw(key, 4, 16))
    found = [draw(jax.random.key(seed)) for seed in range(8)]
    assert {(c.shape, t.shape) for c, t in found} == {((4, 1, 64), (4, 4, 35))}
    assert len({int(np.ptp(np.asarray(t[0, 0]) // 16)) for _, t in found}) > 1


def test_a_context_that_has_too_few_patches_overlaps_the_last_targets() -> None:
    rule = MultiBlock(targets=2, target_scale=(0.5, 0.5), target_aspect=(1, 1), context_patches=45)
    contexts, targets = rule.draw(jax.random.key(0), 8, 8)
    context, target = np.asarray(contexts[:, 0]), np.asarray(targets)
    assert all(len(set(row)) == 45 for row in context)
    assert any(set(context[image]) & set(target[image, 1]) for image in range(8))


def test_allowed_overlap_leaves_the_block_whole() -> None:
    rule = MultiBlock(allow_overlap=True, context_scale=(0.5, 0.5), context_patches=36)
    context, _ = rule.draw(jax.random.key(0), 8, 8)
    rows = np.asarray(context[:, 0]) // 8
    assert (np.ptp(rows, axis=-1) == 5).all()


@pytest.mark.parametrize(
    ('options', 'grid', 'words'),
    [
        (dict(context_patches=226), 16, ('has at least 225', 'context_patches=226')),
        (dict(target_scale=(0.01, 0.2)), 8, ('a target may have 0',)),
        (dict(), 2, ('grid=2', '3 or more')),
    ],
)
def test_blocks_that_a_grid_has_no_place_for_are_refused(
    options: dict[str, Any], grid: int, words: tuple[str, ...]
) -> None:
    with refused(*words):
        MultiBlock(**options).draw(jax.random.key(0), 2, grid)


def test_a_range_that_goes_down_is_refused() -> None:
    with refused('MultiBlock.target_scale=(0.2, 0.1)', 'give (0.1, 0.2)'):
        MultiBlock(target_scale=(0.2, 0.1))
    with refused('MultiBlock.context_scale'):
        MultiBlock(context_scale=(0.0, 0.5))
