"""One switch: what computes in bfloat16 under it, and what stays as it is."""

import dataclasses
import functools
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jssl.algorithms import ImageClassifier
from jssl.backbones import ResNet
from jssl.cli.train import parse
from jssl.config import experiment
from jssl.heads import LinearClsHead
from jssl.memories import SimpleMemory
from jssl.precision import with_dtype
from jssl.runs.record import recordable
from jssl.training.step import init_train_state, make_train_step
from tests.algorithms import runs, tiny_models
from tests.checks import refused, tiny_simclr
from tests.programs import equations
from tests.training import toy

HALF: Any = 'bfloat16'
PRODUCTS = ('dot_general', 'conv_general_dilated')


@dataclasses.dataclass(frozen=True)
class Parts:
    """A head without parameters that holds a module, as those of BYOL do, and one of its own."""

    predictor: nn.Module
    other: nn.Module


@pytest.mark.parametrize('name', runs.ALGORITHMS)
def test_a_step_in_bfloat16_leaves_state_and_loss_in_float32(name: str) -> None:
    algorithm = with_dtype(runs.tiny(name), HALF)
    views, batch = runs.views_for(algorithm), runs.batch(0)
    start = functools.partial(init_train_state, algorithm, views, runs.OPTIMIZER, seed=0)
    state = jax.eval_shape(start, batch)
    step: Any = make_train_step(algorithm, views, runs.OPTIMIZER)
    traced = step.trace(state, batch)
    after, metrics = traced.out_info
    assert metrics['loss'].dtype == 'float32'
    leaves = jax.tree.leaves((after.params, after.state, after.opt_state))
    assert not [leaf for leaf in leaves if leaf.dtype == HALF]
    products = [one for one in equations(traced.jaxpr.jaxpr) if one.primitive.name in PRODUCTS]
    factors = [{str(factor.aval.dtype) for factor in one.invars} for one in products]
    assert {HALF} in factors
    assert not [one for one in factors if len(one) > 1]  # a GPU would widen the narrow one first


def test_all_convolutions_of_a_simclr_step_are_in_bfloat16() -> None:
    algorithm = with_dtype(tiny_simclr(temperature=0.5), HALF)
    views = runs.views_for(algorithm)
    start = functools.partial(init_train_state, algorithm, views, runs.OPTIMIZER, seed=0)
    state = jax.eval_shape(start, runs.batch(0))
    step: Any = make_train_step(algorithm, views, runs.OPTIMIZER)
    program = step.lower(state, runs.batch(0))
    found = re.findall(r'stablehlo\.convolution.*-> tensor<.*x(\w+)>', program.as_text())
    assert len(found) > 5
    assert set(found) == {'bf16'}


def test_a_type_of_a_part_s_own_stays() -> None:
    parts = Parts(tiny_models.Stem(dtype=jnp.float32), tiny_models.Stem())
    found = with_dtype(parts, HALF)
    assert found == Parts(parts.predictor, tiny_models.Stem(dtype=HALF))
    assert with_dtype(parts, None) is parts


def test_memories_and_target_generators_stay() -> None:
    memory = SimpleMemory(feat_dim=4)
    assert with_dtype(memory, HALF) is memory
    cae: Any = runs.tiny('CAE')
    assert with_dtype(cae, HALF).target_generator is cae.target_generator
    assert with_dtype(cae, HALF) != cae


def test_a_classifier_takes_it_too() -> None:
    built = ImageClassifier(ResNet(depth=18), LinearClsHead(num_classes=3, in_channels=512))
    found = with_dtype(built, HALF)
    assert (found.backbone.dtype, found.head.dtype) == (HALF, HALF)


def test_the_switch_of_a_config_reaches_every_part() -> None:
    options = parse(['simclr', '--config.dtype=bfloat16', '--config.model.neck.dtype=float32'])
    found: Any = experiment(recordable(options.config)).algorithm
    assert (found.backbone.dtype, found.neck.dtype) == (HALF, 'float32')
    plain: Any = experiment(recordable(parse(['simclr']).config)).algorithm
    assert plain.backbone.dtype is None


@pytest.mark.parametrize('value', ['float16', 'bf16', 16])
def test_other_types_are_refused(value: object) -> None:
    with refused('dtype=', "one of 'float32', 'float64', 'bfloat16'"):
        toy.experiment(dtype=value)
    with refused('config.dtype=', "one of 'float32', 'float64', 'bfloat16'"):
        experiment(recordable(parse(['simclr', f'--config.dtype={value}']).config))
