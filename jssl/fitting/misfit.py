"""What to type so that a config has the network of weights that do not fit it."""

import os
from collections.abc import Mapping
from typing import Any

from jssl import backbones
from jssl.errors import JsslError
from jssl.interop.bring import as_typed, bring, weights_in
from jssl.interop.metadata import parsed, read_metadata
from jssl.paths import expanded
from jssl.runs.workdir import read_config

SECTION = '--config.model.backbone'
FREE = ('img_size', 'dtype')  # may differ: tables of positions are resized


def remedy(path: str, backbone: Any) -> str:
    """A sentence with the arguments that make `backbone` the network of the weights at `path`.

    It begins with a space, and is empty where the network of the weights remains unknown, or what
    they say of it is what `backbone` has.

    Args:
      path: of a run, or of a file or folder of weights.
      backbone: the module of the config. One that is a relative of the network, as `MAEViT` is of
        `VisionTransformer`, stays and gets fields; for any other the whole section is given.
    """
    try:
        network = dict(_network(path) or {})
    except JsslError:
        return ''
    network = {field: value for field, value in network.items() if field not in FREE}
    if 'type' not in network:
        return ''
    if not _is_relative(backbone, network['type']):
        return _said('network', [f"{SECTION}='{as_typed(network)}'"])
    typed = [
        f"{SECTION}.{field}='{as_typed(value)}'"
        for field, value in network.items()
        if field != 'type' and value is not None and getattr(backbone, field, value) != value
    ]
    return _said('fields', typed) if typed else ''


def _said(what: str, typed: list[str]) -> str:
    text = ' '.join(typed)
    heads = (
        ', with its number of heads in place of the question mark' if 'num_heads=?' in text else ''
    )
    return f' Give it the {what} of the weights{heads}: {text}'


def _is_relative(backbone: Any, name: Any) -> bool:
    """Whether jssl's backbone called `name` is another class than `backbone`, with a common one."""
    theirs = getattr(backbones, str(name), None)
    if not isinstance(theirs, type) or type(backbone) is theirs:
        return False
    common = set(type(backbone).__mro__) & set(theirs.__mro__)
    return any(kind.__module__.startswith(f'{backbones.__name__}.') for kind in common)


def _network(path: str) -> Mapping[str, Any] | None:
    """The section of a config that describes the network of weights, as far as they tell."""
    file = weights_in(expanded(path))
    if os.path.isdir(file):
        model = read_config(file)['config'].get('model')
        return model.get('backbone') if isinstance(model, Mapping) else None
    said = parsed(read_metadata(file), 'backbone', path)
    return said if isinstance(said, Mapping) else bring(path).network
