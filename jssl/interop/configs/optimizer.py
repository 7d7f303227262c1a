"""The optimizer of a config, and its rules for single parameters.

Newer releases pick parameters by a part of their names, as jssl does, or by the kind of their
layer; release 0.x by regular expressions, of which all that match count, the last one most.
"""

import dataclasses
import re
from typing import Any

from jssl.errors import show
from jssl.interop.configs.notes import Fields
from jssl.interop.model_dicts import bare

TYPES = ('SGD', 'LARS', 'AdamW')
PLAIN = {
    'SGD': ('momentum', 'nesterov', 'dampening'),
    'LARS': ('momentum', 'nesterov', 'dampening', 'eta', 'eps'),
    'AdamW': ('betas', 'eps'),
}
# A regular expression that is read: an anchor, letters, groups of words, a number that may be left
# out. Nothing in it can take long to match.
READ = re.compile(r'(?:\\A|\^)?(?:[\w-]|\\?\.|\(\w+(?:\|\w+)*\)|\(\\d\+\)\?|\\d\+)*\$?')
LONGEST = 200
LAYERED = 'LearningRateDecayOptimWrapperConstructor'
Config = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter as the rules of the reference see it.

    Attributes:
      name: that it has there, such as ``backbone.bn1.weight``.
      dims: how many its axes are.
      of_norm: whether its layer is a norm.
    """

    name: str
    dims: int
    of_norm: bool


@dataclasses.dataclass
class Rules:
    """What an optimizer of the reference does with single parameters.

    Attributes:
      keys: parts of names -> settings; of those that match the longest counts alone.
      patterns: regular expressions -> settings; all that match count, in their order.
      norm_decay, bias_decay, flat_decay: multipliers of the decay of norms, of other layers'
        biases, and of what else has one axis; where no key matches. None for no rule.
    """

    keys: dict[str, Config] = dataclasses.field(default_factory=dict)
    patterns: dict[str, Config] = dataclasses.field(default_factory=dict)
    norm_decay: float | None = None
    bias_decay: float | None = None
    flat_decay: float | None = None

    def settings(self, parameter: Parameter) -> Config:
        """The settings of a parameter that differ from those of all."""
        if self.patterns:
            found: Config = {}
            for pattern, settings in self.patterns.items():
                if re.search(pattern, parameter.name):
                    found |= settings
            return found
        keys = sorted(sorted(self.keys), key=len, reverse=True)
        key = next((key for key in keys if key in parameter.name), None)
        if key is not None:
            return self.keys[key]
        decay = self._decay(parameter)
        return {} if decay is None else {'decay_mult': decay}

    def _decay(self, parameter: Parameter) -> float | None:
        if parameter.of_norm:
            return self.norm_decay
        if parameter.name.rpartition('.')[2] == 'bias':
            return self.bias_decay
        return self.flat_decay if parameter.dims == 1 else None


def settings(fields: Fields, base: Config) -> Config:
    """The settings of an optimizer for all parameters.

    Args:
      fields: of its dict.
      base: more fields, such as a bound of the gradient.
    """
    name = bare(fields.take('type', ''))
    if name not in TYPES:
        fields.miss('type', name, f'the optimizers known are {", ".join(TYPES)}')
        name = TYPES[0]
    if 'lr' not in fields and name != 'AdamW':
        raise fields.wrong('lr', None, f'a number, for {name} has no usual one')
    made = {'type': name, 'lr': fields.number('lr', default=0.001)}
    decay = fields.number('weight_decay', default=0.01 if name == 'AdamW' else 0.0)
    made |= {'weight_decay': decay}
    for key in PLAIN[name]:
        if key in fields:
            value = fields.take(key)
            made[key] = tuple(value) if isinstance(value, list) else value
    fields.ignore('paramwise_options', 'constructor')
    fields.finish()
    return made | base


def clip(fields: Fields) -> Config:
    """The bound of the gradient's norm."""
    if fields.section.get('max_norm') is None:
        fields.finish()
        return {}
    bound = fields.number('max_norm', default=0.0)
    fields.only('norm_type', 2, 2.0)
    fields.ignore('error_if_nonfinite')
    fields.finish()
    return {'clip': float(bound)}


