"""Accelerators as their makers describe them, and the machines that are made of them.

Rates are the dense ones of the data sheets, for every device; nothing here was measured.

* NVIDIA: data sheets of A100 80GB SXM, H100 SXM and H200 SXM; what the compiler has to know of a
  card is in its CUDA guide, and beside XLA's sources in ``target_config/specs``. Between hosts: the
  network adapters of DGX A100 (200 Gbit/s a card) and of DGX H100 and H200 (400 Gbit/s a card).
* Google: cloud.google.com/tpu/docs, the pages "TPU v4", "TPU v5e", "TPU v5p" and "TPU v6e".
"""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from jssl.errors import JsslError, suggest

TERA, GIGA, GIBI = 1e12, 1e9, 2**30
BFLOAT16, TENSORFLOAT32, FLOAT32, FLOAT64 = 'bfloat16', 'tensorfloat32', 'float32', 'float64'


class Machine(NamedTuple):
    """A kind of accelerator; all numbers are those of one device.

    Attributes:
      platform: 'cuda' or 'tpu'.
      peaks: floating point operations a second of matrix products, by the type of their factors.
      memory: bytes.
      bandwidth: of the memory, bytes a second.
      link: bytes a second that a device can send to others of its host, or of its slice.
      network: bytes a second that it can send to other hosts; a TPU slice has its links alone.
      target: of a card, XLA's GpuTargetConfigProto as text.
      accelerator: of a TPU, the type that libtpu is told.
    """

    platform: str
    peaks: Mapping[str, float]
    memory: float
    bandwidth: float
    link: float
    network: float
    target: str = ''
    accelerator: str = ''


class Fleet(NamedTuple):
    """So many devices of a kind.

    Attributes:
      name: as one writes it, such as '8xh200'.
      machine: the kind.
      hosts: of cards; 1 for a TPU slice, whose links join all of it.
      size: devices in all.
      shape: as the compiler wants it.
    """

    name: str
    machine: Machine
    hosts: int
    size: int
    shape: str


_TARGET = """
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_core: {shared}
  shared_memory_per_block_optin: {optin} core_count: {cores} fpus_per_core: {units}
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  memory_bandwidth: {bandwidth} l2_cache_size: {cache} clock_rate_ghz: {clock}
  device_memory_size: {memory} device_address_bits: 64
  cuda_compute_capability {{ major: {major} }}
  device_vendor: "NVIDIA Corporation" name: "{name}"
  runtime_version: "12.8.0" driver_version: "13.0.0" dnn_version: "9.10.0"
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
device_description_str: "{name}"
"""


def _ampere(name: str, bandwidth: float, memory: int) -> str:
    return _TARGET.format(
        **dict(name=name, major=8, cores=108, units=64, shared=167936, optin=166912),
        **dict(clock=1.41, cache=41943040, bandwidth=int(bandwidth), memory=memory),
    )


def _hopper(name: str, bandwidth: float, memory: int) -> str:
    return _TARGET.format(
        **dict(name=name, major=9, cores=132, units=128, shared=233472, optin=232448),
        **dict(clock=1.98, cache=52428800, bandwidth=int(bandwidth), memory=memory),
    )


def _rates(
    bfloat16: float, tensorfloat32: float, float32: float, float64: float
) -> dict[str, float]:
    """The peaks of a card, from its data sheet's tera-operations a second."""
    names = (BFLOAT16, TENSORFLOAT32, FLOAT32, FLOAT64)
    values = (bfloat16, tensorfloat32, float32, float64)
    return {name: TERA * value for name, value in zip(names, values, strict=True)}


AMPERE, HOPPER = _rates(312, 156, 19.5, 19.5), _rates(989.4, 494.7, 66.9, 66.9)


def _tpu(accelerator: str, tera: float, gibibytes: float, bandwidth: float, link: float) -> Machine:
    """A TPU, whose products are all made of products of bfloat16."""
    peaks, memory = {BFLOAT16: TERA * tera}, gibibytes * GIBI
    rates = (GIGA * bandwidth, GIGA * link, GIGA * link)
    return Machine('tpu', peaks, memory, *rates, accelerator=accelerator)


