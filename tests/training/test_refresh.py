"""Clustering between epochs: when it happens, what it changes, and that resuming repeats it."""

import dataclasses
import functools
import logging
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jssl.data import Canvas
from jssl.data.loading.samplers import ClassBalanced
from jssl.data.sources import Arrays
from jssl.fitting.fit import fit
from jssl.memories import kmeans
from jssl.optim.optimizers import AdamW
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.metrics import read_metrics
from jssl.training.experiment import Experiment
from jssl.training.refresh import Refresher, following, forget_replaced
from jssl.training.settings import Checkpoint, Evaluate, MeshShape, Runtime
from tests.algorithms.runs import images, tinted
from tests.algorithms.tiny_models import BATCH, IMAGES, tiny_deepcluster, tiny_odc
from tests.checks import refused

EPOCH = IMAGES // BATCH


def pixels(canvas: Canvas) -> jax.Array:
    return canvas.pixels / 128 - 1


def experiment(algorithm: Any = None, devices: int = 1, **fields: Any) -> Experiment:
    """Three epochs of three steps on 48 images."""
    runtime = Runtime(
        log_every=1,
        checkpoint=Checkpoint(every_steps=1, keep=20),
        evaluate=Evaluate(every_epochs=0),
        mesh=MeshShape(devices=devices),
    )
    return Experiment(
        algorithm=algorithm or tiny_deepcluster(normalize_weights=True),
        data=Arrays(images(), np.arange(IMAGES) % 5),
        views=functools.partial(tinted, copies=1),
        optimizer=AdamW(lr=0.01),
        batch_size=BATCH,
        epochs=3,
        canvas=8,
        eval_view=pixels,
        sampler=ClassBalanced(num_classes=6),
        runtime=runtime,
        **fields,
    )


def final_state(workdir: Path) -> list[np.ndarray]:
    checkpoints = Checkpoints(workdir / 'checkpoints')
    restored = checkpoints.restore(experiment().placed_state)
    checkpoints.close()
    assert restored is not None
    state, step = restored
    assert step == 3 * EPOCH
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state.replace(rng=None))]


def losses(workdir: Path) -> list[float]:
    return [row['loss'] for row in read_metrics(workdir / 'metrics.jsonl') if 'loss' in row]


def comparisons(workdir: Path) -> dict[int, float]:
    """How far clusters are those of the epoch before, after each epoch but the first."""
    rows = read_metrics(workdir / 'metrics.jsonl')
    return {row['step']: row['nmi_previous'] for row in rows if 'nmi_previous' in row}


@pytest.fixture(scope='module')
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp('refresh') / 'run'
    fit(experiment(), workdir=workdir)
    return workdir


@pytest.mark.parametrize('step', [EPOCH - 1, EPOCH, EPOCH + 1])
def test_a_run_resumed_around_a_refresh_ends_bit_by_bit_the_same(
    finished: Path, tmp_path: Path, step: int
) -> None:
    shutil.copytree(finished, tmp_path / 'run')
    for saved in (tmp_path / 'run' / 'checkpoints').iterdir():
        if int(saved.name) > step:
            shutil.rmtree(saved)
    fit(experiment(), workdir=tmp_path / 'run')
    assert losses(tmp_path / 'run') == losses(finished)
    assert comparisons(tmp_path / 'run') == comparisons(finished)
    for ours, wanted in zip(final_state(tmp_path / 'run'), final_state(finished), strict=True):
        np.testing.assert_array_equal(ours, wanted)


def test_clusters_are_watched_after_every_epoch(finished: Path) -> None:
    rows = [row for row in read_metrics(finished / 'metrics.jsonl') if 'nmi_truth' in row]
    assert [row['step'] for row in rows] == [EPOCH, 2 * EPOCH, 3 * EPOCH]
    assert [('nmi_previous' in row) for row in rows] == [False, True, True]
    assert all(0 <= row['nmi_truth'] <= 1 for row in rows)
    trained = [row for row in read_metrics(finished / 'metrics.jsonl') if 'loss' in row]
    assert {'cluster_min', 'cluster_max', 'cluster_empty'} <= trained[0].keys()


@functools.cache
def refreshed(devices: int) -> tuple[Any, Any, list[str]]:
    """The state before and after the first refresh, and what was said."""
    said: list[str] = []
    subject, time = experiment(devices=devices), iter(range(0, 10_000, 8))
    refresher = Refresher(subject, lambda: all_batches(subject), said.append, lambda: next(time))
    start = subject.make_state()
    none: Any = None
    before = jax.device_get(dataclasses.replace(start, rng=none))
    return before, refresher.refresh(start), said


