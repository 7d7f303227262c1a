"""What a report is told of a run: what kind it is, what its neighbours are, what comes next."""

import dataclasses
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jssl.cli import VERBS
from jssl.cli.configs import find
from jssl.evaluation import Extracted
from jssl.fitting.evaluating import RunEvaluator
from jssl.fitting.reporting import (
    NEIGHBORS,
    commands,
    counts,
    judged,
    label_names,
    name_in,
    purpose,
    show_neighbors,
)
from jssl.visualization.wording import Counts
from tests.fitting.test_evaluating import LABELLED, TEST, UNLABELLED, experiment
from tests.training import toy


def features(found: Any) -> tuple[RunEvaluator, Extracted | None, Extracted]:
    evaluator = RunEvaluator(found, print)
    return evaluator, *evaluator.features(0, found.make_state())


def test_neighbours_are_searched_where_knn_searches() -> None:
    found = experiment(probe_data=LABELLED)
    evaluator, train, test = features(found)
    shown = show_neighbors(evaluator, train, test)
    assert shown.searched == len(LABELLED)
    assert 'kNN' in shown.where
    assert len(shown.found.images) == NEIGHBORS * len(shown.queries.images)
    rows = [int(name.removeprefix('image ')) for name in shown.found.names]
    np.testing.assert_array_equal(shown.found.labels, np.asarray(LABELLED.labels)[rows])
    np.testing.assert_array_equal(shown.found.images, np.asarray(LABELLED.images)[rows])
    queries = [int(name.removeprefix('image ')) for name in shown.queries.names]
    np.testing.assert_array_equal(shown.queries.images, np.asarray(TEST.images)[queries])
    largest: Any = pytest.approx(1 / 3)
    assert counts(evaluator, train, test) == Counts(12, 24, 3, 3, largest)


@pytest.mark.parametrize('test_data', [UNLABELLED, None])
def test_without_labels_neighbours_are_others_of_the_same_images(test_data: Any) -> None:
    evaluator, train, test = features(experiment(test_data=test_data))
    shown = show_neighbors(evaluator, train, test)
    assert shown.searched == len(UNLABELLED) - 1
    assert shown.found.labels is None
    found = 'held-out' if test_data is not None else 'training'
    assert judged(experiment(test_data=test_data)) == found
    assert counts(evaluator, train, test, judged=found).judged == found
    each = np.reshape(shown.found.names, (-1, NEIGHBORS))
    assert all(name not in row for name, row in zip(shown.queries.names, each, strict=True))


def test_features_are_extracted_once_for_the_evaluation_and_the_report() -> None:
    found = experiment(probe_data=LABELLED)
    evaluator, state = RunEvaluator(found, lambda line: None), found.make_state()
    evaluator.evaluate(8, state)
    kept = evaluator.features(8, state)
    assert evaluator.features(8, state) is kept
    assert evaluator.features(9, state) is not kept


def test_files_are_named_and_other_images_numbered() -> None:
    folder: Any = SimpleNamespace(name_of=lambda row: f'cats/{row}.jpg')
    broken: Any = SimpleNamespace(name_of=lambda row: {}[row])
    assert name_in(folder, 3) == 'cats/3.jpg'
    assert [name_in(source, 3) for source in (broken, UNLABELLED)] == ['image 3', 'image 3']


def test_classes_have_the_names_of_whichever_set_has_some() -> None:
    class Named(toy.Arrays):
        label_names: Any = ('a', 'b', 'c')

    named = Named(TEST.images, TEST.labels)
    assert label_names(experiment(test_data=named)) == ('a', 'b', 'c')
    assert label_names(experiment()) is None


@dataclasses.dataclass(frozen=True)
class Classifier(toy.Toy):
    predicts = 'classes'
    frozen_backbone: bool = False


@pytest.mark.parametrize(
    ('algorithm', 'pretrained', 'words'),
    [
        (toy.Toy(), '', 'pre-training'),
        (toy.Toy(), 'runs/a', 'pre-training, begun with the backbone of runs/a'),
        (Classifier(), '', 'training with labels, from scratch'),
        (Classifier(), 'runs/mae', 'fine-tuning with labels of the backbone of runs/mae'),
        (Classifier(frozen_backbone=True), 'runs/mae', 'on the frozen backbone of runs/mae'),
    ],
)
def test_a_run_says_what_it_is(algorithm: Any, pretrained: str, words: str) -> None:
    found: Any = SimpleNamespace(algorithm=algorithm, pretrained=pretrained)
    assert purpose(found).endswith(words)


def test_what_comes_next_are_commands_that_there_are() -> None:
    labelled = toy.experiment(data=LABELLED)
    lines = commands(labelled, Path('runs/my run')).values()
    words = [shlex.split(line) for line in lines]
    assert {word[0] for word in words} == {'jssl'}
    assert [word[1] for word in words] == ['embed', 'export', 'train', 'train']
    assert {word[1] for word in words} <= set(VERBS)
    assert all('runs/my run' in line[2] or 'runs/my run' in line[3] for line in words)
    for word in words[2:]:
        assert find(word[2]).is_file()
    assert len(commands(toy.experiment(Classifier(), data=LABELLED), Path('runs/x'))) == 2
    assert len(commands(toy.experiment(), Path('runs/x'))) == 2  # without labels to learn from
    assert not commands(toy.experiment(toy.Toy(part='encoder')), Path('runs/x'))
