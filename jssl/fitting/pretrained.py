"""Beginning a run with the backbone of another one, or with published weights.

`config.pretrained` is the directory of a run, a `backbone.safetensors`, or weights with the
reference's names. What fits is loaded; position tables are resized to the images of this run, and
what does not fit is an error that says what does not.
"""

import dataclasses
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jssl.algorithm import KEPT, Keeps, TrainState, part_of
from jssl.data.loading.identity import Listing, describe_change, identity_in, same
from jssl.errors import JsslError
from jssl.interop.mmselfsup import export_state, import_state, reference_key
from jssl.interop.safetensors import (
    PREFIX,
    has_backbone,
    has_reference_names,
    load_backbone,
)
from jssl.layers.position_embedding import resize_positions
from jssl.paths import expanded
from jssl.runs.checkpoints import read_parts
from jssl.runs.workdir import CHECKPOINTS, CONFIG, KEEPS, read_config
from jssl.weights.files import read_weights as read_arrays
from jssl.weights.names import UNREAD
from jssl.weights.stacked import stack_like, unstack

WEIGHTS = 'backbone.safetensors'
TABLES = {'pos_embed': 1, 'absolute_pos_embed': 0}  # and how many rows are no places
BIASES = 'relative_position_bias_table'
# What fine-tuning adds to a pre-trained vision transformer: the norm of its averaged tokens, and
# biases by relative position; and what training with masks adds to one without.
ADDED = re.compile(rf'backbone\.(ln2\.|mask_token$|layers\.\d+\.attn\.{BIASES}$)')
Weights = Mapping[str, np.ndarray]


def load_backbone_into(
    train_state: TrainState, weights: Weights, path: str, report: Callable[[str], None] = print
) -> TrainState:
    """The train state with the backbone that was read in place of the fresh one.

    A teacher in the state that has a backbone begins with the same one.

    Args:
      train_state: with an entry `backbone` in its parameters; each array keeps its place.
      weights: of `read_weights`.
      path: where they were read, for messages.
      report: is told in one line what was loaded, what is new and what was left out.

    Raises:
      JsslError: the weights are of another backbone; names what differs.
    """
    if not has_backbone(train_state.params):
        raise JsslError(
            f'config.pretrained={path!r} is for algorithms with a part called backbone; this one '
            'has none. Leave it out.'
        )
    network = {'params': train_state.params, **train_state.state}
    try:
        network = _with_backbone(network, weights, path, report)
    except JsslError as error:
        raise JsslError(
            f'config.pretrained={path!r} does not fit config.model.backbone: {error}'
        ) from error
    if has_backbone(network.get('teacher', {}).get('params')):
        teacher = _with_backbone(network['teacher'], weights, path, lambda line: None)
        network = {**network, 'teacher': teacher}
    params = network.pop('params')
    return dataclasses.replace(train_state, params=params, state=network)


def _with_backbone(
    network: Mapping[str, Any], weights: Weights, path: str, report: Callable[[str], None]
) -> dict[str, Any]:
    """A dict with `params` and maybe `batch_stats`, by part, with the backbone that was read."""
    params, stats = network['params'], network.get('batch_stats', {})
    places = {
        'params': {'backbone': params['backbone']},
        'state': {'batch_stats': {'backbone': stats.get('backbone', {})}},
    }
    loaded = place_weights(weights, places, report, path, added=ADDED)
    found = {**network, 'params': {**params, **loaded['params']}}
    if 'backbone' in stats:
        found['batch_stats'] = {**stats, **loaded.get('state', {}).get('batch_stats', {})}
    return found


