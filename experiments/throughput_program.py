"""The program of a step: how long it is compiled, its operations, what it could reach here."""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
from jax.experimental.compilation_cache import compilation_cache

from experiments.throughput_parts import Given
from jssl.planning import flops, hlo, traffic
from jssl.planning.machines import BFLOAT16, MACHINES, Fleet, Machine
from jssl.planning.program import text
from jssl.planning.roofline import roofline
from jssl.training.experiment import Experiment

KINDS = {  # of a device, as JAX calls it, and as `jssl plan` does
    'NVIDIA A100-SXM4-80GB': 'a100',
    'NVIDIA H100 80GB HBM3': 'h100',
    'NVIDIA H200': 'h200',
    'TPU v4': 'v4',
    'TPU v5 lite': 'v5e',
    'TPU v5': 'v5p',
    'TPU v5p': 'v5p',
    'TPU v6 lite': 'v6e',
}


class Compiled(NamedTuple):
    """The step of an experiment, and what it took to make.

    Attributes:
      traced: before XLA.
      program: of XLA.
      trace_seconds: from Python to XLA's input.
      compile_seconds: from there to the program, with nothing taken from a cache.
    """

    traced: jax.stages.Traced
    program: jax.stages.Compiled
    trace_seconds: float
    compile_seconds: float


def compile_step(subject: Experiment, given: Given) -> Compiled:
    """The step, compiled for what it will be given."""
    step: Any = subject.step  # of `jax.jit`, which its type does not tell
    start = time.perf_counter()
    traced = step.trace(*given)
    lowered = traced.lower()
    between = time.perf_counter()
    program = lowered.compile()
    return Compiled(traced, program, between - start, time.perf_counter() - between)


def compiled_twice(subject: Experiment, given: Given) -> tuple[Compiled, float]:
    """The step, and the seconds until it is there again where its program was kept on disk.

    It is traced anew then, as in a process that starts after this one.
    """
    with _kept_programs():
        found = compile_step(subject, given)
        jax.clear_caches()
        again = compile_step(subject, given)
    return found, again.trace_seconds + again.compile_seconds


@contextlib.contextmanager
def _kept_programs() -> Iterator[None]:
    """Programs are kept in a folder that is thrown away."""
    options = {
        'jax_enable_compilation_cache': True,
        'jax_persistent_cache_min_compile_time_secs': 0,
        'jax_persistent_cache_min_entry_size_bytes': -1,
    }
    before = {name: getattr(jax.config, name) for name in (*options, 'jax_compilation_cache_dir')}
    with tempfile.TemporaryDirectory() as folder:
        try:
            for name, value in {**options, 'jax_compilation_cache_dir': folder}.items():
                jax.config.update(name, value)
            compilation_cache.reset_cache()
            yield
        finally:
            for name, value in before.items():
                jax.config.update(name, value)
            compilation_cache.reset_cache()


def read(subject: Experiment, found: Compiled) -> dict[str, Any]:
    """What the program tells of itself: operations, bytes, what in it waits for the host.

    Operations are those of matrix products and convolutions in the whole step, as `jssl plan`
    counts them; `xla_operations` is XLA's own count on one device, which takes a loop over layers
    for one turn. What a compiler does not tell is None.
    """
    operations = flops.count(found.traced.jaxpr, _platform(subject))
    costs: Any = found.program.cost_analysis() or {}
    numbers: dict[str, Any] = {
        'operations': sum(operations.values()),
        'xla_operations': costs.get('flops') or None,
    }
    written = text(found.program)
    if written is None:
        return numbers | {'moved': None, 'kernels': None, 'to_host': None, 'bound_seconds': None}
    program = hlo.read(written)
    moved, to_host = traffic.moved(program), len(traffic.to_host(program))
    fleet = known(subject)
    bound = None
    if fleet is not None:
        messages = traffic.collectives(program, fleet.size, fleet.hosts)
        bound = roofline(fleet, operations, moved, messages).seconds
    kernels = traffic.kernels(program)
    return numbers | {
        **{'moved': moved, 'kernels': kernels, 'to_host': to_host, 'bound_seconds': bound}
    }


def known(subject: Experiment) -> Fleet | None:
    """The machine, where its maker's numbers are known."""
    device = subject.mesh.devices.flat[0]
    name = KINDS.get(device.device_kind)
    if name is None:
        return None
    return Fleet(name, MACHINES[name], jax.process_count(), subject.mesh.size, '')


def shares(subject: Experiment, numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Operations a second as a share of what the devices could do at best; None where unknown.

    Of a known machine that is the bfloat16 peak of its data sheet; of a CPU what a large product of
    float32 reached between the same steps.
    """
    fleet, product = known(subject), numbers.get('product_rate')
    if fleet is not None:
        machine: Machine = fleet.machine
        best, seconds = fleet.size * machine.peaks[BFLOAT16], numbers['step_ms'] / 1e3
    elif product is not None:
        best, seconds = product, numbers['same_batch_ms'] / 1e3
    else:
        return {'utilisation': None}
    return {'utilisation': numbers['operations'] / seconds / best}


def _platform(subject: Experiment) -> str:
    platform = subject.mesh.devices.flat[0].platform
    return {'gpu': 'cuda'}.get(platform, platform)
