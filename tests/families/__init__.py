"""How steps of other repositories than MMSelfSup become ours: a family for each algorithm.

Their files hold one module: the student, the teacher and the losses with their centers, under the
names of the repository. A family says which algorithm of ours that is, and what each array is
called there. `golden.FAMILIES` names those that there are.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jssl.algorithm import Algorithm, Params, State
from jssl.optim.optimizers import make_optimizer
from jssl.weights.names import key_of, load_tree, save_tree
from tests import golden
from tests.families import dino, dinov2, dinov3, ibot, ijepa, vicreg
from tests.families.family import LONG, Family, of_timm

FAMILIES: dict[str, Family] = {
    'dino': dino.FAMILY,
    'dinov2': dinov2.FAMILY,
    'ibot': ibot.FAMILY,
    'dinov3': dinov3.FAMILY,
    'ijepa': ijepa.FAMILY,
    'vicreg': vicreg.FAMILY,
}


def load(
    saved: golden.File, weights: Mapping[str, np.ndarray], params: Params, state: State
) -> tuple[Params, State]:
    """Parameters and state, given their shapes, with the arrays of a file in their places."""
    family = FAMILIES[saved.meta['algorithm']]
    flat = {key: x.reshape(-1) if key in family.vectors else x for key, x in weights.items()}
    flat = {key: x[None] if _is_row(key, x) else x for key, x in flat.items()}
    flat = {key: x for key, x in flat.items() if not key.endswith(family.fixed)}
    tree, key_of = {'params': params, 'state': state}, functools.partial(name, family)
    found = load_tree(flat, tree, key_of, (*family.unused, *family.twice.values()))
    return found['params'], found['state']


def _is_row(key: str, x: np.ndarray) -> bool:
    """Whether this is a mask token without the axis of images, as the DINO family's are."""
    return key.endswith(('.mask_token', '.masked_embed')) and x.ndim == 2


def export(saved: golden.File, params: Params, state: State | None) -> dict[str, np.ndarray]:
    """Parameters and state, or gradients alone, by their names there."""
    family = FAMILIES[saved.meta['algorithm']]
    tree = {'params': params, 'state': state or {}}
    found = save_tree(tree, functools.partial(name, family))
    spec = golden.plain(saved.meta['state_spec'])
    if state is not None:  # of gradients the reference has one
        found |= again(family, found, spec)
    shapes = {key: spec[key]['shape'] for key in family.vectors}
    return {key: x.reshape(shapes.get(key, x.shape)) for key, x in found.items()}


def again(family: Family, found: Mapping[str, np.ndarray], spec: golden.Meta) -> dict[str, Any]:
    """The arrays that a file has under a second name, by that name."""
    second = {
        there + key.removeprefix(here): value
        for here, there in family.twice.items()
        for key, value in found.items()
        if key.startswith(here)
    }
    return {key: value for key, value in second.items() if spec[key]['kind'] == 'alias'}


def name(family: Family, names: Sequence[str]) -> str | None:
    """What an array is called there; None for one that is not saved."""
    key = key_of(names)
    for here, there in family.places.items():
        if key == here or key.startswith(f'{here}.'):
            return renamed(family, f'{there}{of_timm(key[len(here) :])}')
    return None


def renamed(family: Family, key: str) -> str:
    """The key with the family's own end, if it has one."""
    for end, own in family.renamed.items():
        if key.endswith(f'.{end}'):
            return key.removesuffix(end) + own
    return key


def entry(saved: golden.File, name: str) -> str:
    """The entry of the batch that a recorded input goes into."""
    family = FAMILIES.get(saved.meta.get('algorithm', ''))
    stacked = {} if family is None else family.stacked
    return stacked.get(name.rstrip('0123456789'), name)


def inputs(saved: golden.File, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded inputs under the names of the batch, those of several entries in one."""
    found: dict[str, list[Any]] = {}
    for name, value in recorded.items():
        found.setdefault(entry(saved, name), []).append(value)
    stacked = set(FAMILIES[saved.meta['algorithm']].stacked.values())
    return {
        name: jnp.stack(values, axis=1) if name in stacked else values[0]
        for name, values in found.items()
    }


def metric(saved: golden.File, name: str) -> str:
    """What a term of the loss is called among our metrics."""
    family = FAMILIES.get(saved.meta.get('algorithm', ''))
    return name if family is None else family.metrics.get(name, name)


def only_there(saved: golden.File) -> tuple[str, ...]:
    """Patterns of what the reference captured and we do not make."""
    family = FAMILIES.get(saved.meta.get('algorithm', ''))
    return () if family is None else family.only_there


def unread(path: Path) -> tuple[str, ...]:
    """The settings of a file that need no reading."""
    family = FAMILIES.get(golden.settings(path).get('algorithm', ''))
    return () if family is None else family.unread


def transformation(saved: golden.File, algorithm: Algorithm) -> optax.GradientTransformation:
    """The optimizer of a trajectory, whose rate and decay are those of the file at each step."""
    meta = saved.meta
    make = FAMILIES[meta['algorithm']].optimizer
    assert make is not None
    schedules = golden.plain(meta['schedules'])
    made = make(meta)
    if 'wd' in schedules:
        rate: Any = by_step(schedules['wd'])
        made = dataclasses.replace(made, weight_decay=1.0, decay_schedule=rate)
    length: dict[str, Any] = {
        'steps_per_epoch': meta['optim'].get('iters_per_epoch', 1),
        'epochs': LONG,
    }
    rates = by_step(schedules['lr'])
    if made.layer_decay_rate is not None:
        length['get_layer_depth'] = algorithm.get_layer_depth
    return make_optimizer(made, rates, **length, is_frozen=algorithm.is_frozen)


def by_step(values: Sequence[float]) -> Callable[[Any], jax.Array]:
    """A schedule of recorded values."""
    return lambda step: jnp.asarray(values)[step]