def tell_changed_data(
    run: Path | str,
    config: Mapping[str, Any],
    listings: Mapping[str, Listing],
    report: Callable[[str], None],
) -> None:
    """Says which data, named as those of the run that one begins with, are no longer the same.

    Args:
      run: whose weights are taken; a file of weights says nothing of its data.
      config: of what begins.
      listings: of its data, by field.
      report: is told in a line for each.
    """
    there = expanded(run)
    theirs = read_config(there) if os.path.isfile(there / CONFIG) else {'config': {}}
    for part, listing in listings.items():
        section = _said(config.get(part))
        for field in theirs['config']:
            before = identity_in(theirs.get('data'), field)
            alike = section is not None and _said(theirs['config'].get(field)) == section
            if alike and before is not None and not same(before, listing.identity):
                words = describe_change(there, field, before, listing)
                report(f'config.{part} is not what the run in {run} had: {words}.')


def _said(section: Any) -> Any:
    """A section of a config without the fields that nobody set."""
    if not isinstance(section, Mapping):
        return None
    given = {field: value for field, value in section.items() if value is not None}
    return json.loads(json.dumps(given))


def check_there(path: str) -> None:
    """Raises a `JsslError` unless something lies at `path`, or `path` is empty."""
    if path and not os.path.exists(expanded(path)):
        raise JsslError(
            f'config.pretrained={path!r}: there is no such file or directory. Give the --workdir '
            'of a run, or a file of weights.'
        )


def read_weights(path: str) -> Weights:
    """The arrays of a backbone by the reference's names, with `backbone.` in front.

    Args:
      path: the directory of a run, a `backbone.safetensors`, or a .safetensors or .npz file with
        the reference's names, of a backbone or of a whole model (keys that start with `backbone.`).

    Raises:
      JsslError: there is nothing at `path` that can be read.
    """
    found = expanded(path)
    if os.path.isdir(found):
        return _of_run(found)
    arrays = read_arrays(path)
    whole = {key: value for key, value in arrays.items() if key.startswith(PREFIX)}
    return whole or {PREFIX + key: value for key, value in arrays.items()}


def _of_run(run: Path) -> Weights:
    """The exported backbone of a run that has ended, else that of its newest checkpoint."""
    if (run / WEIGHTS).exists():
        return load_backbone(run / WEIGHTS)
    if not (run / CHECKPOINTS).is_dir():
        raise JsslError(
            f'config.pretrained={str(run)!r} is not the directory of a run: it has neither '
            f'{WEIGHTS} nor checkpoints. Give the --workdir of a run, or a file of weights.'
        )
    places = [(*place, 'backbone') for place in KEPT[_keeps(run)]]
    tree, _ = read_parts(run / CHECKPOINTS, *places)
    weights, stats = (part_of(tree, place[:-1]) for place in places)
    if not has_backbone(weights):
        raise JsslError(
            f'config.pretrained={str(run)!r} is the run of an algorithm without parameters called '
            'backbone, so that there is nothing to begin with. Give another run, or a file of '
            'weights.'
        )
    return export_state(weights, {'batch_stats': stats})


def _keeps(run: Path) -> Keeps:
    """Whose backbone the algorithm of a run keeps, as its config.json says."""
    try:
        found = read_config(run).get(KEEPS, 'student')
    except JsslError as error:
        raise JsslError(f'config.pretrained={str(run)!r}: {error}') from error
    if found not in KEPT:
        raise JsslError(
            f'config.pretrained={str(run)!r}: its {CONFIG} says {KEEPS}={found!r}, where '
            f'{" or ".join(KEPT)} stands; put the file back.'
        )
    return found


