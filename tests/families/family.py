"""What a family says, and what several share: names of timm, sizes of a network."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jssl.algorithm import Algorithm
from jssl.optim.optimizers import Optimizer
from tests import golden

LONG = 10**9  # epochs of a run in which a schedule does not leave its first value


# How timm and the repositories after it call the parts of a vision transformer.
TIMM = {
    'patch_embed.projection': 'patch_embed.proj',
    'ffn.layers.0.0': 'mlp.fc1',
    'ffn.layers.1': 'mlp.fc2',
    'ffn': 'mlp',
    'gamma_1': 'ls1.gamma',
    'gamma_2': 'ls2.gamma',
    'layers': 'blocks',
    'ln1': 'norm1',
    'ln2': 'norm2',
}


@dataclasses.dataclass(frozen=True)
class Family:
    """An algorithm of another repository.

    Attributes:
      make: a file -> our algorithm, told its run.
      places: how the path of an array begins here -> there; of ``{'params': …, 'state': …}``.
      renamed: how names of timm end that are others there -> how they end there.
      step: settings of a file -> the number of its single step.
      optimizer: settings of a trajectory -> its optimizer; the rate and the decay are the file's.
      metrics: what a term of the loss is called there -> our metric.
      unread: patterns of settings that say again what others do.
      more: a file and its inputs -> what else the batch has, made of recorded draws.
      unused: how keys begin that are there whether they are used or not.
      fixed: how keys end of tables that are the same in every model.
      twice: how keys begin that may be there a second time -> how they begin then.
      only_there: patterns of what was captured on the way and is not made here.
      vectors: keys that have a first axis of one entry there, and not here.
      stacked: how the names of recorded inputs begin, of which there are several -> the entry of
        the batch that has them all, along its second axis.
    """

    make: Callable[[golden.File], Algorithm]
    places: Mapping[str, str]
    renamed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    step: Callable[[golden.Meta], int] = lambda meta: 0
    optimizer: Callable[[golden.Meta], Optimizer] | None = None
    metrics: Mapping[str, str] = dataclasses.field(default_factory=dict)
    more: Callable[[golden.File, dict[str, np.ndarray]], dict[str, Any]] = lambda saved, inputs: {}
    vectors: tuple[str, ...] = ()
    stacked: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unused: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    twice: Mapping[str, str] = dataclasses.field(default_factory=dict)
    only_there: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def of_timm(key: str) -> str:
    """The key of an array in a part, in timm's words if that is of a vision transformer."""
    head = '.backbone' if key.startswith('.backbone.') else ''
    rest = key.removeprefix(head)
    if not rest.startswith(('.layers.', '.patch_embed.', '.ln1.', '.predictor_blocks.')):
        return key
    if rest.startswith('.ln1.'):  # the one after the last block
        return f'{head}.norm.{rest.removeprefix(".ln1.")}'
    for ours, theirs in TIMM.items():
        rest = f'{rest}.'.replace(f'.{ours}.', f'.{theirs}.')[:-1]
    return f'{head}{rest}'


def vision_transformer(model: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a vision transformer of that size."""
    arch = {
        'embed_dims': model['embed_dim'],
        'num_layers': model['depth'],
        'num_heads': model['num_heads'],
        'feedforward_channels': 4 * model['embed_dim'],
    }
    return {'arch': arch, 'img_size': model['img_size'], 'patch_size': model['patch_size']}
