"""Memory of programs for machines that are not there."""

import functools
import importlib.util
from typing import Any

import jax
import numpy as np
import pytest

from experiments import memory
from jssl.cli.train import parse
from jssl.training import sharding
from tests import tiny
from tests.checks import refused
from tests.experiments.test_experiments import run

PLUGINS = {'h200:2': 'jax_cuda12_plugin', 'v5p:2x2x1': 'libtpu'}


@pytest.mark.parametrize('limit', [0, 63, 64, 500, 512, 700, 5000])
def test_the_largest_that_fits_is_found_in_few_steps(limit: int) -> None:
    asked: list[int] = []

    def fits(batch: int) -> bool:
        asked.append(batch)
        return batch <= limit

    assert memory.largest(fits, first=512, unit=64) == limit // 64 * 64
    assert len(asked) == len(set(asked)) <= 11


def test_what_is_donated_counts_once() -> None:
    found = memory.Figures(arguments=10, temporaries=5, outputs=8, aliased=7)
    assert found.total == 16


def test_an_unknown_machine_is_refused() -> None:
    for machine in ('h300:8', 'h200'):
        with refused(repr(machine), 'h200:8 or v5p:2x2x2', 'Valid names'):
            memory.topology(machine)


def test_an_experiment_is_planned_for_devices_and_images_that_are_not_there(
    digits_dir: str,
) -> None:
    config: dict[str, Any] = parse(tiny.arguments(digits_dir, mesh__fsdp=4)).config
    found = memory.planned(config, jax.devices()[:4], batch_size=8)
    assert (len(found.data), found.batch_size) == (memory.IMAGES, 8)
    assert found.mesh.devices.shape == (1, 4)
    whole = memory.planned({**config, 'mesh': {}}, jax.devices()[:4])
    shards = functools.partial(jax.tree.leaves, is_leaf=lambda leaf: leaf is None)
    assert {s.spec for s in shards(whole.state_shardings)} == {sharding.P()}
    assert np.all(found.data[3]['image'] == 0)


@pytest.mark.slow
@pytest.mark.parametrize('machine', PLUGINS)
def test_a_step_is_compiled_without_the_machine(machine: str, digits_dir: str) -> None:
    if importlib.util.find_spec(PLUGINS[machine]) is None:
        pytest.skip(f'{PLUGINS[machine]} is not installed')
    found = run('memory', *tiny.arguments(digits_dir), f'--machine={machine}')
    assert (found['batch_size'], found['compiled']) == (32, 1)
    assert 0 < found['aliased'] < found['arguments'] < found['total'] < found['limit']
