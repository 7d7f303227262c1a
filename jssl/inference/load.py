"""`jssl.load`: a trained network from the directory of a run, or from a file of weights."""

import dataclasses
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, cast

import flax.linen as nn

from jssl.algorithm import Algorithm
from jssl.augment.views import CenterView
from jssl.checks import Count, Side, check_value
from jssl.components import build_at
from jssl.data.reading.decoding import check_channels
from jssl.errors import JsslError, show
from jssl.evaluation.features import EvalView
from jssl.fitting.normalization import for_channels, stated, tell_other
from jssl.fitting.outcome import final_scores
from jssl.fitting.pretrained import WEIGHTS, prefixed, read_weights
from jssl.foreign import refuse_foreign
from jssl.inference.placing import Sizes, fitted
from jssl.inference.pretrained import Frozen, Pretrained
from jssl.interop.bring import Brought, bring, check_known, weights_in
from jssl.interop.metadata import LAYOUT, parsed, read_metadata
from jssl.kinds import MODEL, VIEW, Backbone
from jssl.paths import expanded
from jssl.precision import with_dtype
from jssl.runs.checkpoints import read_parts
from jssl.runs.datasets import told_data
from jssl.runs.describe import describe
from jssl.runs.metrics import METRICS, read_metrics
from jssl.runs.workdir import CHECKPOINTS, CONFIG, read_config

HINTS = {'model': Annotated[Any, MODEL], 'eval_view': Annotated[Any, VIEW], 'backbone': Backbone}
CANVAS = 2  # times the side of the view, where a file does not say it


def load(
    path: Path | str,
    *,
    backbone: nn.Module | Mapping[str, Any] | None = None,
    view: EvalView | None = None,
    trusted: Collection[str] = (),
    layout: str | None = None,
    report: Callable[[str], None] = print,
) -> Pretrained:
    """A trained network.

    Args:
      path: the --workdir of a run, of which the newest checkpoint that can be read is taken, else
        its backbone.safetensors; a .safetensors or .npz file of weights, in any layout of
        docs/guides/weights.md; or a folder of Hugging Face's with such a file.
      backbone: the network, for files that do not say it, as a module or as configs describe it,
        such as dict(type='ResNet', depth=50); its type, depth and widths must be those of the
        weights.
      view: how images are prepared, in place of what run or file say; files that say nothing have
        `CenterView()`, the usual 224 pixels of ImageNet.
      trusted: classes outside jssl that a run's config.json may name, as 'module:Class': a file
        runs no code that is not named here.
      layout: of a file, such as 'dino', where its names alone tell another.
      report: is told in a sentence which layout a file of others has.

    Returns:
      The network, with `features(images)`.

    Raises:
      JsslError: nothing that can be read is there, the weights are of another network, or it
        remains unknown which network they are for.

    Examples:
      >>> import jssl
      >>> network = jssl.load('runs/first')  # doctest: +SKIP
      >>> network.features('photo.jpg').shape  # doctest: +SKIP
      (64,)
    """
    found = expanded(path)
    if isinstance(trusted, str):
        raise JsslError(f'trusted={trusted!r} must be a list of names, such as [{trusted!r}].')
    backbone = _module(backbone)
    if not os.path.exists(found):  # which a name that is too long does not
        raise JsslError(
            f'{str(path)!r}: there is no such file or directory. Give the --workdir of a run, or '
            'a .safetensors or .npz file of weights.'
        )
    file = weights_in(found)
    if not file.is_dir():
        return _of_file(file, backbone, view, trusted, layout, report)
    if (found / CONFIG).is_file() and 'type' in _described(found).get('model', {}):
        return _of_run(found, view, trusted)
    if (found / WEIGHTS).is_file():
        return _of_file(found / WEIGHTS, backbone, view, trusted, layout, report)
    raise JsslError(
        f'{str(path)!r} is no run that can be loaded: it has no {CONFIG} that describes its model, '
        f'and no {WEIGHTS}. Give the --workdir of a run, or a .safetensors or .npz file of weights.'
    )


