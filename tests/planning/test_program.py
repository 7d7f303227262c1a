"""Experiments on devices and images that are not there."""

import functools
import sys
import types
from typing import Any

import jax
import numpy as np
import pytest

from jssl.cli.configs import load
from jssl.cli.train import parse
from jssl.planning import machines, program
from jssl.training import sharding
from tests import tiny
from tests.checks import refused


def config(digits_dir: str, **overrides: Any) -> dict[str, Any]:
    return parse(tiny.arguments(digits_dir, **overrides)).config


def test_what_is_donated_counts_once() -> None:
    assert program.Memory(arguments=10, temporaries=5, outputs=8, aliased=7).total == 16


def test_an_experiment_is_planned_for_devices_that_are_not_there(digits_dir: str) -> None:
    given = config(digits_dir, mesh__fsdp=4)
    found = program.planned(given, jax.devices()[:4], batch_size=8)
    assert (len(found.data), found.batch_size) == (256, 8)  # the data are there
    assert found.mesh.devices.shape == (1, 4)
    whole = program.planned({**given, 'mesh': {}}, jax.devices()[:4])
    shards = functools.partial(jax.tree.leaves, is_leaf=lambda leaf: leaf is None)
    assert {s.spec for s in shards(whole.state_shardings)} == {sharding.P()}


def test_images_need_not_be_there(digits_dir: str) -> None:
    given = config(digits_dir)
    blank: Any = program.planned(given, jax.devices()[:1], images=1000).data
    assert (len(blank), blank.has_labels) == (1000, False)
    assert np.all(blank[3]['image'] == 0)
    imagenet = {'type': 'TFDS', 'name': 'imagenet2012', 'split': 'train', 'data_dir': None}
    labelled: Any = program.planned({**given, 'data': imagenet}, jax.devices()[:1]).data
    assert (len(labelled), labelled.num_classes, labelled[0]['label']) == (1_281_167, 1000, 0)
    fewer: Any = program.planned({**given, 'data': imagenet}, jax.devices()[:1], images=99).data
    assert (len(fewer), fewer.num_classes) == (99, 1000)


def test_weights_of_a_target_generator_need_not_be_there() -> None:
    found: Any = program.planned(load('cae:imagenet'), jax.devices()[:1])
    assert found.algorithm.target_generator.weights is None


@pytest.mark.parametrize(
    ('on', 'told'),
    [
        ('v5e-1', {'chips_per_host_bounds': (1, 1, 1)}),
        ('v6e-2', {'chips_per_host_bounds': (1, 2, 1)}),
        ('v5e-4', {}),
        ('v4-8', {}),
    ],
)
def test_a_slice_that_is_less_than_a_host_is_described_as_one(
    on: str, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libtpu refuses it else: it takes a host to have four chips."""

    def describe(name: str, **options: Any) -> Any:
        assert (name, options) == (machines.parse(on).shape, {'platform': 'tpu', **told})
        return types.SimpleNamespace(devices=('one',))

    monkeypatch.setattr(program.topologies, 'get_topology_desc', describe)
    assert program.topology(machines.parse(on)) == ('one',)


def test_the_compiler_of_a_card_and_of_a_tpu_are_told_different_things(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card, tpu = machines.parse('8xh200').machine, machines.parse('v5p-8').machine
    assert '--xla_gpu' in program.environment(card)['XLA_FLAGS']
    assert program.environment(tpu)['XLA_FLAGS'] == ''
    assert program.environment(tpu)['TPU_ACCELERATOR_TYPE'] == 'v5p-8'
    started: list[Any] = []
    monkeypatch.setattr('os.execve', lambda *arguments: started.append(arguments))
    program.restart(tpu)
    ((executable, argv, told),) = started
    assert (executable, argv) == (sys.executable, sys.orig_argv)
    assert told['TPU_SKIP_MDS_QUERY'] == '1'
    for name, value in program.environment(tpu).items():
        monkeypatch.setenv(name, value)
    program.restart(tpu)
    assert len(started) == 1  # not again and again


def test_a_compiler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    assert program.lacks(machines.MACHINES['h100']) == "pip install 'jax[cuda12]'"
    assert program.lacks(machines.MACHINES['v4']) == "pip install 'jax[tpu]'"
    monkeypatch.setattr('importlib.util.find_spec', lambda name: name)
    assert program.lacks(machines.MACHINES['v4']) == ''


def test_a_compiler_that_refuses_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError('no such topology')

    monkeypatch.setattr('jax.experimental.topologies.get_topology_desc', refuse)
    with refused('--on=v4-8 cannot be compiled for', 'no such topology', "pip install 'jax[tpu]'"):
        program.topology(machines.parse('v4-8'))


class Traced:
    """A program that does not compile."""

    def __init__(self, words: str) -> None:
        self.words = words

    def lower(self) -> 'Traced':
        return self

    def compile(self) -> None:
        raise jax.errors.JaxRuntimeError(self.words)


def test_what_does_not_fit_is_none_and_other_errors_are_quoted() -> None:
    full: Any = Traced('RESOURCE_EXHAUSTED: 20G of 16G')
    wrong: Any = Traced('INTERNAL: a slip')
    assert program.compiled(full) is None
    with refused('cannot be compiled for a machine that is not here', 'INTERNAL: a slip'):
        program.compiled(wrong)


def test_a_program_without_a_text_is_none() -> None:
    class Odd:
        def as_text(self) -> str:
            raise jax.errors.JaxRuntimeError('INTERNAL: RET_CHECK failure')

    odd: Any = Odd()
    assert program.text(odd) is None
    assert 'ENTRY' in (program.text(jax.jit(lambda: 1).lower().compile()) or '')
