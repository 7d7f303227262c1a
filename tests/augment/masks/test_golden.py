"""The rules of iBOT, DINOv2 and I-JEPA make the masks of the references of the same numbers."""

import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.augment import masks
from jssl.augment.masks import stratified
from jssl.augment.masks.multi_block import MultiBlock
from jssl.augment.masks.numbers import recorded
from jssl.augment.masks.ratios import rectangles_of_ratio
from jssl.augment.masks.stratified import rectangles_of_stratum, rows_of_masks, strata
from tests import golden


def as_list(value: Any) -> list[float]:
    """A setting of one number, or of several."""
    return list(value) if isinstance(value, list) else [value]


@golden.each('part_ibot_masks')
def test_masks_of_drawn_ratios_are_the_references(path: Path) -> None:
    with jax.enable_x64(True), golden.whole(path) as saved:
        for number, options in enumerate(saved.meta['settings']):
            stream = jnp.asarray(saved.arrays[f'in/draws{number}'])
            ratios, spreads = (as_list(options[k]) for k in ('pred_ratio', 'pred_ratio_var'))
            draw = jax.jit(
                lambda used, stream=stream, rest=(options['grid'], ratios, spreads): (
                    rectangles_of_ratio(recorded(stream), used, *rest)
                )
            )
            used, starts, found = 0, [], []
            for _ in range(options['calls']):
                starts.append(int(used))
                for _ in range(options['masks_per_call']):
                    mask, used = draw(used)
                    found.append(mask)
            expected = saved.arrays[f'out/masks{number}']
            np.testing.assert_array_equal(np.stack(found).reshape(expected.shape), expected)
            np.testing.assert_array_equal(starts, saved.arrays[f'in/starts{number}'])
            assert int(used) == len(stream)


@golden.each('part_dinov2_masks')
def test_stratified_masks_are_the_references(path: Path) -> None:
    with jax.enable_x64(True), golden.whole(path) as saved:
        for number, options in enumerate(saved.meta['settings']):
            grid, rows, batch = options['grid'], options['rows'], options['batch']
            share, ratios = options['mask_sample_probability'], options['mask_ratio_min_max']
            assert rows == 2 * batch
            assert options['max_num_patches'] == stratified.LARGEST * grid**2
            assert options['min_num_patches'] == stratified.SMALLEST
            stream = jnp.asarray(saved.arrays[f'in/draws{number}'])
            draw = jax.jit(
                lambda used, low, high, stream=stream, grid=grid: rectangles_of_stratum(
                    recorded(stream), used, grid, low, high
                )
            )
            limits, used, found = strata(rows, share, ratios).astype(float), jnp.asarray(0), []
            for low, high in itertools.pairwise(limits):
                mask, used = draw(used, low, high)
                found.append(mask)
            assert int(used) == len(stream)
            made = rows_of_masks(jnp.stack(found), saved.arrays[f'in/order{number}'])
            expected = saved.arrays[f'out/masks{number}']
            np.testing.assert_array_equal(made.reshape(rows, -1), expected)
            most = masks.most_masked(rows, grid, share=share, ratios=tuple(ratios))
            assert most == options['upperbound']
            index, weight = masks.masked_patches(made, most)
            places = saved.arrays[f'out/mask_indices{number}']
            np.testing.assert_array_equal(index[: len(places)], places)
            weights = saved.arrays[f'out/masks_weight{number}']
            np.testing.assert_array_equal(weight[: len(places)], weights)
            assert not weight[len(places) :].any()


@golden.each('part_ijepa_masks')
def test_multi_block_masks_are_the_references(path: Path) -> None:
    with jax.enable_x64(True), golden.whole(path) as saved:
        for number, options in enumerate(saved.meta['settings']):
            rule, grid = multi_block(options), options['input_size'] // options['patch_size']
            stream = jnp.asarray(saved.arrays[f'in/draws{number}'])
            draw = jax.jit(
                lambda used, *sides, rest=(rule, stream, grid, options['min_keep']): rest[0].blocks(
                    recorded(rest[1]), used, rest[2], *sides, min_keep=rest[3]
                )
            )
            used, starts = 0, list(saved.arrays[f'in/starts{number}'])
            for call, start in enumerate(starts):
                assert int(used) == start
                sides = rule.sides(stream[used : used + 2], grid)
                used, found = used + 2, []
                for _ in range(options['batch']):
                    *blocks, used = draw(used, *sides)
                    found.append(blocks)
                contexts, targets = (
                    np.stack([image[kind] for image in found], axis=1) for kind in range(2)
                )
                for name, made in (('enc', contexts), ('pred', targets)):
                    cut = masks.first_patches(jnp.asarray(made), int(made.sum(axis=(2, 3)).min()))
                    for index, patches in enumerate(cut):
                        expected = saved.arrays[f'out/call{call}/{name}{number}.{index}']
                        np.testing.assert_array_equal(patches, expected)
            assert int(used) == len(stream)


def multi_block(options: golden.Meta) -> MultiBlock:
    """The settings of the reference's collator."""
    ranges = ('pred_mask_scale', 'aspect_ratio', 'enc_mask_scale')
    target_scale, target_aspect, context_scale = (tuple(options[name]) for name in ranges)
    return MultiBlock(
        targets=options['npred'],
        contexts=options['nenc'],
        target_scale=target_scale,
        target_aspect=target_aspect,
        context_scale=context_scale,
        allow_overlap=options['allow_overlap'],
    )