def all_batches(subject: Experiment) -> list[dict[str, Any]]:
    return [
        jax.tree.map(lambda array, first=first: array[first : first + 20], subject.arrays)
        for first in range(0, IMAGES, 20)
    ]


def test_a_refresh_changes_labels_and_the_head_alone() -> None:
    before, after, said = refreshed(1)
    assert not before.state['labels'].any()
    assert set(np.asarray(after.state['labels'])) == set(range(6))
    for part in ('backbone', 'head'):
        pairs = zip(
            jax.tree.leaves(before.params[part]), jax.tree.leaves(after.params[part]), strict=True
        )
        same = [np.array_equal(*pair) for pair in pairs]
        assert all(same) if part == 'backbone' else not all(same)
    assert any('40 of 48 images (83%)' in line for line in said)
    assert 'before epoch 1: features of 48 images' in said[-1]


def test_devices_do_not_change_the_clusters() -> None:
    one, eight = (refreshed(devices)[1] for devices in (1, 8))
    np.testing.assert_array_equal(one.state['labels'], eight.state['labels'])


@pytest.mark.parametrize('devices', [1, 8])
def test_progress_is_said_while_clusters_are_made(devices: int) -> None:
    rounds = [line for line in refreshed(devices)[2] if line.startswith('k-means')]
    assert rounds[0].endswith('of 20 rounds')
    assert 2 <= len(rounds) == len(set(rounds)) <= 10
    assert not kmeans.LOGGER.handlers


def test_the_sampler_goes_by_the_clusters() -> None:
    subject, (_, after, _) = experiment(), refreshed(1)
    refresher = Refresher(subject, list, print)
    labels = np.asarray(after.state['labels'])
    loader = refresher.loader(after)
    drawn = np.concatenate([loader[step]['index'] for step in range(EPOCH)])
    expected = ClassBalanced(num_classes=6)(IMAGES, 0, 0, labels)
    np.testing.assert_array_equal(drawn, expected[: len(drawn)])
    odc = experiment(tiny_odc())
    assert Refresher(odc, list, print).loader(after) is odc.loader


def test_when_a_refresh_is_due() -> None:
    for algorithm, steps in ((tiny_deepcluster(refresh_every=2), [0, 6]), (tiny_odc(), [0])):
        refresher = Refresher(experiment(algorithm), list, print)
        assert [step for step in range(3 * EPOCH + 1) if refresher.due(step)] == steps


def test_replaced_parameters_start_with_a_fresh_optimizer_state() -> None:
    optimizer = optax.chain(optax.scale_by_adam(), optax.trace(0.9))
    params = {'backbone': {'w': jnp.ones(3)}, 'head': {'w': jnp.ones(2)}}
    _, used = optimizer.update(params, optimizer.init(params), params)

    @jax.jit
    def replace(params: Any, used: Any) -> Any:
        after = {**params, 'head': {'w': jnp.zeros(2)}}
        return forget_replaced(optimizer, used, params, after)

    mixed = replace(params, used)
    assert int(mixed[0].count) == 1
    for tree, kept in ((mixed[0].mu, used[0].mu), (mixed[0].nu, used[0].nu)):
        np.testing.assert_array_equal(tree['backbone']['w'], kept['backbone']['w'])
        np.testing.assert_array_equal(tree['head']['w'], 0)
    np.testing.assert_array_equal(mixed[1].trace['head']['w'], 0)
    assert mixed[1].trace['backbone']['w'].all()


def test_features_that_are_not_finite_are_refused() -> None:
    subject = experiment(dataclasses.replace(tiny_deepcluster()))
    refresher = Refresher(subject, lambda: all_batches(subject), print)
    start = subject.make_state()
    broken = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), start.params)
    with refused('not finite', 'config.optimizer.lr'):
        refresher.refresh(dataclasses.replace(start, params=broken))


def test_what_is_passed_on_is_not_printed_raw_as_well(caplog: pytest.LogCaptureFixture) -> None:
    said: list[str] = []
    logger = logging.getLogger('jssl.example')
    with following(logger, said.append):
        logger.info('round %d', 1)
    assert said == ['round 1']
    assert not caplog.messages
    logger.warning('afterwards')
    assert caplog.messages == ['afterwards']
