"""What a training step needs of memory on machines that are not there.

    python -m experiments.memory --config=configs/dinov2.py:imagenet --machine=h200:8
    python -m experiments.memory --config=configs/dinov2.py:imagenet --machine=v5p:2x2x2 \\
        --config.mesh.fsdp=8 --config.model.backbone.remat=True --largest=64

The whole step is compiled ahead of time: for NVIDIA's cards by the CUDA plugin of JAX from a
description of the card (pip install 'jax[cuda12]'), for TPUs by `libtpu`. Neither needs a device.
"""

import argparse
import dataclasses
import functools
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import topologies

from experiments.reporting import positive, show, show_json
from jssl.cli.configs import title
from jssl.cli.train import parse
from jssl.config import experiment
from jssl.errors import JsslError, in_words, suggest
from jssl.training import sharding
from jssl.training.experiment import Experiment

IMAGES = 1_281_167  # of ImageNet: the memory of NPID and the like depends on it


class Machine(NamedTuple):
    """A kind of accelerator.

    Attributes:
      platform: 'cuda' or 'tpu'.
      memory: bytes of a device that a program can have.
      target: of a card, XLA's GpuTargetConfigProto as text; facts of its data sheet.
      env: what the compiler is told in the environment, before it is loaded.
    """

    platform: str
    memory: float
    target: str = ''
    env: Mapping[str, str] = {}


# Nothing may be tried out on a device: choices of kernels are the compiler's guesses.
NO_DEVICE = {'XLA_FLAGS': '--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false'}
# libtpu ends the process for flags of other compilers; its own are in LIBTPU_INIT_ARGS.
NO_SERVER = {
    'XLA_FLAGS': '',
    'TPU_SKIP_MDS_QUERY': '1',
    'TPU_WORKER_HOSTNAMES': 'localhost',
    'TPU_WORKER_ID': '0',
}
H200 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32
  shared_memory_per_block: 49152 shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448
  threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  memory_bandwidth: 4800000000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 151397597184 device_address_bits: 64
  cuda_compute_capability { major: 9 }
  device_vendor: "NVIDIA Corporation" name: "NVIDIA H200 141GB HBM3e"
  runtime_version: "12.8.0" driver_version: "13.0.0" dnn_version: "9.10.0"
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
device_description_str: "NVIDIA H200 141GB HBM3e"
"""
MACHINES = {
    'h200': Machine('cuda', 141e9, H200, NO_DEVICE),
    'v5p': Machine('tpu', 95 * 2**30, env=NO_SERVER | {'TPU_ACCELERATOR_TYPE': 'v5p-8'}),
    'v5e': Machine('tpu', 15.75 * 2**30, env=NO_SERVER | {'TPU_ACCELERATOR_TYPE': 'v5litepod-8'}),
}


@dataclasses.dataclass(frozen=True)
class Blank:
    """As many images as there would be, none of which is looked at."""

    number: int = IMAGES

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {'image': np.zeros((1, 1, 3), np.uint8)}


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


class Figures(NamedTuple):
    """Bytes of one device; what is donated is argument and output alike, and counts once."""

    arguments: int
    temporaries: int
    outputs: int
    aliased: int

    @property
    def total(self) -> int:
        """What the device has to have."""
        return self.arguments + self.temporaries + self.outputs - self.aliased


@functools.cache
def topology(machine: str) -> tuple[Any, ...]:
    """The devices that ``'h200:8'`` or ``'v5p:2x2x2'`` names: so many cards of a host, or a slice.

    Raises:
      JsslError: there is no such machine, or what compiles for it is not installed.
    """
    kind, _, shape = machine.partition(':')
    if kind not in MACHINES or not shape:
        raise JsslError(
            f'--machine={machine!r} must be a kind and its size, such as h200:8 or v5p:2x2x2. '
            f'{suggest(kind, MACHINES)}'
        )
    found = MACHINES[kind]
    os.environ.update(found.env)
    options = {'topology': f'1x1x{shape}', 'target_config': found.target} if found.target else {}
    name = '' if found.target else machine
    try:
        described = topologies.get_topology_desc(name, platform=found.platform, **options)
    except Exception as error:  # whatever the plugin raises
        raise JsslError(
            f'--machine={machine!r} cannot be compiled for: {in_words(error).rstrip(".")}. '
            "pip install 'jax[cuda12]' libtpu has what compiles without a device."
        ) from error
    return tuple(described.devices)


def planned(
    config: Mapping[str, Any], devices: Sequence[Any], batch_size: int | None = None
) -> Planned:
    """The experiment that a config describes, on these devices and blank images."""
    blank = dict(type='experiments.memory:Blank')
    fsdp = config.get('mesh', {}).get('fsdp', 1)
    here = {'data': blank, 'test_data': None, 'probe_data': None, 'mesh': {}}
    found = experiment({**config, **here, 'batch_size': batch_size or config['batch_size']})
    fields = {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
    return Planned(**fields, topology=tuple(devices), fsdp=fsdp)


def compile_step(subject: Experiment) -> jax.stages.Compiled:
    """The train step, compiled for the mesh of the experiment."""
    split = sharding.batch_sharding(subject.mesh)
    batch = sharding.placed(jax.eval_shape(subject.empty_batch), split)
    step: Any = subject.step  # of `jax.jit`, which its type does not tell
    return step.lower(subject.placed_state, batch).compile()


def figures(step: jax.stages.Compiled) -> Figures:
    """What the compiler says of a program's memory."""
    plan: Any = step.memory_analysis()
    return Figures(
        plan.argument_size_in_bytes,
        plan.temp_size_in_bytes,
        plan.output_size_in_bytes,
        plan.alias_size_in_bytes,
    )