def _module(backbone: nn.Module | Mapping[str, Any] | None) -> nn.Module | None:
    """The network that a caller gives, which may be the section of a config that describes it.

    Raises:
      JsslError: it is neither, or the section describes none.
    """
    if isinstance(backbone, Mapping):
        try:
            return cast(nn.Module, build_at('backbone', HINTS['backbone'], _tidy(backbone)))
        except JsslError as error:
            raise JsslError(str(error).replace('config.backbone', 'backbone')) from error
    if backbone is not None and not isinstance(backbone, nn.Module):
        raise JsslError(
            f'backbone={show(backbone)} must be a Flax module, such as ResNet(depth=50) of '
            'jssl.backbones, or dict(type="ResNet", depth=50).'
        )
    return backbone


def _described(run: Path) -> dict[str, Any]:
    """The config of a run; 'model' in it is a dict, or missing."""
    config = read_config(run)['config']
    return config if isinstance(config.get('model', {}), Mapping) else {}


def _of_run(run: Path, view: EvalView | None, trusted: Collection[str]) -> Pretrained:
    """From config.json, and the newest checkpoint or else the exported backbone."""
    record = read_config(run)
    config, where = record['config'], f'{run / CONFIG}'
    made = built('model', config['model'], where, trusted)
    try:
        algorithm = with_dtype(made, config.get('dtype'))
    except JsslError as error:
        raise JsslError(f'{where}: {error}') from error
    if view is None:
        view = built('eval_view', config.get('eval_view'), where, trusted)
    size = _sizes(config, where)
    try:
        tree, step = read_parts(run / CHECKPOINTS, ('params',), ('state',))
    except JsslError:  # none is left
        if not (run / WEIGHTS).is_file():
            raise
        weights, metadata = read_weights(str(run)), read_metadata(run / WEIGHTS)
        params, state = fitted(algorithm.backbone, weights, view, size, str(run))
        algorithm = Frozen(algorithm.backbone)  # all that is left
    else:
        params, state = tree.get('params', {}), tree.get('state', {})
        metadata = facts(run, record, algorithm, view, size, step)
    return Pretrained(algorithm, params, state, view, *size, config=config, metadata=metadata)


def _sizes(config: Mapping[str, Any], where: str) -> Sizes:
    """Canvas and channels, as a file says them.

    Raises:
      JsslError: it says no canvas, or one that is none.
    """
    channels = config.get('channels', 3)
    try:
        check_value('canvas', config.get('canvas'), Side)
        check_value('channels', channels, Count)
        check_channels(channels)
    except JsslError as error:
        raise JsslError(f'{where}: {error}') from error
    return Sizes(config['canvas'], channels)


def facts(
    run: Path,
    record: Mapping[str, Any],
    algorithm: Algorithm,
    view: EvalView,
    size: Sizes,
    step: int,
) -> dict[str, str]:
    """What a file with the weights of a run says of itself."""
    config = record['config']
    found = (record.get('data') or {}).get('data') or {}
    return describe(
        getattr(algorithm, 'backbone', None),
        view,
        *size,
        algorithm=type(algorithm).__name__,
        steps=step,
        epochs=config.get('epochs'),
        batch_size=config.get('batch_size'),
        images=found.get('number'),
        data=told_data(config),
        scores=_scores(run) or None,
    )


def _scores(run: Path) -> dict[str, float]:
    """Those of the last evaluation; none where the metrics are gone or damaged."""
    try:
        return final_scores(read_metrics(run / METRICS))
    except JsslError:
        return {}


def _of_file(
    path: Path,
    backbone: nn.Module | None,
    view: EvalView | None,
    trusted: Collection[str],
    layout: str | None,
    report: Callable[[str], None],
) -> Pretrained:
    """From what the file says of itself, what its arrays tell, or what the caller says."""
    metadata = read_metadata(path)
    config = sections_in(metadata, str(path))
    brought = bring(path, layout)
    if brought.layout is not None and 'backbone' not in config:
        report(brought.said)
    if backbone is None:
        backbone = built('backbone', _network(config, brought, str(path)), str(path), trusted)
    if view is None:
        view = view_in(config, brought, str(path), trusted)
    else:
        theirs = stated(config.get('eval_view'), brought.view)
        tell_other(str(path), theirs, {'view': view}, report, _replaced)
    if view is None:
        raise JsslError(
            f'{str(path)!r} does not say how images are prepared for its network, since that '
            'was a function of its own. Give it, such as '
            f'jssl.load({str(path)!r}, view=CenterView(size=224)); it is in jssl.augment.views.'
        )
    size = sizes_in(config, brought, view, str(path))
    params, state = fitted(backbone, prefixed(brought.arrays), view, size, str(path))
    metadata = {**metadata, **describe(backbone, view, *size)}
    metadata.pop(LAYOUT, None)  # the names are ours now
    return Pretrained(
        Frozen(backbone), params, state, view, *size, config=config, metadata=metadata
    )


