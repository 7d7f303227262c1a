"""Which parameters get their own learning rate, weight decay, momentum or no layer adaptation.

A parameter's name is its path in the parameters, joined by dots, as in
``backbone.layer2.0.downsample.1.scale``. Keys pick parameters by a part of that, as in MMEngine.
"""

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax

from jssl.checks import BelowOne, Checked, Count, NonNegative, check_value, constrained
from jssl.errors import JsslError, suggest

CustomKeys = Mapping[str, Mapping[str, Any]]

# The usual rule of LARS: batch norms (`downsample.1` is the shortcut's) and biases are not decayed
# and have the plain learning rate.
NO_DECAY_NO_ADAPT: dict[str, dict[str, Any]] = {
    key: {'decay_mult': 0.0, 'lars_exclude': True} for key in ('bn', 'bias', 'downsample.1')
}


@dataclasses.dataclass(frozen=True)
class ParameterGroup(Checked):
    """How an optimizer treats a parameter.

    Attributes:
      lr_mult: multiplies the base learning rate.
      decay_mult: multiplies the weight decay.
      momentum: replaces the optimizer's momentum; None keeps it.
      lars_exclude: whether LARS uses the plain learning rate.
      fix_lr: whether the learning rate keeps its base value whatever the schedule.
      frozen_epochs: epochs at the start of the run in which the optimizer skips the parameter: no
        decay, no moments, no counting of steps (Caron et al. 2021, DINO's last layer).
      zero_lr_epochs: epochs at the start of the run in which its rate is 0, while moments gather
        (Oquab et al. 2023, DINOv2's last layer).
      frozen: whether the parameter stays as it is.
      steps_per_epoch: optimizer steps in an epoch.
    """

    lr_mult: NonNegative = 1.0
    decay_mult: NonNegative = 1.0
    momentum: BelowOne | None = None
    lars_exclude: bool = False
    fix_lr: bool = False
    frozen_epochs: NonNegative = 0
    zero_lr_epochs: NonNegative = 0
    frozen: bool = False
    steps_per_epoch: Count = 1

    @property
    def frozen_steps(self) -> int:
        """The steps in which the optimizer skips the parameter."""
        return round(self.frozen_epochs * self.steps_per_epoch)

    @property
    def zero_lr_steps(self) -> int:
        """The steps in which its rate is 0."""
        return round(self.zero_lr_epochs * self.steps_per_epoch)


def check_custom_keys(custom_keys: CustomKeys, entries: Iterable[str]) -> None:
    """Raises a `JsslError` unless every key has a group made of `entries`, within their ranges."""
    for key, group in custom_keys.items():
        if not isinstance(key, str):
            raise JsslError(
                f'optimizer.custom_keys has the key {key!r}, which is no text; write a part of a '
                f"parameter's name, in quotes, such as {{'bias': {group!r}}}."
            )
        if not isinstance(group, Mapping):
            raise JsslError(
                f'optimizer.custom_keys[{key!r}] is {group!r}; make it a dict such as '
                "{'decay_mult': 0.0}."
            )
        check_group(f'optimizer.custom_keys[{key!r}]', group, entries)


def check_group(name: str, group: Mapping[str, Any], entries: Iterable[str]) -> None:
    """Raises a `JsslError` about `name` unless a group is made of `entries`, in their ranges."""
    valid, ranges = frozenset(entries), constrained(ParameterGroup)
    for entry, value in group.items():
        if entry not in valid:
            raise JsslError(
                f'{name} has the entry {entry!r}, which this optimizer does not know. '
                f'{suggest(str(entry), valid)}'
            )
        check_value(f'{name}.{entry}', value, ranges.get(entry))


def parameter_groups(
    params: Any,
    custom_keys: CustomKeys,
    *,
    vectors: Mapping[str, Any] | None = None,
    steps_per_epoch: int = 1,
    is_frozen: Callable[[str], bool] | None = None,
    get_layer_depth: Callable[[str], tuple[int, int]] | None = None,
    layer_decay_rate: float | None = None,
) -> Any:
    """The group of every parameter.

    Keys are tried longest first, equally long ones in alphabetical order; the first that is a part
    of the parameter's name decides alone. With layer decay it is the last one tried, the shortest,
    as the reference has it; its `lr_mult` is then multiplied by rate^(depths - 1 - depth).

    Args:
      params: pytree of arrays.
      custom_keys: for each key the fields of `ParameterGroup` that differ from the default.
      vectors: those of parameters of one dimension, biases and the scales of norms; what a key says
        of one goes before.
      steps_per_epoch: optimizer steps in an epoch.
      is_frozen: name of a parameter -> whether it stays as it is; None freezes nothing.
      get_layer_depth: name of a parameter -> how deep it lies, and the number of depths.
      layer_decay_rate: of the learning rates from each layer to the one before it (Bao et al. 2022,
        BEiT); None for no layer decay.

    Returns:
      A pytree of `ParameterGroup` with the structure of `params`.

    Raises:
      JsslError: if a key is part of no parameter's name.

    Examples:
      >>> import jax.numpy as jnp
      >>> params = {'patch_embed': jnp.ones((2, 2)), 'bias': jnp.ones(2)}
      >>> keys = {'patch_embed': {'lr_mult': 0.2}}  # by name, and what is left by shape
      >>> groups = parameter_groups(params, keys, vectors={'decay_mult': 0.0})
      >>> groups['patch_embed'].lr_mult, groups['patch_embed'].decay_mult, groups['bias'].decay_mult
      (0.2, 1.0, 0.0)
    """
    keys = sorted(custom_keys, key=lambda key: (-len(key), key))
    _check_matched(keys, [name_of(path) for path, _ in jax.tree.leaves_with_path(params)])

    if layer_decay_rate is not None:
        keys.reverse()

    def group(path: Any, value: Any) -> ParameterGroup:
        name = name_of(path)
        key = next((key for key in keys if key in name), None)
        fields = {**(vectors or {} if value.ndim <= 1 else {}), **custom_keys.get(key or '', {})}
        group = ParameterGroup(**fields, steps_per_epoch=steps_per_epoch)
        if get_layer_depth is not None and layer_decay_rate is not None:
            depth, depths = get_layer_depth(name)
            lr_mult = group.lr_mult * layer_decay_rate ** (depths - 1 - depth)
            group = dataclasses.replace(group, lr_mult=lr_mult)
        return dataclasses.replace(group, frozen=is_frozen is not None and is_frozen(name))

    return jax.tree.map_with_path(group, params)


def name_of(path: Any) -> str:
    """The name of a parameter: its path in the tree, joined by dots."""
    return jax.tree_util.keystr(path, simple=True, separator='.')


def _check_matched(keys: list[str], names: list[str]) -> None:
    for key in keys:
        if not any(key in name for name in names):
            close = _close_names(key, names)
            raise JsslError(
                f'optimizer.custom_keys has the key {key!r}, which is part of no parameter name. '
                f'Correct it or remove it; names that come close: {", ".join(close)}.'
            )


def _close_names(key: str, names: list[str]) -> list[str]:
    """Up to three of `names`, those first that have a part like `key`."""
    length = key.count('.') + 1

    def likeness(name: str) -> float:
        words = name.split('.')
        parts = ('.'.join(words[i : i + length]) for i in range(len(words)))
        return max(difflib.SequenceMatcher(None, key, part).ratio() for part in parts)

    return sorted(names, key=likeness, reverse=True)[:3]
