"""The training step of a config, compiled for devices that are not there.

NVIDIA's cards are compiled for by the CUDA plugin of JAX from a description of the card, TPUs by
libtpu. Neither needs a device, and nothing is tried out on one: which kernels are fastest is the
compiler's guess, and a TPU's program is made with the least effort. The real ones need as much or
less.
"""

import dataclasses
import functools
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import topologies

from jssl.config import experiment
from jssl.errors import JsslError, in_words
from jssl.planning.machines import Fleet, Machine
from jssl.training import sharding
from jssl.training.experiment import Experiment
from jssl.training.shapes import step_inputs

# Training images and classes of data sets that need not be there.
KNOWN = {'imagenet2012': (1_281_167, 1000), 'cifar10': (50_000, 10), 'embedded_digits': (6000, 10)}
PLUGINS = {'cuda': ('jax_cuda12_plugin', 'jax_cuda13_plugin'), 'tpu': ('libtpu',)}
INSTALL = {'cuda': "pip install 'jax[cuda12]'", 'tpu': "pip install 'jax[tpu]'"}
# Flags that are set for other compilers end the process of libtpu.
FLAGS = {'cuda': '--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false', 'tpu': ''}
HOST = 4  # chips of a TPU host, in a square
LEAST_EFFORT = '-1.0'  # TPUs: minutes in place of hours


@dataclasses.dataclass(frozen=True)
class Blank:
    """As many images as there would be, none of which is looked at.

    Attributes:
      number: of images.
      num_classes: of their labels; None for images without.
    """

    number: int
    num_classes: int | None = None

    @property
    def has_labels(self) -> bool:
        """Whether there are labels."""
        return self.num_classes is not None

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> Any:
        return {'image': np.zeros((1, 1, 3), np.uint8)} | ({'label': 0} if self.has_labels else {})


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Planned(Experiment):
    """An experiment on devices that only a compiler knows.

    Attributes:
      topology: these devices.
      fsdp: over how many of them the state is split.
    """

    topology: tuple[Any, ...]
    fsdp: int = 1

    @functools.cached_property
    def mesh(self) -> jax.sharding.Mesh:
        """The devices that are not there."""
        return sharding.make_mesh(fsdp=self.fsdp, among=self.topology)


class Memory(NamedTuple):
    """Bytes of one device; what is donated is argument and output alike, and counts once."""

    arguments: int
    temporaries: int
    outputs: int
    aliased: int

    @property
    def total(self) -> int:
        """What the device has to have."""
        return self.arguments + self.temporaries + self.outputs - self.aliased


def environment(machine: Machine) -> dict[str, str]:
    """What the compiler for a machine is told before JAX is imported."""
    both = {'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': FLAGS[machine.platform]}
    both['JAX_ENABLE_COMPILATION_CACHE'] = '0'  # it is not for devices that are not there
    if machine.platform == 'cuda':
        return both
    return both | {
        'JAX_EXEC_TIME_OPTIMIZATION_EFFORT': LEAST_EFFORT,
        'TPU_SKIP_MDS_QUERY': '1',  # else it waits minutes for a server that tells what is there
        'ALLOW_MULTIPLE_LIBTPU_LOAD': '1',  # two plans at a time: there is no device to share
        'TPU_WORKER_HOSTNAMES': 'localhost',
        'TPU_WORKER_ID': '0',
        'TPU_ACCELERATOR_TYPE': machine.accelerator,
    }


def restart(machine: Machine) -> None:
    """Starts this program again, in the same process, where its environment is not as it must be.

    Call it before JAX has begun to compute.
    """
    wanted = {**os.environ, **environment(machine)}
    if wanted != dict(os.environ):
        os.execve(sys.executable, sys.orig_argv, wanted)


def lacks(machine: Machine) -> str:
    """The command that installs what compiles for a machine; empty where it is installed."""
    found = any(map(importlib.util.find_spec, PLUGINS[machine.platform]))
    return '' if found else INSTALL[machine.platform]


def _part_of_host(fleet: Fleet) -> dict[str, Any]:
    """What libtpu is told of a slice that is smaller than the four chips of a host."""
    if fleet.size >= HOST:
        return {}
    sides = [int(side) for side in fleet.shape.partition(':')[2].split('x')]
    return {'chips_per_host_bounds': (*sides, 1)}