MACHINES = {
    'a100': Machine(
        *('cuda', AMPERE, 80e9, 2039e9, 300e9, 25e9),
        _ampere('NVIDIA A100-SXM4-80GB', 2039e9, 85100068864),
    ),
    'h100': Machine(
        *('cuda', HOPPER, 80e9, 3352e9, 450e9, 50e9),
        _hopper('NVIDIA H100 80GB HBM3', 3352e9, 84942979072),
    ),
    'h200': Machine(
        *('cuda', HOPPER, 141e9, 4800e9, 450e9, 50e9),
        _hopper('NVIDIA H200 141GB HBM3e', 4800e9, 151397597184),
    ),
    'v4': _tpu('v4-8', 275, 32, 1228, 300),
    'v5e': _tpu('v5litepod-8', 197, 15.75, 819, 200),  # of 16 GiB, libtpu keeps a quarter of one
    'v5p': _tpu('v5p-8', 459, 95, 2765, 600),
    'v6e': _tpu('v6e-8', 918, 31.25, 1640, 400),  # of 32 GiB
}
CORES = {'v4': 2, 'v5p': 2}  # a device, by which the names of such slices count
SOLID = ('v4', 'v5p')  # slices in three dimensions; those of the others lie in a plane
LARGEST = {'v4': 4096, 'v5e': 256, 'v5p': 4096, 'v6e': 256}  # chips of a slice
AROUND = re.compile(r'^(\d+x)+|-\d+$')  # numbers around the name of a kind
CARDS = re.compile(r'(?:(?:([1-9]\d*)x)?([1-9]\d*)x)?[a-z]\w*')
SLICE = re.compile(r'\w+-([1-9]\d*)')
EXAMPLES = '8xh200, 4x8xh100 (hosts x cards of each), v5e-64 or v4-32'


def parse(name: str) -> Fleet:
    """The machine called `name`, such as ``'8xh200'``, ``'4x8xh100'`` or ``'v5e-64'``.

    Google's numbers are taken as Google gives them: of chips for v5e and v6e, of cores, two a chip,
    for v4 and v5p. Capital letters do not matter.

    Raises:
      JsslError: there is none; names the nearest kind or the nearest sizes.
    """
    name = name.lower()
    kind = AROUND.sub('', name)
    machine = MACHINES.get(kind)
    if machine and machine.accelerator and (found := SLICE.fullmatch(name)):
        return _slice(name, kind, int(found[1]))
    if machine and machine.target and (found := CARDS.fullmatch(name)):
        hosts, cards = int(found[1] or 1), int(found[2] or 1)
        return Fleet(name, machine, hosts, hosts * cards, f'1x{hosts}x{cards}')
    raise JsslError(
        f'--on={name} is no machine; write one such as {EXAMPLES}. {suggest(kind, MACHINES)}'
    )


def _slice(name: str, kind: str, count: int) -> Fleet:
    """A slice of a power of two of chips, as near to a square or a cube as can be."""
    chips = count // CORES.get(kind, 1)
    power = int(math.log2(max(chips, 1)))
    fits = 2**power == chips and chips * CORES.get(kind, 1) == count
    if not fits or chips > LARGEST[kind] or (kind in SOLID and chips < 4):
        sizes = _sizes(kind)
        near = sorted(sorted(sizes, key=lambda size: abs(math.log(size / count)))[:2])
        raise JsslError(
            f'--on={name} is no slice of {kind}; --on={kind}-{near[0]} and --on={kind}-{near[1]} '
            'come nearest.'
        )
    sides = _sides(power, 3 if kind in SOLID else 2)
    return Fleet(name, MACHINES[kind], 1, chips, f'{kind}:{"x".join(map(str, sides))}')


def smaller(fleet: Fleet) -> dict[int, str]:
    """Smaller machines of the same kind, as they are typed, by their number of devices.

    Examples:
      >>> smaller(parse('3xh100'))
      {1: '--on=1xh100', 2: '--on=2xh100'}
    """
    kind = AROUND.sub('', fleet.name)
    if fleet.machine.accelerator:
        names = [f'{kind}-{size}' for size in _sizes(kind)]
    else:
        cards = fleet.size // fleet.hosts
        names = [f'{count}x{kind}' for count in range(1, cards + 1)]
        names += [f'{hosts}x{cards}x{kind}' for hosts in range(2, fleet.hosts)]
    found = {parse(name).size: f'--on={name}' for name in names}
    return {size: name for size, name in found.items() if size < fleet.size}


def _sizes(kind: str) -> list[int]:
    """The numbers in the names of a kind's slices."""
    least = 2 if kind in SOLID else 0
    powers = range(least, int(math.log2(LARGEST[kind])) + 1)
    return [2**power * CORES.get(kind, 1) for power in powers]


def _sides(power: int, dimensions: int) -> list[int]:
    """The sides of a slice of ``2**power`` chips; 4 of a cube's lie in a plane, 2x2x1."""
    if dimensions == 3 and power == 2:
        return [2, 2, 1]
    exponents = [(power + place) // dimensions for place in range(dimensions)]
    return [2**exponent for exponent in exponents]