def layer_decay(wrapper: Fields, paramwise: Fields, pretrain: bool) -> Config:
    """The decay of the rates from layer to layer, as MMPretrain's constructor of groups has it.

    MMSelfSup 1.x has one of the same name with rules of its own, which is not read.
    """
    name = str(wrapper.section.get('constructor'))
    scope = name.rpartition('.')[0] or ('mmpretrain' if pretrain else '')
    if (scope, bare(name)) != ('mmpretrain', LAYERED):
        wrapper.only('constructor', None, 'DefaultOptimWrapperConstructor')
        return {}
    wrapper.ignore('constructor')
    rate = paramwise.number('layer_decay_rate', default=1.0)
    return {} if rate == 1 else {'layer_decay_rate': float(rate)}


def rules(fields: Fields) -> Rules:
    """The rules of newer releases (`paramwise_cfg`)."""
    keys = fields.inner('custom_keys')
    found = {key: dict(keys.inner(key).section) for key in keys.section}
    made = Rules(
        keys=found,
        norm_decay=_multiplier(fields, 'norm_decay_mult'),
        bias_decay=_multiplier(fields, 'bias_decay_mult'),
        flat_decay=_multiplier(fields, 'flat_decay_mult'),
    )
    fields.ignore('bypass_duplicate')
    fields.finish()
    return made


def _multiplier(fields: Fields, key: str) -> float | None:
    return None if fields.take(key) is None else fields.number(key, default=1.0)


def rules_of_options(fields: Fields, lr: float, decay: float) -> Rules:
    """The rules of release 0.x (`paramwise_options`), with multipliers for what they set."""
    patterns: dict[str, Config] = {}
    for pattern in fields.section:
        if len(pattern) > LONGEST or not READ.fullmatch(pattern):
            text = 'of regular expressions those with names, (a|b), (\\d+)? and \\A are read'
            fields.miss(pattern, fields.section[pattern], text)
            continue
        inner = fields.inner(pattern)
        settings = dict(inner.section)
        for key, whole in (('weight_decay', decay), ('lr', lr)):
            if key in settings:
                value = inner.number(key, default=0.0)
                mult = {'weight_decay': 'decay_mult', 'lr': 'lr_mult'}[key]
                del settings[key]
                settings[mult] = round(value / whole, 12) if whole else 0.0
        if 'weight_decay_mult' in settings:
            settings['decay_mult'] = settings.pop('weight_decay_mult')
        patterns[pattern] = settings
    fields.ignore(*fields.section)
    fields.finish()
    return Rules(patterns=patterns)


def as_keys(found: Rules) -> tuple[dict[str, Config], Config]:
    """Rules as the `custom_keys` and the `vectors` of an optimizer of jssl.

    They may be other rules; compare what they do with the parameters of the model.
    """
    if found.patterns:
        return {part: s for p, s in found.patterns.items() for part in _parts(p)}, {}
    decays = {found.norm_decay, found.bias_decay}
    vectors: Config = {}
    if decays != {None} and None not in decays and len(decays) == 1:
        vectors = {'decay_mult': float(found.norm_decay or 0.0)}
    # A key that says nothing of the decay keeps it, here too.
    keep = {'decay_mult': 1.0} if vectors else {}
    return {key: keep | settings for key, settings in found.keys.items()}, vectors


def _parts(pattern: str) -> list[str]:
    """The parts of names that a regular expression of `READ` asks for, up to its first number."""
    pattern = pattern.removeprefix('\\A').removeprefix('^').removesuffix('$')
    head = re.match(r'\((\w+(?:\|\w+)*)\)', pattern)
    if head:
        return head.group(1).split('|')
    literal = re.match(r'(?:[\w-]|\\?\.)*', pattern)
    return [literal.group().replace('\\.', '.')] if literal else []


def shown(names: list[str]) -> str:
    """A few names, and how many there are."""
    return f'{len(names)}, such as {show(names[0])}'