def topology(fleet: Fleet) -> tuple[Any, ...]:
    """The devices of a fleet, for a compiler alone.

    Raises:
      JsslError: the plugin refuses.
    """
    machine = fleet.machine
    name, options = fleet.shape, _part_of_host(fleet)
    if machine.target:
        name, options = '', {'topology': fleet.shape, 'target_config': machine.target}
    try:
        described = topologies.get_topology_desc(name, platform=machine.platform, **options)
    except Exception as error:  # whatever the plugin raises
        raise JsslError(
            f'--on={fleet.name} cannot be compiled for: {in_words(error).rstrip(".")}. '
            f'{INSTALL[machine.platform]} has what compiles without a device, of the version that '
            'fits JAX.'
        ) from error
    return tuple(described.devices)


def planned(
    config: Mapping[str, Any], devices: Sequence[Any], images: int | None = None, **changes: Any
) -> Planned:
    """The experiment that a config describes, on these devices.

    Args:
      config: as `jssl train` takes it. Of its data only their number and that of their classes
        count; of those of `KNOWN` neither is looked up, and no file of weights is read.
      devices: all that there are.
      images: how many there are, for data that are not there.
      changes: of keys of the config, such as its `batch_size`.

    Raises:
      JsslError: as for a run; for data that are neither there nor of a known number.
    """
    config = {**config, **changes}
    here: dict[str, Any] = {
        'data': _blank(config['data'], images),
        'model': _drawn(config['model']),
        'test_data': None,
        'probe_data': None,
    }
    weights = config.get('pretrained') or 'whatever it begins with'
    one = dict(devices=1)  # of this machine, whatever it has
    found = experiment({**config, **here, 'mesh': one, 'pretrained': weights})
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    return Planned(**fields, topology=tuple(devices), fsdp=split(config))


def split(config: Mapping[str, Any]) -> int:
    """Over how many devices a config's state is split."""
    return config.get('mesh', {}).get('fsdp', 1)


def _drawn(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """The model, its target generator with weights that are drawn: no file need be there."""
    generator = model.get('target_generator')
    if not isinstance(generator, Mapping) or 'weights' not in generator:
        return model
    return {**model, 'target_generator': {**generator, 'weights': None}}


def _blank(data: Mapping[str, Any], images: int | None) -> Mapping[str, Any]:
    """What stands for the data of a config; those that are there and not known stay."""
    known = KNOWN.get(data.get('name', '')) if data.get('split') == 'train' else None
    if known is None and images is None:
        return data
    number, classes = known or (images, None)
    blank = dict(type=f'{__name__}:Blank', number=images or number)
    return blank | ({} if classes is None else dict(num_classes=classes))


def trace(subject: Experiment) -> jax.stages.Traced:
    """The train step as `fit` would run it, traced for the mesh of the experiment."""
    step: Any = subject.step  # of `jax.jit`, which its type does not tell
    return step.trace(*step_inputs(subject))


def compiled(traced: jax.stages.Traced) -> jax.stages.Compiled | None:
    """The program; None where the compiler says that the device's memory does not hold it.

    Raises:
      JsslError: the compiler gives up for another reason.
    """
    try:
        return traced.lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if 'RESOURCE_EXHAUSTED' in str(error):
            return None
        raise JsslError(
            f'The step cannot be compiled for a machine that is not here: {in_words(error)} The '
            'compiler of another release may do it (pip install --upgrade jax), and on the machine '
            'itself it may be another matter.'
        ) from error


def text(program: jax.stages.Compiled) -> str | None:
    """The program as HLO; None where XLA cannot write it, as some with transfers of libtpu's."""
    try:
        return program.as_text()
    except jax.errors.JaxRuntimeError:
        return None


def memory(program: jax.stages.Compiled) -> Memory:
    """What the compiler says of a program's memory."""
    plan: Any = program.memory_analysis()
    return Memory(
        plan.argument_size_in_bytes,
        plan.temp_size_in_bytes,
        plan.output_size_in_bytes,
        plan.alias_size_in_bytes,
    )
