"""Beginning a run with the backbone of another one, or with published weights.

`config.pretrained` is the directory of a run, a `backbone.safetensors`, or weights by others, whose
layout `config.layout` says where their names do not. What fits is loaded; position tables are
resized to the images of this run, and what does not fit is an error that says what does not.
"""

import dataclasses
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn

from jssl.algorithm import KEPT, Keeps, TrainState, part_of
from jssl.data.loading.identity import Listing, describe_change, identity_in, same
from jssl.errors import JsslError
from jssl.fitting.misfit import remedy
from jssl.fitting.normalization import Normalization, stated, tell_other
from jssl.fitting.placing import BIASES, Weights, place_weights
from jssl.interop.bring import bring, weights_in
from jssl.interop.layouts import find
from jssl.interop.metadata import parsed, read_metadata
from jssl.interop.mmselfsup import export_state
from jssl.interop.safetensors import PREFIX, has_backbone, load_backbone
from jssl.paths import expanded
from jssl.runs.checkpoints import read_parts
from jssl.runs.sameness import KEEPS
from jssl.runs.workdir import CHECKPOINTS, CONFIG, read_config
from jssl.training.experiment import Experiment

WEIGHTS = 'backbone.safetensors'
# What fine-tuning adds to a pre-trained vision transformer: the norm of its averaged tokens, and
# biases by relative position; and what training with masks adds to one without.
ADDED = re.compile(rf'backbone\.(ln2\.|mask_token$|layers\.\d+\.attn\.{BIASES}$)')


class Source(NamedTuple):
    """What lies at a path.

    Attributes:
      weights: by the reference's names, with `backbone.` in front.
      normalization: of the images that their network has seen; None where that remains unknown.
    """

    weights: Weights
    normalization: Normalization | None


def load_backbone_into(
    train_state: TrainState,
    backbone: nn.Module | None,
    weights: Weights,
    path: str,
    report: Callable[[str], None] = print,
) -> TrainState:
    """The train state with the backbone that was read in place of the fresh one.

    Teachers in the state that have a backbone begin with the same one.

    Args:
      train_state: with an entry `backbone` in its parameters; each array keeps its place.
      backbone: of the algorithm, see `place_weights`; None where it has none.
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
        network = _begun(network, backbone, weights, path, report)
    except JsslError as error:
        raise JsslError(
            f'config.pretrained={path!r} does not fit config.model.backbone: {error}'
            f'{remedy(path, backbone)}'
        ) from error
    for name, entry in train_state.state.items():
        if isinstance(entry, Mapping) and has_backbone(entry.get('params')):
            network[name] = _begun(entry, backbone, weights, path, lambda line: None)
    params = network.pop('params')
    return dataclasses.replace(train_state, params=params, state=network)


def _begun(
    network: Mapping[str, Any],
    backbone: nn.Module | None,
    weights: Weights,
    path: str,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """A dict with `params` and maybe `batch_stats`, by part, with the backbone that was read."""
    params, stats = network['params'], network.get('batch_stats', {})
    places = {
        'params': {'backbone': params['backbone']},
        'state': {'batch_stats': {'backbone': stats.get('backbone', {})}},
    }
    loaded = place_weights(weights, places, backbone, report, path, added=ADDED)
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
    if _is_file(str(run)) or not os.path.isfile(there / CONFIG):
        return
    theirs = read_config(there)
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


def check_weights(path: str, layout: str) -> None:
    """Raises a `JsslError` unless weights may lie at `path`, in `layout` if that is not empty."""
    check_there(path)
    if layout and not (path and _is_file(path)):
        raise JsslError(
            f'config.layout={layout!r} says whose names a file of weights has, and config.'
            f'pretrained={path!r} is none. Leave config.layout empty, or give a file: '
            f'--config.pretrained=FILE --config.layout={layout}.'
        )
    if layout:
        find(layout)


def _is_file(path: str) -> bool:
    found = expanded(path)
    return not os.path.isdir(found) or weights_in(found) != found


def read_weights(
    path: str, report: Callable[[str], None] = print, backbone: Any = None, layout: str = ''
) -> Weights:
    """The arrays of a backbone by the reference's names, with `backbone.` in front.

    Args:
      path: the directory of a run, a `backbone.safetensors`, or a .safetensors or .npz file of a
        backbone or of a whole model, in any layout of `jssl.interop.layouts`.
      report: is told in a sentence which layout that is, if it is not the reference's.
      backbone: that they are for; how it differs in what no array tells is told too.
      layout: of a file; empty recognises it.

    Raises:
      JsslError: there is nothing at `path` that can be read.
    """
    return read_source(path, report, backbone, layout).weights


def read_source(
    path: str, report: Callable[[str], None], backbone: Any = None, layout: str = ''
) -> Source:
    """As `read_weights`, with what is known of the images that the network has seen."""
    if not _is_file(path):
        run = expanded(path)
        return Source(_of_run(run), stated(_section_of_run(run), {}))
    brought = bring(path, layout or None)
    if brought.is_foreign:
        report(brought.said)
        if differences := brought.differences(backbone):
            report(f'{path}: its network has {differences}')
    section = parsed(read_metadata(weights_in(expanded(path))), 'eval_view', path)
    return Source(prefixed(brought.arrays), stated(section, brought.view))


def _section_of_run(run: Path) -> Any:
    """How a run says that it prepares images; None where it does not."""
    return read_config(run)['config'].get('eval_view') if (run / CONFIG).is_file() else None


def prefixed(arrays: Weights) -> Weights:
    """The arrays of a backbone with `backbone.` in front, out of those of a whole model too."""
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


def with_pretrained(
    experiment: Experiment, fresh: TrainState, report: Callable[[str], None]
) -> TrainState:
    """The fresh state, with the backbone of `experiment.pretrained` where that is given."""
    path = experiment.pretrained
    if not path:
        return fresh
    backbone = getattr(experiment.algorithm, 'backbone', None)
    source = read_source(path, report, backbone, experiment.layout)
    begun = load_backbone_into(fresh, backbone, source.weights, path, report)
    places = {'config.views': experiment.views, 'config.eval_view': experiment.eval_view}
    tell_other(path, source.normalization, places, report)
    return begun
