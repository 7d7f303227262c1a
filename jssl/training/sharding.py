"""Where arrays live: a mesh, the batch split over it, the state whole or split by a rule.

Nothing else in jssl knows how many devices there are. Losses see the global batch.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from jssl.errors import JsslError

SMALLEST_SHARDED = 2**16  # entries; splitting less than this costs more messages than memory saved


def make_mesh(
    *, fsdp: int = 1, devices: int | None = None, among: Sequence[jax.Device] | None = None
) -> Mesh:
    """A mesh with the axes `data` and `fsdp`.

    Args:
      fsdp: over how many devices parameters and optimizer state are split; 1 replicates them.
      devices: how many devices to use; None takes all.
      among: which devices there are; None for those that JAX sees.

    Raises:
      JsslError: if there are fewer devices than asked for, or `fsdp` does not divide them.
    """
    found = jax.devices() if among is None else list(among)
    count = devices or len(found)
    if count > len(found):
        raise JsslError(
            f'config.mesh.devices={count}, but JAX sees {len(found)} ({found[0].platform}); lower '
            'it, leave it at 0 for all devices, or start on a machine with more.'
        )
    if fsdp < 1 or count % fsdp:
        raise JsslError(
            f'config.mesh.fsdp={fsdp} does not divide the {count} devices in use; choose a divisor.'
        )
    shape = (count // fsdp, fsdp)
    return jax.make_mesh(
        shape, ('data', 'fsdp'), axis_types=(AxisType.Auto,) * 2, devices=found[:count]
    )


def local_mesh() -> Mesh:
    """A mesh of the devices of this process alone, for what it computes without the others."""
    found = jax.local_devices()
    types = (AxisType.Auto,) * 2
    return jax.make_mesh((len(found), 1), ('data', 'fsdp'), axis_types=types, devices=found)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The leading axis over all devices."""
    return NamedSharding(mesh, P(('data', 'fsdp')))


def replicated(mesh: Mesh | AbstractMesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, P())


def state_shardings(shapes: Any, mesh: Mesh | AbstractMesh) -> Any:
    """One rule for the whole train state: split the largest axis that divides over `fsdp`.

    Args:
      shapes: a tree of arrays or `jax.ShapeDtypeStruct`.
      mesh: of `make_mesh`, or its shape alone.

    Returns:
      A tree of `NamedSharding`; small arrays, and those no axis of which divides, are replicated.
    """
    parts = mesh.shape['fsdp']

    def rule(leaf: Any) -> NamedSharding:
        divisible = [axis for axis, size in enumerate(leaf.shape) if size % parts == 0]
        if parts == 1 or math.prod(leaf.shape) < SMALLEST_SHARDED or not divisible:
            return replicated(mesh)
        axis = max(divisible, key=lambda index: leaf.shape[index])
        return NamedSharding(mesh, P(*(None,) * axis, 'fsdp'))

    return jax.tree.map(rule, shapes)


def placed(shapes: Any, where: NamedSharding) -> Any:
    """A tree of shapes, which says where its arrays lie."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=where), shapes
    )


def check_batch_size(
    batch_size: int,
    mesh: Mesh | AbstractMesh,
    accumulate: int = 1,
    fewer: Mapping[int, str] | None = None,
) -> None:
    """Refuses a batch that cannot be split evenly over the devices, each of its parts too.

    Args:
      batch_size: of all devices together.
      mesh: of the devices.
      accumulate: in how many parts it is taken.
      fewer: what is typed for a smaller number of devices, by that; None for the config's field.

    Raises:
      JsslError: names what works.
    """
    unit = mesh.size * accumulate
    if batch_size >= 1 and batch_size % unit == 0:
        return
    below = max(batch_size, 0) // unit * unit
    others = [f'--config.batch_size={size}' for size in (below, below + unit) if size > 0]
    parts = f' in {accumulate} parts (config.accumulate)' if accumulate > 1 else ''
    if batch_size > 0:
        typed = {n: f'--config.mesh.devices={n}' for n in range(1, mesh.size)}
        typed = dict(sorted((typed if fewer is None else fewer).items()))
        fsdp = mesh.shape['fsdp']
        fit = [n for n in typed if n % fsdp == 0 and batch_size % (n * accumulate) == 0]
        counts = [n for n in range(1, accumulate) if batch_size % (mesh.size * n) == 0]
        others += [typed[fit[-1]]] if fit else []
        others += [f'--config.accumulate={counts[-1]}'] if counts else []
    raise JsslError(
        f'config.batch_size={batch_size} does not divide over {mesh.size} devices{parts}; give '
        f'{" or ".join(others)}.'
    )


def put_batch(batch: Mapping[str, Any], mesh: Mesh) -> dict[str, Any]:
    """This process's rows of a batch -> global arrays, split over the mesh by rows."""
    put = partial(jax.make_array_from_process_local_data, batch_sharding(mesh))
    return jax.tree.map(put, dict(batch))


def put_replicated(tree: Any, mesh: Mesh) -> Any:
    """NumPy arrays that every process holds whole -> arrays that every device holds whole."""
    sharding = replicated(mesh)
    return jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(sharding, leaf, leaf.shape), tree
    )
