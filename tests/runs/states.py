"""A state with every kind of leaf, and what became of it on disk."""

from pathlib import Path
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from tests.checks import structure


@flax.struct.dataclass
class State:
    """Has every kind of leaf and of empty branch that a train state can have."""

    step: Any
    params: Any
    state: Any
    opt_state: Any
    rng: Any


def make_state(step: int = 1, *, width: int = 16) -> State:
    rng = np.random.default_rng(step)
    kernel = jnp.asarray(rng.normal(size=(8, width)), jnp.float32)
    params = {
        'layer1.0': {'kernel': kernel, 'bias': jnp.asarray(kernel[0], jnp.bfloat16)},
        'no parameters': {},
    }
    mask = {'layer1.0': True, 'no parameters': {}}
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.masked(optax.adamw(1e-3), mask))
    return State(
        step=jnp.asarray(step, jnp.int32),
        params=params,
        state={'batch_stats': {}, 'labels': None, 'queue': (kernel[0], jnp.asarray(True))},
        opt_state=optimizer.init(params),
        rng=jax.random.fold_in(jax.random.key(3), step),
    )


def shardings(tree: Any, devices: int) -> Any:
    mesh = jax.make_mesh(
        (devices,), ('data',), axis_types=(AxisType.Auto,), devices=jax.devices()[:devices]
    )
    rows, whole = (NamedSharding(mesh, spec) for spec in (PartitionSpec('data'), PartitionSpec()))
    return jax.tree.map(lambda leaf: rows if leaf.ndim == 2 else whole, tree)


def target_of(tree: Any, devices: int = 1) -> Any:
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        tree,
        shardings(tree, devices),
    )


def assert_same(found: Any, expected: Any) -> None:
    assert structure(found) == structure(expected)
    for path, leaf in jax.tree_util.tree_leaves_with_path(expected):
        other = dict(jax.tree_util.tree_leaves_with_path(found))[path]
        assert other.dtype == leaf.dtype, path
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf, other = jax.random.key_data(leaf), jax.random.key_data(other)
        assert np.asarray(other).tobytes() == np.asarray(leaf).tobytes(), path


def steps_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob('*') if path.is_file())


def contents(folder: Path) -> Path:
    return folder / 'contents.json'
