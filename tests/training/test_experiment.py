"""An experiment as library code: without a config, without labels, without test data."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jssl
from jssl.algorithms import SimCLR
from jssl.augment.views import CenterView, MultiView, View
from jssl.backbones import ResNet
from jssl.data import Arrays
from jssl.errors import JsslError
from jssl.fitting.evaluating import RunEvaluator
from jssl.heads import ContrastiveHead
from jssl.necks import NonLinearNeck
from jssl.optim.optimizers import SGD
from jssl.runs.metrics import read_metrics
from jssl.training.loop import to_device
from jssl.training.settings import Checkpoint, MeshShape, Runtime
from tests.algorithms import tiny_models
from tests.checks import refused
from tests.training import toy


def make(images: int = 48, **changes: Any) -> jssl.Experiment:
    """A tiny experiment on unlabelled images of several sizes."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(12, 25, (images, 2))
    pixels = [rng.integers(0, 256, (height, width, 3), np.uint8) for height, width in sizes]
    backbone = ResNet(depth=10, base_channels=4, strides=(1, 2), out_indices=(2,), cifar_stem=True)
    settings: dict[str, Any] = {
        'algorithm': SimCLR(
            backbone=backbone,
            neck=NonLinearNeck(in_channels=8, hid_channels=8, out_channels=4),
            head=ContrastiveHead(temperature=0.5),
        ),
        'data': Arrays(pixels),
        'views': MultiView(View(size=16, blur=0.0)),
        'eval_view': CenterView(size=16, resize=16),
        'optimizer': SGD(lr=0.05, momentum=0.9),
        'batch_size': 16,
        'epochs': 2,
        'canvas': 20,  # smaller than some images: those are shrunk
        'runtime': Runtime(log_every=1, mesh=MeshShape(devices=2)),
    }
    return jssl.Experiment(**settings | changes)


def test_unlabelled_images_train_and_are_reported(tmp_path: Path) -> None:
    outcome = jssl.fit(make(), workdir=tmp_path / 'run')
    assert outcome.scores.keys() == {'feature_std', 'rankme'}
    assert 'knn' not in outcome.baselines['random network']
    assert int(outcome.train_state.step) == 6
    page = (tmp_path / 'run' / 'report.html').read_text()
    assert 'random network' in page
    assert 'kNN' not in page


def test_the_same_experiment_resumes_and_another_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jssl.fit(make(epochs=2), workdir=tmp_path / 'run')
    capsys.readouterr()
    jssl.fit(make(epochs=2), workdir=tmp_path / 'run')
    assert 'resuming after step 6 of 6' in capsys.readouterr().out
    with pytest.raises(JsslError, match='batch_size: 16 → 8'):
        jssl.fit(make(epochs=2, batch_size=8), workdir=tmp_path / 'run')


def test_parameters_split_over_devices_train_alike(tmp_path: Path) -> None:
    # Smooth, so that float32 stays within rounding: a ReLU near 0 takes either side.
    smooth = SimCLR(
        backbone=tiny_models.Stem(activation=nn.softplus),
        neck=tiny_models.linear(tiny_models.WIDTH, 4),
        head=ContrastiveHead(temperature=0.5),
    )
    whole = jssl.fit(make(algorithm=smooth), workdir=tmp_path / 'whole')
    runtime = Runtime(log_every=1, mesh=MeshShape(devices=4, fsdp=2))
    split = jssl.fit(make(algorithm=smooth, runtime=runtime), workdir=tmp_path / 'split')
    rows = [read_metrics(run.workdir / 'metrics.jsonl') for run in (whole, split)]
    losses = [[row['loss'] for row in found if 'loss' in row] for found in rows]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_plan_counts_in_steps() -> None:
    plan = make(runtime=Runtime(checkpoint=Checkpoint(every_steps=4))).plan
    assert (plan.steps, plan.steps_per_epoch) == (6, 3)
    assert [step for step in range(1, 7) if plan.due(plan.save_every, step)] == [4, 6]
    assert [step for step in range(1, 7) if plan.pauses(step)] == [4, 6]


def test_small_sets_are_kept_on_the_device() -> None:
    assert make().loader.resident
    streamed = make(runtime=Runtime(resident='no', mesh=MeshShape(devices=2)))
    assert not streamed.loader.resident
    assert streamed.arrays is None


