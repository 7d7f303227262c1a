"""Masks of a batch with ratios from strata."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.augment import masks
from tests.checks import refused


def counts_of(made: jax.Array) -> np.ndarray:
    """Masked patches of each row, in order of size."""
    return np.sort(np.asarray(made).sum(axis=(1, 2)))


def test_half_of_the_rows_are_masked_each_within_its_stratum() -> None:
    draw = jax.jit(functools.partial(masks.stratified_masks, rows=32))
    first, second = (draw(jax.random.key(seed)) for seed in (0, 1))
    limits = np.floor(196 * np.linspace(0.1, 0.5, 17))
    for made in (first, second):
        assert made.shape == (32, 14, 14)
        counts = counts_of(made)
        assert not counts[:16].any()
        assert (counts[16:] <= limits[1:]).all()
        assert counts[16:].sum() > 0.85 * limits[:-1].sum()
    rows = [np.flatnonzero(np.asarray(made).any(axis=(1, 2))) for made in (first, second)]
    assert not np.array_equal(rows[0], rows[1])


def test_completed_masks_have_the_upper_end_of_each_stratum() -> None:
    made = masks.completed_masks(jax.random.key(0), rows=9, grid=8, share=0.5, ratios=(0.1, 0.3))
    assert list(counts_of(made)) == [0, 0, 0, 0, 0, 9, 12, 16, 19]
    assert masks.most_masked(9, 8, share=0.5, ratios=(0.1, 0.3)) == 9 + 12 + 16 + 19


def test_a_shift_masks_the_border_as_often_as_the_middle() -> None:
    keys = jax.random.split(jax.random.key(1), 300)
    plain, shifted = (
        np.asarray(
            jax.jit(
                jax.vmap(lambda key, s=shift: masks.completed_masks(key, 2, 8, share=1.0, shift=s))
            )(keys)
        ).mean(axis=(0, 1))
        for shift in (False, True)
    )
    corners = (0, 0, 7, 7), (0, 7, 0, 7)
    assert plain.sum() == shifted.sum()
    assert plain[corners].mean() < 0.75 * plain.mean()
    assert shifted[corners].mean() == pytest.approx(shifted.mean(), rel=0.1)


def test_places_left_over_weigh_nothing_and_images_weigh_the_same() -> None:
    made = masks.stratified_masks(jax.random.key(2), rows=6, grid=8)
    most = masks.most_masked(6, 8)
    index, weight = jax.jit(masks.masked_patches, static_argnums=1)(made, most)
    count = int(made.sum())
    assert count < most
    assert np.asarray(made).ravel()[index[:count]].all()
    assert not weight[count:].any()
    by_image = np.bincount(np.asarray(index) // 64, np.asarray(weight), minlength=6)
    np.testing.assert_allclose(by_image, np.asarray(made).any(axis=(1, 2)), rtol=1e-5)


def test_a_batch_without_masks_has_no_weight() -> None:
    _, weight = masks.masked_patches(jnp.zeros((2, 4, 4), bool), 5)
    assert not weight.any()


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(rows=1), ('mask_share=0.5 of 1 rows', 'at least 1')),
        (dict(rows=8, share=0.1), ('mask_share=0.1 of 8 rows', 'at least 0.125')),
        (dict(rows=8, share=1.5), ('config.model.mask_share is 1.5', 'between 0 and 1')),
        (dict(rows=8, ratios=(0.5, 0.1)), ('(0.5, 0.1)', 'not the smaller one')),
        (dict(rows=8, grid=2), ('grid=2', '3 or more')),
    ],
)
def test_what_cannot_be_masked_is_refused(options: dict[str, Any], words: tuple[str, ...]) -> None:
    for draw in (masks.stratified_masks, masks.completed_masks):
        with refused(*words):
            draw(jax.random.key(0), **options)


def test_ratios_of_less_than_a_patch_are_refused() -> None:
    with refused('config.model.mask_ratios=(0.01, 0.05)', '16 patches', 'at least 0.0625'):
        masks.most_masked(8, 4, ratios=(0.01, 0.05))
    assert masks.most_masked(8, 4, ratios=(0.01, 0.0625)) == 1
