"""Copies, pairs and multi-crop: sizes, order, independent draws, one trace for all copies."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from jssl.augment.views import GlobalLocal, MultiCrop, MultiView, Pair
from jssl.components import build
from tests.augment.views.canvases import SIDE, WHOLE, canvas, levels
from tests.checks import refused

SMALL = dataclasses.replace(WHOLE, size=4, scale=(0.2, 0.6))
CROPS = dataclasses.replace(WHOLE, scale=(0.3, 1.0))
MIRRORED = dataclasses.replace(WHOLE, flip=1.0)
PLAIN = {'type': 'View', 'size': 4, 'jitter': 0.0, 'gray': 0.0, 'blur': 0.0}


@pytest.fixture(scope='module')
def crops() -> list[np.ndarray]:
    """Two large and three small crops of one canvas, 20 times."""
    policy = MultiCrop(CROPS, SMALL, large_copies=2, small_copies=3)
    keys = jax.random.split(jax.random.key(0), 20)
    drawn = jax.jit(jax.vmap(policy, (0, None)))(keys, canvas())
    assert drawn.keys() == {'views'}
    return [np.asarray(view) for view in drawn['views']]


def test_large_crops_come_before_small_ones(crops: list[np.ndarray]) -> None:
    assert [view.shape[1:] for view in crops] == [(SIDE, SIDE, 3)] * 2 + [(4, 4, 3)] * 3


def test_all_crops_are_drawn_independently(crops: list[np.ndarray]) -> None:
    for views in (crops[:2], crops[2:]):
        for index, view in enumerate(views):
            others = [other for place, other in enumerate(views) if place != index]
            assert all(np.abs(view - other).mean() > 0.01 for other in others)


def primitives(policy: Any) -> int:
    """Length of the policy's program."""
    return len(str(jax.make_jaxpr(policy)(jax.random.key(0), canvas())))


def test_a_further_copy_does_not_lengthen_the_chain() -> None:
    """One trace of each size, whatever the number of copies."""
    busy = dataclasses.replace(WHOLE, jitter=0.8, blur=0.5)
    one, many = (
        primitives(MultiCrop(busy, dataclasses.replace(busy, size=4), 1, count)) for count in (1, 6)
    )
    assert many < 1.1 * one
    chain = primitives(MultiView(busy, copies=1))
    assert primitives(MultiView(busy, copies=8)) < 1.1 * chain


def test_a_pair_keeps_its_order_and_draws_apart() -> None:
    views = jax.jit(Pair(WHOLE, MIRRORED))(jax.random.key(1), canvas())['views']
    np.testing.assert_allclose(levels(views[0]), canvas().pixels, atol=1e-3)
    np.testing.assert_allclose(levels(views[1]), canvas().pixels[:, ::-1], atol=1e-3)
    first, second = jax.jit(Pair(CROPS, CROPS))(jax.random.key(2), canvas())['views']
    assert np.abs(first - second).mean() > 0.01


@pytest.mark.parametrize('copies', [0, 3])
def test_local_crops_follow_a_pair(copies: int) -> None:
    policy = GlobalLocal(WHOLE, MIRRORED, SMALL, local_copies=copies)
    first, second, *local = jax.jit(policy)(jax.random.key(1), canvas())['views']
    np.testing.assert_allclose(levels(first), canvas().pixels, atol=1e-3)
    np.testing.assert_allclose(levels(second), canvas().pixels[:, ::-1], atol=1e-3)
    assert [view.shape for view in local] == [(4, 4, 3)] * copies
    assert all(np.abs(local[0] - other).mean() > 0.01 for other in local[1:])


def test_plain_copies_show_the_same_crops_and_are_not_distorted() -> None:
    busy = dataclasses.replace(CROPS, flip=0.5, jitter=1.0, blur=1.0, gray=1.0, solarize=1.0)
    policy = GlobalLocal(busy, busy, SMALL, local_copies=1, plain_size=2 * SIDE)
    plain = dataclasses.replace(CROPS, flip=0.5, size=2 * SIDE)
    key = jax.random.key(1)
    drawn, wanted = (
        jax.jit(one)(key, canvas())
        for one in (policy, GlobalLocal(plain, plain, SMALL, local_copies=1))
    )
    assert [view.shape for view in drawn['views']] == [(SIDE, SIDE, 3)] * 2 + [(4, 4, 3)]
    for found, expected in zip(drawn['plain_views'], wanted['views'], strict=False):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(drawn['plain_views'][0] - drawn['plain_views'][1]).mean() > 0.01
    assert 'plain_views' not in wanted


def test_policies_are_built_from_nested_dicts() -> None:
    """Under the keys first, second, large and small, by bare class names."""
    pair = build('view', {'type': 'Pair', 'first': PLAIN, 'second': PLAIN | {'size': 6}})
    assert (pair.first.size, pair.second.size) == (4, 6)
    crops = build('view', {'type': 'MultiCrop', 'large': PLAIN, 'small': PLAIN})
    assert (crops.large_copies, crops.small_copies) == (2, 6)
    assert isinstance(hash(crops), int)
    with refused("config.view.second.type='Viwe'", "Did you mean 'View'"):
        build('view', {'type': 'Pair', 'first': PLAIN, 'second': {'type': 'Viwe'}})


@pytest.mark.parametrize(
    ('make', 'parts'),
    [
        (lambda: MultiView(WHOLE, copies=0), ['MultiView.copies=0', 'at least 1']),
        (lambda: MultiView(view=None), ['MultiView.view is None', 'give a policy']),  # type: ignore[arg-type]
        (lambda: Pair(WHOLE, 3), ['Pair.second is 3', 'give a policy']),  # type: ignore[arg-type]
        (lambda: Pair(None, WHOLE), ['Pair.first is None']),  # type: ignore[arg-type]
        (lambda: MultiCrop(WHOLE, 'small'), ["MultiCrop.small is 'small'"]),  # type: ignore[arg-type]
        (lambda: MultiCrop(WHOLE, SMALL, small_copies=0), ['MultiCrop.small_copies=0']),
        (lambda: GlobalLocal(WHOLE, WHOLE, 'local'), ["GlobalLocal.local is 'local'"]),  # type: ignore[arg-type]
        (lambda: GlobalLocal(WHOLE, WHOLE, SMALL, -1), ['GlobalLocal.local_copies=-1']),
        (lambda: MultiCrop(WHOLE, SMALL, large_copies=1.5), ['MultiCrop.large_copies=1.5']),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_drawn_is_refused(make: Callable[[], object], parts: list[str]) -> None:
    with refused(*parts):
        make()