def test_rate_of_the_log_is_the_optimizers() -> None:
    rate = make().rate
    assert rate is not None
    assert rate(0) == pytest.approx(0.05)
    scaled = make(optimizer=SGD(lr=0.05, base_batch_size=64)).rate  # of 16 images
    assert scaled is not None
    assert scaled(0) == pytest.approx(0.0125)


def test_description_has_no_addresses() -> None:
    described = make().describe()
    assert described == make().describe()
    assert 'SGD(' in described['optimizer']
    assert described['images'] == 48
    words = json.dumps(described)
    assert len(words) < 4000  # the images themselves are not in it
    assert ' at 0x' not in words


def test_the_state_is_made_on_the_devices_as_it_is_traced() -> None:
    experiment = make()
    made, traced = experiment.make_state(), jax.jit(experiment.initial_state)()
    assert jax.tree.map(jnp.shape, made) == jax.tree.map(jnp.shape, traced)
    for got, expected in zip(*map(jax.tree.leaves, (made.params, traced.params)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-7)
    places = jax.tree.leaves(jax.tree.map(lambda leaf: leaf.sharding, made))
    assert places == jax.tree.leaves(experiment.state_shardings)


def test_collapse_is_said_in_words() -> None:
    """Features of a network whose last batch norm was zeroed are all alike."""
    experiment = make()
    said: list[str] = []
    evaluator = RunEvaluator(experiment, said.append)
    state = experiment.make_state()
    dead = jax.tree.map(lambda leaf: leaf * 0, state.params)
    for step in (3, 6):
        evaluator.evaluate(step, dataclasses.replace(state, params=dead))
    assert any(words.startswith('WARNING: ') and 'collapsed' in words for words in said)
    assert evaluator.warning is not None


@pytest.mark.parametrize(
    ('settings', 'words'),
    [
        ({'threads': -1}, 'threads=-1'),
        ({'workers': -1}, 'workers=-1'),
        ({'bad_samples': -0.1}, 'bad_samples=-0.1'),
        ({'bad_samples': 1.5}, 'bad_samples=1.5'),
        ({'log_every': 0}, 'log_every=0'),
        ({'seed': -1}, 'seed=-1'),
        ({'resident': 'perhaps'}, "resident='perhaps'"),
        ({'non_finite': 'hope'}, "config.non_finite='hope' must be one of"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(JsslError, match=words):
        Runtime(**settings)


def test_transfers_start_ahead_and_keep_the_order() -> None:
    started: list[int] = []

    def put(batch: Any) -> Any:
        started.append(batch['index'])
        return batch

    numbers: Iterator[Any] = ({'index': number} for number in range(5))
    batches = to_device(numbers, put)
    assert next(batches)['index'] == 0
    assert started == [0, 1, 2]
    assert [batch['index'] for batch in batches] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ('field', 'value', 'words'),
    [
        ('algorithm', 5, 'an algorithm that was made'),
        ('algorithm', toy.Toy, 'an algorithm that was made'),
        ('data', 5, 'a source of images'),
        ('test_data', 5, 'a source of images'),
        ('probe_data', 'photos', 'a source of images'),
        ('views', None, 'a function (key, canvas)'),
        ('eval_view', 3, 'a function canvas'),
        ('optimizer', {}, 'an optimizer that was made'),
        ('schedule', 5, 'a schedule'),
        ('sampler', 5, 'a sampler'),
        ('pretrained', 5, 'the path of a run'),
        ('layout', 5, 'the name of a layout'),
        ('runtime', {}, 'a Runtime'),
        ('batch_size', '16', 'a whole number of at least 1'),
        ('batch_size', 16.0, 'a whole number of at least 1'),
        ('batch_size', float('nan'), 'a whole number of at least 1'),
        ('epochs', -1, 'a whole number of at least 1'),
        ('epochs', True, 'a whole number of at least 1'),
        ('canvas', np.array(16), 'a whole number of at least 1'),
        ('channels', [3], 'a whole number of at least 1'),
    ],
)
def test_parts_of_another_kind_are_refused_by_name(field: str, value: object, words: str) -> None:
    with refused(f'Experiment.{field}={value!r} must be ', words):
        toy.experiment(**{field: value})  # type: ignore[arg-type]


def test_fit_takes_an_experiment() -> None:
    with refused('fit takes a jssl.Experiment and got 5'):
        jssl.fit(5)  # type: ignore[arg-type]