def place_weights(
    weights: Weights,
    fresh: Mapping[str, Any],
    report: Callable[[str], None],
    path: str,
    *,
    added: re.Pattern[str] | None = None,
) -> dict[str, Any]:
    """`fresh` with the weights that it has a place for.

    Args:
      weights: of `read_weights`.
      fresh: ``{'params': {'backbone': …}, 'state': {'batch_stats': {'backbone': …}}}``.
      report: is told in one line what was loaded, what is new and what was left out.
      path: where they were read, for that line.
      added: what the names of arrays match that may be missing, and stay as they are.

    Raises:
      JsslError: the weights are of another backbone; names what differs.
    """
    backbones = (fresh['params']['backbone'], fresh['state']['batch_stats']['backbone'])
    if not has_reference_names(*backbones):
        raise JsslError(
            'it is no module of dicts in which every array has a name of its own, with kernel and '
            'scale counted as one. Leave config.pretrained out, or rename its parameters.'
        )
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), fresh)
    leaves = flatten_dict(unstack(shapes))
    keys = {place: _key(place) for place in leaves}
    missing = [key for key in keys.values() if key not in weights]
    _check_missing(missing, weights, added)
    known = {place: leaf for place, leaf in leaves.items() if keys[place] in weights}
    wanted = {keys[place]: leaf for place, leaf in known.items()}
    fitted = {key: _fit(key, np.asarray(weights[key]), leaf) for key, leaf in wanted.items()}
    tree = unflatten_dict(known)
    imported = import_state(fitted, tree.get('params', {}), tree.get('state', {}))
    values = flatten_dict(stack_like({'params': imported[0], 'state': imported[1]}, fresh))
    loaded = {
        place: _placed(values[place], leaf) if place in values else leaf
        for place, leaf in flatten_dict(fresh).items()
    }
    unused = [key for key in weights if key not in wanted and not key.endswith(UNREAD)]
    report(_in_words(path, len(known), missing, unused))
    return unflatten_dict(loaded)


def _key(place: tuple[str, ...]) -> str:
    key = reference_key(place)
    assert key is not None  # a backbone's parameters and statistics all have one
    return key


def _placed(value: jax.Array, leaf: jax.Array) -> jax.Array:
    """A value where `leaf` is, in its precision."""
    array = np.asarray(value).astype(leaf.dtype)
    return jax.make_array_from_callback(array.shape, leaf.sharding, lambda index: array[index])


def _check_missing(missing: list[str], weights: Weights, added: re.Pattern[str] | None) -> None:
    unexplained = [key for key in missing if added is None or not added.match(key)]
    if unexplained:
        raise JsslError(
            f'the weights lack {len(unexplained)} of its arrays, for example '
            f'{", ".join(unexplained[:3])}, and have keys such as '
            f'{", ".join(sorted(weights)[:3])}; give it the type, depth and widths that they were '
            'trained with.'
        )


def _fit(key: str, array: np.ndarray, leaf: jax.Array) -> np.ndarray:
    """A table of positions, or of relative ones, for the grid of `leaf`; all else as it is.

    The tables of the weights have the reference's layout: biases (entries, heads) are the other
    way round than here.
    """
    name = key.rpartition('.')[2]
    if name in TABLES and array.ndim == 3 and array.shape != leaf.shape:
        extra = TABLES[name]
        side = math.isqrt(leaf.shape[1] - extra)
        table = jnp.asarray(array)
        array = np.asarray(resize_positions(table, (side, side), extra_tokens=extra))
    elif name == BIASES and array.ndim == 2 and array.shape != leaf.shape[::-1]:
        array = _resize_biases(array, leaf.shape[1])
    return array


def _resize_biases(table: np.ndarray, entries: int) -> np.ndarray:
    """Biases (old entries, heads) for a square with as many as `entries` relative positions.

    A class token's three come last. Without them the number of entries is the square of an odd one.
    """
    own = 0 if entries % 2 else 3
    side = math.isqrt(entries - own)
    places = jnp.asarray(table[: len(table) - own])[None]
    resized = resize_positions(places, (side, side), extra_tokens=0)[0]
    return np.concatenate([resized, table[len(table) - own :]])


def _in_words(path: str, loaded: int, added: list[str], unused: list[str]) -> str:
    parts = [f'backbone from {path}: {loaded} arrays']
    for what, keys in (('new here', added), ('not used', unused)):
        if keys:
            rest = f' and {len(keys) - 4} more' if len(keys) > 4 else ''
            parts.append(f'{what}: {", ".join(sorted(keys)[:4])}{rest}')
    return '; '.join(parts)
