"""Evaluations of a run: what probes learn from, with and without labels, for all channels."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jssl
from jssl.algorithm import Algorithm, Params, State
from jssl.augment.views import CenterView, MultiView, View
from jssl.data import Arrays, Sample
from jssl.evaluation import KNN
from jssl.fitting.evaluating import UNPROBED, RunEvaluator
from jssl.fitting.reporting import show_images
from jssl.optim.optimizers import SGD
from jssl.training.settings import Evaluate, MeshShape, Runtime
from jssl.visualization.images import view_grid
from tests.checks import refused

RNG = np.random.default_rng(0)


@dataclasses.dataclass(frozen=True)
class Means(Algorithm):
    """A user's algorithm that compiles at once: the features are three weighted means."""

    def init(self, rng: jax.Array, batch: object) -> tuple[dict[str, jax.Array], dict[str, Any]]:
        return {'weights': jnp.array([1.0, 2.0, 3.0])}, {}

    def extract_feat(self, params: Params, state: State, images: jax.Array) -> jax.Array:
        rows = jnp.array_split(images.mean((2, 3)), 3, axis=1)
        return jnp.stack([part.mean(1) for part in rows], axis=1) * params['weights']


def images(count: int, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Images whose brightest third is their class, so that the features above tell it."""
    labels = np.arange(count) % 3
    pixels = RNG.integers(0, 100, (count, 9, 9, channels), np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[3 * label : 3 * label + 3] += 150
    return pixels, labels


LABELLED = Arrays(*images(24))
UNLABELLED = Arrays(images(24)[0])
TEST = Arrays(*images(12))


def experiment(channels: int = 3, **changes: Any) -> jssl.Experiment:
    statistics: dict[str, Any] = {'mean': (100.0,) * channels, 'std': (50.0,) * channels}
    view = View(size=9, jitter=0.0, gray=0.0, blur=0.0, **statistics)
    settings: dict[str, Any] = {
        'algorithm': Means(),
        'data': UNLABELLED,
        'test_data': TEST,
        'views': MultiView(view),
        'eval_view': CenterView(size=9, resize=9, **statistics),
        'optimizer': SGD(lr=0.1),
        'batch_size': 8,
        'epochs': 1,
        'canvas': 9,
        'channels': channels,
        'runtime': Runtime(evaluate=Evaluate(neighbors=3), mesh=MeshShape(devices=1)),
    }
    return jssl.Experiment(**settings | changes)


def evaluated(found: jssl.Experiment) -> tuple[list[str], list[dict[str, float]]]:
    """What is said and found of the untrained network, and twice after it."""
    said: list[str] = []
    evaluator = RunEvaluator(found, said.append)
    state = found.make_state()
    untrained = evaluator.baselines(state)['random network']
    return said, [untrained, evaluator.evaluate(1, state), evaluator.evaluate(2, state)]


def test_without_labels_to_learn_from_only_the_spread_is_measured_and_one_line_says_why() -> None:
    said, found = evaluated(experiment())
    assert all(scores.keys() == {'feature_std', 'rankme'} for scores in found)
    assert said.count(UNPROBED) == 1
    assert 'config.probe_data' in UNPROBED


def test_probes_learn_from_a_second_labelled_source() -> None:
    said, (baseline, *later) = evaluated(experiment(probe_data=LABELLED))
    assert {'knn', 'linear', 'feature_std'} <= baseline.keys()
    assert sum(line.startswith('raw pixels ') for line in said) == 1
    assert [scores['knn'] for scores in later] == [1.0, 1.0]
    assert UNPROBED not in said


def test_probes_learn_from_the_training_images_where_those_have_labels() -> None:
    wrong = Arrays(LABELLED.images, (np.asarray(LABELLED.labels) + 1) % 3)
    assert evaluated(experiment(data=LABELLED))[1][1]['knn'] == 1.0
    assert evaluated(experiment(data=LABELLED, probe_data=wrong))[1][1]['knn'] == 0.0


@pytest.mark.parametrize('test_data', [None, UNLABELLED])
def test_without_labels_to_test_on_nothing_more_is_said(test_data: Arrays | None) -> None:
    said, found = evaluated(experiment(data=LABELLED, test_data=test_data))
    assert found[1].keys() == {'feature_std', 'rankme'}
    assert UNPROBED not in said


def test_a_test_set_may_lack_the_last_class() -> None:
    some = np.flatnonzero(np.asarray(TEST.labels) < 2)
    test_data = Arrays(np.asarray(TEST.images)[some], np.asarray(TEST.labels)[some])
    assert evaluated(experiment(probe_data=LABELLED, test_data=test_data))[1][1]['knn'] == 1.0


def test_few_training_images_vote_with_fewer_neighbours() -> None:
    runtime = Runtime(evaluate=Evaluate(neighbors=50, max_train=6), mesh=MeshShape(devices=1))
    found = RunEvaluator(experiment(probe_data=LABELLED, runtime=runtime), print)
    assert found.metrics[0] == KNN(k=6)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'probe_data': UNLABELLED}, 'but probe_data has no labels'),
        ({'probe_data': LABELLED, 'test_data': UNLABELLED}, 'but test_data has no labels'),
        ({'probe_data': LABELLED, 'test_data': None}, 'but test_data has no labels'),
    ],
)
def test_probe_data_without_the_labels_they_are_for_are_refused(
    changes: dict[str, Any], words: str
) -> None:
    with refused(words, 'leave probe_data out'):
        experiment(**changes)


def test_test_data_of_other_classes_are_refused_unless_the_probe_has_them() -> None:
    cats, dogs = (named(name) for name in ('cats', 'dogs'))
    assert experiment(data=cats, probe_data=dogs, test_data=dogs).probe_source is dogs
    with refused("'dogs' in the test data only", 'as probe_data'):
        experiment(data=cats, test_data=dogs)


def test_a_test_set_may_lack_any_class_where_classes_have_names() -> None:
    """Its labels 0 and 1 are the training data's 0 and 2."""
    train = named('cats')
    kept = [index for index in range(12) if int(TEST[index]['label']) != 1]
    samples: list[Any] = [
        {**TEST[index], 'label': int(TEST[index]['label']) // 2} for index in kept
    ]

    class Few(SimpleNamespace):
        def __len__(self) -> int:
            return len(samples)

        def __getitem__(self, index: int) -> Sample:
            return samples[index]

    test = Few(label_names=['cats', 'bees'], num_classes=2)
    found = evaluated(experiment(probe_data=train, test_data=test))[1][1]
    assert found['knn'] == found['linear'] == 1.0


def named(name: str) -> object:
    """The labelled images, with a name for their first class."""

    class Named(SimpleNamespace):
        def __len__(self) -> int:
            return len(LABELLED)

        def __getitem__(self, index: int) -> Sample:
            return LABELLED[index].copy()

    return Named(label_names=[name, 'emus', 'bees'])


@pytest.mark.parametrize('channels', [1, 4])
def test_images_of_other_channels_are_loaded_evaluated_and_pictured(channels: int) -> None:
    data, test_data = (Arrays(*images(count, channels)) for count in (24, 12))
    found = experiment(channels, data=data, test_data=test_data)
    assert found.arrays is not None
    assert found.arrays['canvas'].pixels.shape == (24, 9, 9, channels)
    evaluator = RunEvaluator(found, print)
    assert evaluator.evaluate(1, found.make_state())['knn'] == 1.0
    labels = np.asarray(test_data.labels)
    shown = show_images(evaluator, evaluator.held_out, np.array([3, 7]), labels)
    assert shown.images.shape == (2, 9, 9, channels)
    assert shown.names == ['image 3', 'image 7']
    np.testing.assert_array_equal(np.asarray(shown.labels), [0, 1])
    assert view_grid(shown.images[:, None]).mode == 'RGBA'


def test_two_channels_are_refused() -> None:
    with refused('channels is 2', '3 (RGB), 1 (grey) or 4 (RGBA)'):
        experiment(2)
