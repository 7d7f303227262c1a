"""How another library names and shapes the arrays of a network: the way here and back."""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from jssl.errors import JsslError
from jssl.weights.names import UNREAD

Arrays = dict[str, np.ndarray]
Names = dict[str, str | tuple[str, ...]]
Network = dict[str, Any]
# The exact one, and its approximation by tanh, as Hugging Face or timm call it.
GELUS = {'gelu': 'gelu', 'gelu_pytorch_tanh': 'gelu_tanh', 'gelu_tanh': 'gelu_tanh'}
LEAF = r'(\.weight|\.bias|\.running_mean|\.running_var|\.num_batches_tracked|)'
NUMBER, ANY = re.escape('{}'), re.escape('*')
# The first convolution of every network.
STEMS = ('patch_embed.projection', 'stem.0.conv', 'downsample_layers.0.0', 'conv1')
MOST = 12  # arrays that a message lists
IMAGENET = {'mean': (123.675, 116.28, 103.53), 'std': (58.395, 57.12, 57.375)}


def _same(arrays: Arrays, network: Any = None) -> Arrays:
    """What needs no more than other names."""
    del network
    return arrays


def token_width(arrays: Mapping[str, np.ndarray]) -> int | None:
    """How wide the tokens of a vision transformer are."""
    kernel = arrays.get('patch_embed.projection.weight')
    return None if kernel is None or kernel.ndim != 4 else kernel.shape[0]


def channels_of(arrays: Mapping[str, np.ndarray]) -> int | None:
    """How many an image has, by the first convolution in our names; None where none is known."""
    kernels = (arrays.get(f'{name}.weight') for name in STEMS)
    return next((one.shape[1] for one in kernels if one is not None and one.ndim == 4), None)


def _nothing(config: Mapping[str, Any]) -> dict[str, Any]:
    del config
    return {}