def need(config: Mapping[str, Any], machine: str, batch_size: int) -> Figures | None:
    """The memory that a batch takes; None where the compiler says that it does not fit."""
    subject = planned(config, topology(machine), batch_size)
    try:
        return figures(compile_step(subject))
    except jax.errors.JaxRuntimeError as error:
        if 'RESOURCE_EXHAUSTED' not in str(error):
            raise
        return None


def largest(fits: Callable[[int], bool], first: int, unit: int) -> int:
    """The largest multiple of `unit` that fits, by bisection; 0 where none does.

    Args:
      fits: whether a number does; if one does, so do all below.
      first: where to look first, a multiple of `unit`.
      unit: of the answer. Fewer programs are compiled with a larger one.

    Example:
      >>> largest(lambda batch: batch <= 700, first=512, unit=64)
      640
    """
    low, high = (first, 2 * first) if fits(first) else (0, first)
    while low and fits(high):
        low, high = high, 2 * high
    while high - low > unit:
        middle = (low + high) // (2 * unit) * unit
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def main(argv: Sequence[str] | None = None) -> int:
    """Compiles what the arguments describe; returns the exit status, 2 for bad input."""
    options, rest = parser().parse_known_args(argv)
    try:
        values = parse(rest)
        jax.config.update('jax_platforms', 'cpu')  # plugins would look for their devices
        jax.config.update('jax_enable_compilation_cache', False)
        jax.config.update('jax_exec_time_optimization_effort', -1.0)  # TPUs: minutes, not hours
        numbers = measure(values.config, options.machine, options.largest)
    except JsslError as error:
        print(f'memory: {error}', file=sys.stderr)
        return 2
    numbers = {'config': title(values.named), 'machine': options.machine, **numbers}
    show(f'{numbers["config"]} on {options.machine}, a device', table(numbers))
    if options.json:
        show_json(numbers)
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of the command line besides those of `jssl train`."""
    result = argparse.ArgumentParser(
        'experiments.memory',
        description=f'{__doc__}\nAll other arguments are those of jssl train.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    names = ', '.join(MACHINES)
    result.add_argument(
        '--machine', required=True, help=f'kind ({names}) and size, h200:8 or v5p:2x2x2'
    )
    result.add_argument(
        '--largest', type=positive, help='find the largest batch that fits, a multiple of this'
    )
    result.add_argument('--json', action='store_true', help='end with one line of JSON')
    return result


def measure(config: Mapping[str, Any], machine: str, unit: int | None = None) -> dict[str, Any]:
    """The memory of the config's own batch, or with a `unit` the largest batch that fits."""
    start, size = time.perf_counter(), len(topology(machine))
    limit = MACHINES[machine.partition(':')[0]].memory
    known: dict[int, Figures | None] = {}

    def fits(batch_size: int) -> bool:
        if batch_size > IMAGES:
            return False
        found = known[batch_size] = need(config, machine, batch_size)
        return found is not None and found.total <= limit

    batch_size = config['batch_size']
    if unit is not None:
        batch_size = largest(fits, -(-batch_size // unit) * unit, unit)
    elif not fits(batch_size) and known[batch_size] is None:
        raise JsslError(
            f'config.batch_size={batch_size} does not fit {machine}, says the compiler; find what '
            'does with --largest=64, or set config.mesh.fsdp and config.model.backbone.remat.'
        )
    if not batch_size:
        raise JsslError(
            f'no batch of a multiple of {unit} fits {machine}; set config.mesh.fsdp and '
            'config.model.backbone.remat, or choose a larger machine.'
        )
    found = known[batch_size]
    assert found is not None  # it fits
    return {
        'devices': size,
        'batch_size': batch_size,
        **found._asdict(),
        'total': found.total,
        'limit': limit,
        'compiled': len(known),
        'seconds': time.perf_counter() - start,
    }


def table(numbers: Mapping[str, Any]) -> dict[str, str]:
    """The rows that a person reads."""
    sizes = ('arguments', 'temporaries', 'outputs', 'aliased', 'total', 'limit')
    return {
        'batch': f'{numbers["batch_size"]:,} over {numbers["devices"]} devices',
        **{name: f'{numbers[name] / 2**30:,.2f} GiB' for name in sizes},
        'compiling': f'{numbers["compiled"]} program(s) in {numbers["seconds"]:,.0f} s',
    }


if __name__ == '__main__':
    sys.exit(main())
