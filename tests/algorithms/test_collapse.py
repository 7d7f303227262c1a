"""Collapse, provoked by breaking what each method needs, and the run's warning about it.

Every view has as much noise as image, so that mapping all images to one point is the easiest way to
make views agree.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jssl.algorithm import Algorithm, Batch, Params, Run, State
from jssl.algorithms import BYOL, DINO, SimCLR, SimSiam
from jssl.data import Canvas
from jssl.evaluation.collapse import collapse_warning, feature_statistics
from jssl.heads import ContrastiveHead, DINOHead, LatentPredictHead
from jssl.layers.batch_norm import BatchNorm
from jssl.losses import negative_cosine
from jssl.necks import NonLinearNeck
from jssl.networks import each
from jssl.training.step import init_train_state, make_train_step
from tests.algorithms.runs import batch, images

WIDTH = 16
OPTIMIZER = optax.adam(5e-2)
LONG = Run(samples=48, steps_per_epoch=3, epochs=200)


class Embedding(nn.Module):
    """Images -> vectors, which nothing but the loss keeps apart."""

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = True) -> tuple[jax.Array]:
        hidden = nn.Dense(2 * WIDTH)(images.reshape(len(images), -1))
        return (nn.Dense(WIDTH)(nn.relu(BatchNorm()(hidden, train))),)


class Nothing(nn.Module):
    """A neck that passes the features on."""

    def __call__(self, features: tuple[jax.Array], train: bool = True) -> jax.Array:
        return features[-1]


class NoStopGradient(SimSiam):
    def loss(self, params: Params, state: State, batch: Batch) -> Any:
        stats = state['batch_stats']
        (z1, z2), stats = each(self.network, params, stats, batch['views'], method='encode')
        (p1, p2), stats = each(self.network, params, stats, (z1, z2), method='predict')
        loss = (negative_cosine(p1, z2) + negative_cosine(p2, z1)) / 2
        return loss, ({**state, 'batch_stats': stats}, {})


class NoPredictor(LatentPredictHead):
    def __call__(self, projections: jax.Array, train: bool = True) -> jax.Array:
        return projections


PREDICTOR = NonLinearNeck(
    WIDTH, WIDTH, WIDTH, with_last_bn=False, with_last_bias=True, with_avg_pool=False
)


def simsiam(head: type[LatentPredictHead] = LatentPredictHead) -> Algorithm:
    return SimSiam(Embedding(), Nothing(), head(PREDICTOR))


def byol(head: type[LatentPredictHead] = LatentPredictHead) -> Algorithm:
    return BYOL(Embedding(), Nothing(), head(PREDICTOR), base_momentum=0.9, run=LONG)


def simclr(temperature: float = 0.2) -> Algorithm:
    return SimCLR(Embedding(), Nothing(), ContrastiveHead(temperature))


def noisy(key: jax.Array, canvas: Canvas) -> dict[str, Any]:
    pixels = canvas.pixels / 128 - 1
    return {'views': tuple(pixels + jax.random.normal(key, (2, *pixels.shape)))}


def warning(algorithm: Algorithm, steps: int = 60) -> str | None:
    """What a run of so many steps says after its evaluations, one every ten steps."""
    start = functools.partial(init_train_state, algorithm, noisy, OPTIMIZER, seed=0)
    state = jax.jit(start)(batch(0))
    step = make_train_step(algorithm, noisy, OPTIMIZER)
    extract = jax.jit(algorithm.extract_feat)
    shown = jnp.asarray(images() / 128 - 1, 'float32')
    history = []
    for number in range(1, steps + 1):
        state, _ = step(state, batch(number))
        if number % 10 == 0:
            features = extract(state.params, state.state, shown)
            history.append(feature_statistics(np.asarray(features)))
    return collapse_warning(history, WIDTH)


@pytest.mark.parametrize(
    'algorithm', [simsiam(), byol(), simclr()], ids=['SimSiam', 'BYOL', 'SimCLR']
)
def test_a_healthy_run_says_nothing(algorithm: Algorithm) -> None:
    assert warning(algorithm) is None


@pytest.mark.parametrize(
    'algorithm',
    [
        NoStopGradient(Embedding(), Nothing(), LatentPredictHead(PREDICTOR)),
        simsiam(NoPredictor),
        byol(NoPredictor),
        simclr(temperature=1e-3),
    ],
    ids=['no stop-gradient', 'no predictor', 'BYOL without predictor', 'temperature of 0.001'],
)
def test_a_broken_method_collapses_and_the_run_says_so(algorithm: Algorithm) -> None:
    said = warning(algorithm)
    assert said is not None
    for part in ('collapsed to a point', 'stop-gradient', 'temperature'):
        assert part in said


def diagnosis(steps: int = 60, **fields: Any) -> str | None:
    """What a run of DINO says by the means of its last ten steps."""
    head = DINOHead(WIDTH, 8, WIDTH, WIDTH)
    algorithm = DINO(Embedding(), head, base_momentum=0.9, run=LONG, **fields)
    start = functools.partial(init_train_state, algorithm, noisy, OPTIMIZER, seed=0)
    state = jax.jit(start)(batch(0))
    step = make_train_step(algorithm, noisy, OPTIMIZER)
    found = []
    for number in range(1, steps + 1):
        state, metrics = step(state, batch(number))
        found.append(metrics)
    last = jax.tree.map(lambda *values: float(np.mean(values)), *found[-10:])
    return algorithm.diagnose(last)


@pytest.mark.parametrize(
    ('fields', 'words'),
    [
        ({}, None),
        ({'center_momentum': 1.0}, 'Collapse to one dimension'),
        ({'teacher_temperature': 1.0, 'warmup_teacher_temperature': 1.0}, 'Uniform collapse'),
    ],
    ids=['healthy', 'no centering', 'no sharpening'],
)
def test_dino_says_which_of_its_two_parts_is_missing(
    fields: dict[str, Any], words: str | None
) -> None:
    said = diagnosis(**fields)
    assert said is None if words is None else said is not None and said.startswith(words)
