"""Samplers, against their definitions and the reference's own draws."""

import math
from pathlib import Path

import numpy as np
import pytest

from jssl import components
from jssl.data.loading.samplers import (
    ClassBalanced,
    Sampler,
    Sequential,
    Shuffled,
    WithReplacement,
    uniform_epoch,
)
from tests import golden
from tests.checks import refused

LABELS = np.random.default_rng(0).choice(4, 400, p=[0.7, 0.2, 0.09, 0.01])
ALL = [Sequential(), Shuffled(), WithReplacement(), ClassBalanced()]


@pytest.mark.parametrize('sampler', ALL, ids=lambda sampler: type(sampler).__name__)
def test_an_epoch_is_a_function_of_seed_and_epoch(sampler: Sampler) -> None:
    epochs = {(s, e): sampler(400, s, e, LABELS) for s in range(3) for e in range(3)}
    for (seed, epoch), samples in epochs.items():
        assert samples.dtype == np.int32
        assert samples.shape == (400,)
        assert 0 <= samples.min() <= samples.max() < 400
        np.testing.assert_array_equal(samples, sampler(400, seed, epoch, LABELS))
    different = {samples.tobytes() for samples in epochs.values()}
    assert len(different) == (1 if isinstance(sampler, Sequential) else 9)


def test_sequential_and_shuffled_see_everything_once() -> None:
    assert Sequential()(7, 0, 3).tolist() == list(range(7))
    assert sorted(Shuffled()(7, 0, 3)) == list(range(7))


@pytest.mark.parametrize('length', range(1, 7))
def test_every_order_of_a_few_samples_is_equally_likely(length: int) -> None:
    orders = math.factorial(length)
    draws = 10 * orders
    # Both neighbouring seeds and neighbouring epochs: each epoch of a run is one draw.
    seen = [Shuffled()(length, n % 7, n // 7).tobytes() for n in range(draws)]
    counts = np.unique(seen, return_counts=True)[1]
    chi_square = ((counts - 10) ** 2).sum() / 10 + 10 * (orders - len(counts))
    freedom = orders - 1
    assert abs(chi_square - freedom) <= 5 * np.sqrt(2 * freedom)


EDGES = [2**power + extra for power in (14, 15, 16, 17) for extra in (-1, 0, 1)]
DISTANCES = (1, 2, 3, 256, 4096, 16_384, 32_768, 65_536)


@pytest.mark.parametrize('length', [997, *EDGES, 50_000, 60_000, 65_000])
def test_any_two_samples_share_a_batch_as_often_as_by_chance(length: int) -> None:
    batch, epochs = 256, 12
    batches = [np.argsort(Shuffled()(length, seed, 3)) // batch for seed in range(epochs)]
    sizes = np.bincount(batches[0])
    chance = (sizes * (sizes - 1)).sum() / (length * (length - 1))
    for distance in [d for d in (*DISTANCES, length // 4, length // 2) if d < length]:
        together = sum((b[distance:] == b[:-distance]).sum() for b in batches)
        expected = epochs * (length - distance) * chance
        assert abs(together - expected) <= 5 * np.sqrt(expected) + 3, distance


def test_every_place_of_an_epoch_is_equally_likely() -> None:
    """A count for each of 16 parts of the data in each of 16 parts of the epoch."""
    length, epochs, parts = 50_000, 20, 16
    counts = np.zeros((parts, parts))
    for epoch in range(epochs):
        samples = Shuffled()(length, 0, epoch)
        np.add.at(counts, (samples * parts // length, np.arange(length) * parts // length), 1)
    expected = epochs * length / parts**2
    chi_square = ((counts - expected) ** 2 / expected).sum()
    freedom = (parts - 1) ** 2
    assert abs(chi_square - freedom) <= 5 * np.sqrt(2 * freedom)


def test_the_draws_are_the_same_in_every_version() -> None:
    assert Shuffled()(6, 0, 0).tolist() == [5, 0, 3, 2, 1, 4]
    assert WithReplacement()(6, 0, 1).tolist() == [2, 2, 2, 2, 4, 1]
    assert ClassBalanced()(6, 0, 1, np.array([0, 0, 0, 0, 0, 1])).tolist() == [4, 3, 1, 5, 5, 0]


def test_draws_with_replacement_are_uniform_and_repeat() -> None:
    samples = WithReplacement()(10_000, 0, 0)
    unseen = 1 - len(set(samples)) / 10_000
    assert unseen == pytest.approx(np.exp(-1), abs=0.015)
    assert samples.mean() == pytest.approx(5000, abs=120)


def test_classes_are_balanced() -> None:
    samples = ClassBalanced()(400, 0, 0, LABELS)
    counts = np.bincount(LABELS[samples])
    assert counts.sum() == 400
    assert counts.min() >= 97  # 101 each, less what is cut off
    assert len(set(samples[LABELS[samples] == 0])) == counts[0]  # without replacement where it can


@pytest.mark.parametrize('gap', [1, 100, 10**8])
def test_labels_that_occur_are_counted(gap: int) -> None:
    samples = ClassBalanced()(1000, 0, 0, gap * (np.arange(1000) % 10))
    assert len(set(samples)) >= 600
    assert np.bincount(samples % 10).min() >= 95


@golden.each('part_uniform_sampling')
def test_uniform_sampling_draws_what_the_reference_draws(path: Path) -> None:
    with golden.whole(path) as saved:
        labels, classes = saved.arrays['in/labels'], saved.meta['num_classes']
        for name, expected in saved.group('out').items():
            epoch = int(name.removeprefix('epoch'))
            samples = uniform_epoch(labels, np.random.RandomState(epoch), classes)
            np.testing.assert_array_equal(samples, expected)


@pytest.mark.parametrize(
    ('labels', 'found'),
    [(None, 'no labels'), (LABELS[:3], '3 labels'), (LABELS - 1, '400 labels from -1')],
)
def test_classes_need_labels(labels: np.ndarray | None, found: str) -> None:
    with refused('ClassBalanced needs a class from 0 for each of the 400', found, 'Shuffled'):
        ClassBalanced()(400, 0, 0, labels)


def test_too_few_classes_are_refused() -> None:
    with refused('sampler.num_classes is 3', 'largest label is 3', 'at least 4'):
        ClassBalanced(num_classes=3)(400, 0, 0, LABELS)


def test_a_config_names_a_sampler() -> None:
    built = components.build('sampler', {'type': 'ClassBalanced', 'num_classes': 4})
    assert built == ClassBalanced(num_classes=4)
    with refused("'Shufled' is not known", "Did you mean 'Shuffled'"):
        components.build('sampler', {'type': 'Shufled'})