def _replaced(place: str, fields: Mapping[str, Any]) -> str:
    """A view with other fields, in Python."""
    changes = ', '.join(f'{name}={value}' for name, value in fields.items())
    return f'{place}=dataclasses.replace({place}, {changes})'


def sections_in(metadata: Mapping[str, str], path: str) -> dict[str, Any]:
    """What the file at `path` says of network and images: each section, or number, that it has.

    Raises:
      JsslError: one is no JSON.
    """
    names = ('backbone', 'eval_view', 'canvas', 'channels')
    found = {name: parsed(metadata, name, path) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def view_in(
    config: Mapping[str, Any], brought: Brought, path: str, trusted: Collection[str] = ()
) -> EvalView | None:
    """How images are prepared, as a file or else its layout says; None where it was a function.

    Raises:
      JsslError: what the file says is no such thing.
    """
    if 'eval_view' in config:
        view: EvalView = built('eval_view', config['eval_view'], path, trusted)
        return view
    return None if 'canvas' in config else usual_view(brought)


def usual_view(brought: Brought) -> CenterView:
    """That of the layout; images of other channels than it knows have the average of those.

    timm takes a kernel's average too, where it makes one for grey images of one for RGB.
    """
    view, channels = CenterView(**brought.view), brought.channels
    if channels is None or channels == len(view.mean):
        return view
    mean, std = (for_channels(one, channels) for one in (view.mean, view.std))
    return dataclasses.replace(view, mean=mean, std=std)


def sizes_in(config: Mapping[str, Any], brought: Brought, view: Any, path: str) -> Sizes:
    """Canvas and channels, as a file or else its arrays say them.

    Raises:
      JsslError: they are none.
    """
    known = {'canvas': CANVAS * getattr(view, 'resize', 256), 'channels': brought.channels or 3}
    return _sizes({**known, **config}, path)


def _network(config: Mapping[str, Any], brought: Brought, path: str) -> Any:
    """The section that describes the network of a file.

    Raises:
      JsslError: neither the file nor its arrays tell which that is.
    """
    if 'backbone' in config:
        return config['backbone']
    if brought.network is None:
        raise JsslError(
            f'{path!r} does not say which network its weights are for. Give it, such as '
            f"jssl.load({path!r}, backbone=ResNet(depth=50)), or --backbone='dict(type="
            '"ResNet", depth=50)\' to a command, with the type, depth and widths that they '
            'were trained with; jssl.backbones has the networks.'
        )
    check_known(brought.network, path)
    return brought.network


def built(
    name: str,
    section: Any,
    where: str,
    trusted: Collection[str] = (),
    remedy: Callable[[str, str], str] | None = None,
) -> Any:
    """What a section that a file holds describes; classes are looked up in jssl alone.

    Raises:
      JsslError: it describes nothing, or names a class that is not trusted.
    """
    refuse_foreign(section, name, where, trusted, remedy or _trust)
    try:
        return build_at(name, HINTS[name], _tidy(section))
    except JsslError as error:
        raise JsslError(f'{where}: {error}') from error


def _trust(place: str, name: str) -> str:
    del place
    return f'trusted=[{name!r}] to jssl.load, or --trust={name} to the command'


def _tidy(value: Any) -> Any:
    """Lists of JSON as tuples, which is what configs have."""
    if isinstance(value, Mapping):
        return {key: _tidy(part) for key, part in value.items()}
    return tuple(map(_tidy, value)) if isinstance(value, list) else value
