"""The order of samples depends on nothing but (seed, step)."""

import numpy as np
import pytest

from jssl.data.loading.order import Order
from jssl.data.loading.samplers import ClassBalanced, Sequential
from tests.checks import refused


def test_an_epoch_is_a_permutation_without_what_fills_no_batch() -> None:
    order = Order(length=22, batch_size=5, seed=3)
    assert order.steps_per_epoch == 4
    for epoch in range(3):
        samples = np.concatenate([order(4 * epoch + step) for step in range(4)])
        assert len(set(samples)) == 20
        assert set(samples) <= set(range(22))


def test_every_sample_is_seen_when_batches_divide_the_set() -> None:
    order = Order(length=20, batch_size=5)
    for epoch in range(3):
        samples = np.concatenate([order(4 * epoch + step) for step in range(4)])
        assert sorted(samples) == list(range(20))


def test_epochs_and_seeds_differ_and_neighbouring_seeds_share_no_epoch() -> None:
    epochs = [Order(20, 20, seed)(step).tolist() for seed in range(4) for step in range(4)]
    assert len({tuple(epoch) for epoch in epochs}) == 16


def test_the_order_is_the_same_in_every_version() -> None:
    assert Order(length=10, batch_size=4, seed=0)(0).tolist() == [6, 1, 0, 5]
    assert Order(length=10, batch_size=4, seed=0)(10**7).tolist() == [7, 9, 1, 4]


def test_rows_are_a_part_of_the_batch() -> None:
    order = Order(length=22, batch_size=8)
    np.testing.assert_array_equal(order(5, range(2, 6)), order(5)[2:6])


def test_the_order_follows_the_sampler_and_its_labels() -> None:
    assert Order(7, 3, sampler=Sequential())(3).tolist() == [3, 4, 5]
    labels = np.repeat([0, 1], [90, 10])
    counts = np.bincount(labels[Order(100, 100, sampler=ClassBalanced(), labels=labels)(2)])
    assert counts.tolist() in ([50, 50], [49, 51], [51, 49])


def test_what_was_given_out_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match='read-only'):
        Order(7, 3)(0)[0] = 1


@pytest.mark.parametrize('batch_size', [23, 0, -1])
def test_a_batch_that_does_not_fit_the_set_is_refused(batch_size: int) -> None:
    with refused(f'batch_size is {batch_size} ', '22 samples; set batch_size'):
        Order(22, batch_size)


@pytest.mark.parametrize('seed', [-1, 2**32])
def test_a_seed_that_another_one_equals_is_refused(seed: int) -> None:
    with refused(f'seed is {seed}', '0 to 4294967295'):
        Order(22, 6, seed=seed)
