"""Samplers, against their definitions and the reference's own draws."""

import numpy as np
import pytest

from jssl import components
from jssl.data.samplers import (
    ClassBalanced,
    Sequential,
    Shuffled,
    WithReplacement,
    uniform_epoch,
)
from tests.checks import refused

LABELS = np.random.default_rng(0).choice(4, 400, p=[0.7, 0.2, 0.09, 0.01])
ALL = [Sequential(), Shuffled(), WithReplacement(), ClassBalanced()]


@pytest.mark.parametrize('sampler', ALL, ids=lambda sampler: type(sampler).__name__)
def test_an_epoch_is_a_function_of_seed_and_epoch(sampler):
    epochs = {(s, e): sampler(400, s, e, LABELS) for s in range(3) for e in range(3)}
    for (seed, epoch), samples in epochs.items():
        assert samples.dtype == np.int32
        assert samples.shape == (400,)
        assert 0 <= samples.min() <= samples.max() < 400
        np.testing.assert_array_equal(samples, sampler(400, seed, epoch, LABELS))
    different = {samples.tobytes() for samples in epochs.values()}
    assert len(different) == (1 if isinstance(sampler, Sequential) else 9)


def test_sequential_and_shuffled_see_everything_once():
    assert Sequential()(7, 0, 3).tolist() == list(range(7))
    assert sorted(Shuffled()(7, 0, 3)) == list(range(7))


def test_the_draws_are_the_same_in_every_version():
    assert Shuffled()(6, 0, 0).tolist() == [5, 3, 1, 0, 4, 2]
    assert WithReplacement()(6, 0, 1).tolist() == [2, 2, 2, 2, 4, 1]
    assert ClassBalanced()(6, 0, 1, np.array([0, 0, 0, 0, 0, 1])).tolist() == [4, 3, 1, 5, 5, 0]


def test_draws_with_replacement_are_uniform_and_repeat():
    samples = WithReplacement()(10_000, 0, 0)
    unseen = 1 - len(set(samples)) / 10_000
    assert unseen == pytest.approx(np.exp(-1), abs=0.015)
    assert samples.mean() == pytest.approx(5000, abs=120)


def test_classes_are_balanced():
    samples = ClassBalanced()(400, 0, 0, LABELS)
    counts = np.bincount(LABELS[samples])
    assert counts.sum() == 400
    assert counts.min() >= 97  # 101 each, less what is cut off
    assert len(set(samples[LABELS[samples] == 0])) == counts[0]  # without replacement where it can


def test_uniform_sampling_draws_what_the_reference_draws(golden):
    from weights import Golden

    case = Golden(golden / 'part_uniform_sampling.npz')
    labels, classes = case.group('in')['labels'], case.meta['num_classes']
    for epoch in (0, 1):
        samples = uniform_epoch(labels, np.random.RandomState(epoch), classes)
        np.testing.assert_array_equal(samples, case.group('out')[f'epoch{epoch}'])


@pytest.mark.parametrize(
    ('labels', 'found'),
    [(None, 'no labels'), (LABELS[:3], '3 labels'), (LABELS - 1, '400 labels from -1')],
)
def test_classes_need_labels(labels, found):
    with refused('ClassBalanced needs a class from 0 for each of the 400', found, 'Shuffled'):
        ClassBalanced()(400, 0, 0, labels)


def test_too_few_classes_are_refused():
    with refused('sampler.num_classes is 3', 'largest label is 3', 'at least 4'):
        ClassBalanced(num_classes=3)(400, 0, 0, LABELS)


def test_a_config_names_a_sampler():
    built = components.build('sampler', {'type': 'ClassBalanced', 'num_classes': 4})
    assert built == ClassBalanced(num_classes=4)
    with refused("'Shufled' is not known", "Did you mean 'Shuffled'"):
        components.build('sampler', {'type': 'Shufled'})