class Place(NamedTuple):
    """Where an array of theirs goes: which part it is, from 0, of how many in one array of ours."""

    ours: str
    part: int
    parts: int


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """How another library has a network.

    Attributes:
      name: by which a command line calls it.
      title: in a sentence.
      describe: ``describe(arrays, fields)``, the network as a section of a config, from arrays in
        our names and from fields that are known otherwise; raises a `JsslError` if they are none.
      signs: theirs that every file has.
      absent: theirs that no file has.
      names: ours -> theirs, without a leaf that both have, such as `.weight` or `.running_var`.
        `{}` stands for a number that both have, `*` for one that only theirs has. Several of theirs
        lie one below the other in one array of ours, such as query, key and value. Empty where
        names are the same.
      also: further names that are read, and not written.
      wrappers: what may stand before all names of a file; the first that is there counts.
      apart: how theirs begin that are no part of the backbone.
      incoming: the last step of the way here, of arrays in our names.
      outgoing: ``outgoing(arrays, network)``, the first step of the way out.
      key_bias: whether the key has a bias there.
      kind: the class of backbones that it is for.
      fields: of the backbone, which no array tells.
      view: side in pixels that images are evaluated at, where it is not that of the table.
      activations: by their names there those that its networks have here.
      gate: whose activation is told too; others have a silu, whatever is told of them.
      told: fields of the backbone that Hugging Face's config beside the file tells, where they are
        other ones than of a vision transformer.
      width: of its features, given arrays in our names; a config beside a file with another one is
        not the file's. None for what is none.
      images: their mean and deviation as fields of `CenterView`, where all that are published in
        this layout have the same.
    """

    name: str
    title: str
    describe: Callable[[Arrays, Mapping[str, Any]], Network]
    signs: tuple[str, ...]
    names: Mapping[str, str | tuple[str, ...]] = dataclasses.field(default_factory=dict)
    also: tuple[Mapping[str, str | tuple[str, ...]], ...] = ()
    absent: tuple[str, ...] = ()
    wrappers: tuple[str, ...] = ('',)
    apart: tuple[str, ...] = ()
    incoming: Callable[[Arrays], Arrays] = _same
    outgoing: Callable[[Arrays, Any], Arrays] = _same
    key_bias: bool = True
    kind: str = 'VisionTransformer'
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    view: int | None = None
    activations: Mapping[str, str] = dataclasses.field(default_factory=lambda: dict(GELUS))
    gate: bool = False
    told: Callable[[Mapping[str, Any]], dict[str, Any]] = _nothing
    width: Callable[[Mapping[str, np.ndarray]], int | None] = token_width
    images: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def wrapper_in(self, keys: Iterable[str], certain: bool = False) -> str | None:
        """What stands before the names of a file in this layout; None for a file in another.

        Args:
          keys: all names.
          certain: whether the layout is known otherwise, so that the first sign will do: networks
            of ours may be without others.
        """
        known = set(keys)
        signs = self.signs[:1] if certain else self.signs
        return next((one for one in self.wrappers if self._has_signs(known, one, signs)), None)

    def wrappers_in(self, keys: Iterable[str]) -> list[str]:
        """Whatever else stands before names in this layout, once for each network of the file."""
        known, first = set(keys), self.signs[0]
        found = sorted(key.removesuffix(first) for key in known if key.endswith(f'.{first}'))
        return [one for one in found if self._has_signs(known, one, self.signs)]

    def _has_signs(self, known: set[str], wrapper: str, signs: tuple[str, ...]) -> bool:
        excluded = any(wrapper + name in known for name in self.absent)
        return not excluded and all(wrapper + sign in known for sign in signs)

    def bring(self, weights: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Arrays in our names, and those in theirs that have no place, which are not read.

        Args:
          weights: in their names, without a wrapper.

        Raises:
          JsslError: a part of an array is missing, or comes twice.
        """
        if not self.names:
            inside = [key for key in weights if not key.startswith(self.apart)]
            return {key: np.asarray(weights[key]) for key in inside}, {}
        found: dict[str, dict[int, Any]] = {}
        counts: dict[str, int] = {}
        strange = {}
        for key, value in weights.items():
            place = self._place(key)
            if place is None:
                if not key.startswith(self.apart) and not key.endswith(UNREAD):
                    strange[key] = value
                continue
            if place.part in found.setdefault(place.ours, {}):
                raise JsslError(f'{key!r} comes a second time, under another name.')
            found[place.ours][place.part] = value
            counts[place.ours] = place.parts
        joined = {ours: _joined(ours, found.pop(ours), counts[ours]) for ours in list(found)}
        return self.incoming(joined), strange

    def send(self, arrays: Mapping[str, np.ndarray], network: Any) -> Arrays:
        """Arrays in their names.

        Args:
          arrays: of a backbone, in our names.
          network: the module that they belong to.

        Raises:
          JsslError: this layout has no place for some of them.
        """
        sent: Arrays = {}
        strange = {}
        for key, value in self.outgoing(dict(arrays), network).items():
            theirs = self._theirs(key)
            if theirs is None:
                strange[key] = value
            elif len(theirs) == 1:
                sent[theirs[0]] = value
            else:
                parts = np.split(value, len(theirs))
                pairs = list(zip(theirs, parts, strict=True))
                dropped = not self.key_bias and key.endswith('.bias')
                sent |= dict(pairs[::2] if dropped else pairs)
        if strange:
            raise JsslError(
                f'{self.title} has no place for {listed(strange)}; export it as safetensors, which '
                'jssl.load reads.'
            )
        return {key: np.asarray(value, order='C') for key, value in sent.items()}

    def activation(self, told: Any, gated: bool) -> dict[str, Any]:
        """The field of the backbone for an activation that a config tells.

        Raises:
          JsslError: its networks have another one here.
        """
        if told is None or (gated and not self.gate):
            return {}
        known = {'silu': 'silu'} if gated else self.activations
        if told not in list(known):
            raise JsslError(
                f'Its config.json tells the activation {told!r}, where this network has one of '
                f'{", ".join(known)} in jssl.'
            )
        return {'activation': known[told]} if len(known) > 1 else {}

    def _place(self, theirs: str) -> Place | None:
        for pattern, ours, part, parts in self._patterns:
            if match := pattern.fullmatch(theirs):
                *numbers, leaf = match.groups()
                return Place(ours.format(*numbers) + leaf, part, parts)
        return None

    def _theirs(self, ours: str) -> tuple[str, ...] | None:
        if not self.names:
            return (ours,)
        for pattern, theirs in self._ways_out:
            if match := pattern.fullmatch(ours):
                *numbers, leaf = match.groups()
                return tuple(name.format(*numbers) + leaf for name in theirs)
        return None

    @functools.cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str, int, int]]:
        return [
            (_pattern(name), ours, part, len(theirs))
            for names in (self.names, *self.also)
            for ours, theirs in _tuples(names)
            for part, name in enumerate(theirs)
        ]

    @functools.cached_property
    def _ways_out(self) -> list[tuple[re.Pattern[str], tuple[str, ...]]]:
        return [(_pattern(ours), theirs) for ours, theirs in _tuples(self.names)]


def listed(arrays: Mapping[str, np.ndarray]) -> str:
    """Names and shapes, as a part of a sentence."""
    shown = [f'{key!r} {np.shape(value)}' for key, value in list(arrays.items())[:MOST]]
    more = f' and {len(arrays) - MOST} more' if len(arrays) > MOST else ''
    return ', '.join(shown) + more


def shape_of(arrays: Mapping[str, np.ndarray], key: str, axes: int) -> tuple[int, ...]:
    """The shape of an array that has to be there.

    Raises:
      JsslError: it is not, or has another number of axes, or one without entries.
    """
    if key not in arrays:
        raise JsslError(f'The weights lack what jssl calls {key!r}.')
    shape = np.shape(arrays[key])
    if len(shape) != axes or 0 in shape:
        raise JsslError(f'What jssl calls {key!r} has shape {shape}, and not {axes} axes.')
    return shape


def count(arrays: Mapping[str, np.ndarray], before: str) -> int:
    """How many numbers follow each other, from 0, after `before` in the names of arrays.

    Raises:
      JsslError: one between them is missing, or there are none.
    """
    texts = {key.removeprefix(before).split('.')[0] for key in arrays if key.startswith(before)}
    found = sorted(int(text) for text in texts if text.isdecimal() and len(text) < 6)
    if not found or found != list(range(len(found))):
        raise JsslError(
            f'The weights have the blocks {", ".join(map(str, found[:MOST])) or "none"} of what '
            f'jssl calls {before!r}, which do not follow each other from 0.'
        )
    return len(found)


def count_alike(arrays: Mapping[str, np.ndarray], before: str) -> int:
    """As `count`, of blocks that all have arrays of the same names.

    Raises:
      JsslError: one lacks what another has.
    """
    number = count(arrays, before)
    inside: dict[str, set[str]] = {}
    for key in arrays:
        if key.startswith(before):
            block, _, name = key.removeprefix(before).partition('.')
            inside.setdefault(name, set()).add(block)
    for name, blocks in inside.items():
        if len(blocks) < number:
            lacking = next(index for index in range(number) if str(index) not in blocks)
            raise JsslError(f'The weights lack what jssl calls {f"{before}{lacking}.{name}"!r}.')
    return number


def inside(ours: str, theirs: str, names: Mapping[str, str | tuple[str, ...]]) -> Names:
    """The names of a module of ours and theirs, given those within it."""
    return {
        f'{ours}.{name}': tuple(f'{theirs}.{one}' for one in others)
        for name, others in _tuples(names)
    }


def _tuples(names: Mapping[str, str | tuple[str, ...]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for ours, theirs in names.items():
        yield ours, (theirs,) if isinstance(theirs, str) else theirs


def _pattern(name: str) -> re.Pattern[str]:
    text = re.escape(name).replace(NUMBER, r'(\d{1,5})').replace(ANY, r'\d{1,5}')
    return re.compile(text + LEAF, re.ASCII)


def _joined(ours: str, unread: Mapping[int, Any], wanted: int) -> np.ndarray:
    """An array of ours made of its parts, which are read here; a bias that is not there is 0."""
    parts = {number: np.asarray(part) for number, part in unread.items()}
    if wanted == 1:
        return parts[0]
    some = next(iter(parts.values()))
    shapes = {np.shape(part) for part in parts.values()}
    if len(shapes) > 1 or not some.ndim or (len(parts) < wanted and not ours.endswith('.bias')):
        raise JsslError(
            f'What jssl calls {ours!r} is made of {wanted} arrays of one shape, and the weights '
            f'have {len(parts)}, of {", ".join(map(str, sorted(shapes)))}.'
        )
    return np.concatenate([parts.get(part, np.zeros_like(some)) for part in range(wanted)])
