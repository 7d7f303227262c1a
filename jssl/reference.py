"""What a class says of itself in MMSelfSup, whose configs and weights come in and go out.

`jssl.interop` knows no class by name. It reads `reference` of the class that a config names, which
a subclass inherits, and asks an algorithm what the hooks of a config set of it.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jssl.errors import JsslError, suggest

Release = Callable[[dict[str, Any]], dict[str, Any]]
EVERYWHERE = ('priority', 'seed', 'dist_mode')  # where a hook stands, and how it is run
# What a cross entropy can be in a head here.
ENTROPY = {'use_sigmoid': False, 'use_soft': False, 'reduction': 'mean', 'class_weight': None}


@dataclasses.dataclass(frozen=True)
class Reference:
    """How MMSelfSup has a class, as far as that differs from its own name, fields and places.

    Attributes:
      types: further names of it in configs, such as 'DALL-E'.
      fields: what a field is called there -> here; None for one without a meaning here.
      fixed: fields there that have one value here; another one is refused.
      defaults: fields here -> the value that a dict without them means there, where it is another.
      losses: of a head, the losses that it can have there -> what their settings are called here.
      initial: the field that an `init_cfg` sets: 'init_std', 'kaiming_uniform' or 'weights'.
      epsilon: of its layer norms.
      keys: of an algorithm, places in its state -> how their keys begin in a checkpoint there, as
        in ``{'teacher.params.backbone': 'encoder_k.module.0'}``. What is not named is not saved.
      twice: modules that a checkpoint has a second time -> under which name.
      elsewhere: of an algorithm, how keys begin before MMSelfSup 1.0 or in MMPretrain -> how they
        do in 1.x.
      releases: how a dict of it in another release, '0.x' of MMSelfSup or 'mmpretrain', becomes one
        of MMSelfSup 1.x.
      norm: of what has batch norms, the type that it has where no `norm_cfg` is given.
      rows: of an algorithm, images of a sample that pass through a network at once; 0 where that
        differs from pass to pass.
      gathered: of an algorithm, whether its loss is that of the images of all processes, which
        average the gradient: the head's `loss_weight` is then one over their number.
    """

    types: tuple[str, ...] = ()
    fields: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    losses: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    initial: str | None = None
    epsilon: float | None = None
    keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    twice: Mapping[str, str] = dataclasses.field(default_factory=dict)
    elsewhere: Mapping[str, str] = dataclasses.field(default_factory=dict)
    releases: Mapping[str, Release] = dataclasses.field(default_factory=dict)
    norm: str = 'SyncBN'
    rows: int = 1
    gathered: bool = False


def reference_of(part: Any) -> Reference:
    """What a class, or an object of one, says of itself in MMSelfSup."""
    found = getattr(part, 'reference', None)
    return found if isinstance(found, Reference) else Reference()


def teacher_keys(name: str) -> dict[str, str]:
    """The `keys` of a teacher of backbone and neck that MMSelfSup calls `name`."""
    parts = {'backbone': f'{name}.module.0', 'neck': f'{name}.module.1'}
    kinds = ('params', 'batch_stats')
    keys = {f'teacher.{kind}.{part}': key for kind in kinds for part, key in parts.items()}
    return keys | {'teacher.steps': f'{name}.steps'}


def pair_elsewhere(student: str, teacher: str | None = None) -> dict[str, str]:
    """The `elsewhere` of an algorithm whose network and teacher were sequences before 1.0.

    The network was saved a second time under the name `student`.
    """
    parts = {'0': 'backbone', '1': 'neck'}
    found = {f'{student}.{number}.': f'{part}.' for number, part in parts.items()}
    if teacher is not None:
        found |= {f'{teacher}.{number}.': f'{teacher}.module.{number}.' for number in parts}
    return found


def complemented(*names: str) -> dict[str, Release]:
    """The `releases` of what has a momentum that MMPretrain counts the other way round, 1 - m."""

    def release(fields: dict[str, Any]) -> dict[str, Any]:
        numbers = {key: fields[key] for key in names if isinstance(fields.get(key), int | float)}
        return fields | {key: round(1 - value, 12) for key, value in numbers.items()}

    return {'mmpretrain': release}


def with_edges(fields: dict[str, Any]) -> dict[str, Any]:
    """A model of release 0.x whose backbone sees Sobel gradients if it says `with_sobel`."""
    rest = {key: value for key, value in fields.items() if key != 'with_sobel'}
    if fields.get('with_sobel'):
        backbone = as_dict('backbone', fields.get('backbone'))
        backbone.pop('in_channels', None)
        rest['backbone'] = backbone | {'type': 'ResNetSobel'}
    return rest


def take_growth(hooks: 'Hooks') -> None:
    """Takes the hook of release 0.x by which a teacher's momentum grows to 1, as it does here."""
    for name in ('BYOLHook', 'MomentumUpdateHook'):
        if hook := hooks.get(name):
            hook.only('end_momentum', 1.0, 'momenta grow to 1 over the run')
            hook.ignore('update_interval')  # of the optimizer, which has it too


def take_blocks(mask: 'Hook', fewest: int) -> tuple[int, int]:
    """What a mask generator of a pipeline says of blocks of patches.

    Args:
      mask: its fields.
      fewest: patches of a block, where it does not say.

    Returns:
      How many patches are masked, and the fewest of a block.

    Raises:
      JsslError: its blocks are of a kind that there is not here.
    """
    size = mask.take('input_size', mask.take('mask_window_size', 14))
    side = size[0] if isinstance(size, list | tuple) and size else size
    ratio = mask.take('mask_ratio', 0.4)
    if not isinstance(side, int) or not isinstance(ratio, int | float):
        raise JsslError(f'{mask.name} of {side!r} patches and a ratio of {ratio!r}; give numbers.')
    count = mask.count('num_masking_patches', int(side**2 * ratio))
    largest = mask.take('max_num_patches')
    if largest not in (None, count):
        raise mask.refusal('max_num_patches', largest, None, 'a block may be as large as the mask')
    mask.only('min_aspect', 0.3, 'its blocks are up to 1 / 0.3 times as long as wide')
    mask.only('max_aspect', None, 'its blocks are up to 1 / 0.3 times as long as wide')
    return count, mask.count('min_num_patches', fewest)


class Hook:
    """The fields of one of `custom_hooks`, each to be taken or named as one that changes nothing.

    Attributes:
      name: of its class.
      elsewhere: what it sets in other sections of a config.
    """

    def __init__(
        self, name: str, fields: Mapping[str, Any], section: str = '', among: str = 'custom_hooks'
    ) -> None:
        self.name, self.elsewhere = name, dict[str, dict[str, Any]]()
        self._among = among
        self._fields = {key: value for key, value in fields.items() if key not in EVERYWHERE}
        self._section = section
        self._known: list[str] = []
        self._sections: list[Hook] = []

    def take(self, field: str, default: Any = None) -> Any:
        """The value of a field, or what the reference's default is."""
        self._known.append(field)
        return self._fields.pop(field, default)

    def count(self, field: str, default: int) -> int:
        """As `take`, of a field that is a whole number.

        Raises:
          JsslError: it is none.
        """
        value = self.take(field, default)
        if not isinstance(value, int):
            raise JsslError(
                f'{self._among}: {self.name}.{self._section}{field}={value!r} must be a whole '
                'number.'
            )
        return value

    def section(self, field: str) -> 'Hook':
        """The fields of a dict inside of the hook.

        Raises:
          JsslError: it is none.
        """
        fields = as_dict(self._section + field, self.take(field, {}))
        self._sections.append(Hook(self.name, fields, f'{self._section}{field}.', self._among))
        return self._sections[-1]

    def ignore(self, *fields: str) -> None:
        """Leaves out what concerns printing, saving and reading alone."""
        for field in fields:
            self.take(field)

    def only(self, field: str, wanted: Any, why: str, default: Any = None) -> None:
        """Takes a field that has one value here.

        Args:
          field: its name.
          wanted: that value.
          why: there is no other, a sentence.
          default: what the reference takes where the field is left out; None for `wanted`.

        Raises:
          JsslError: it has another.
        """
        found = self.take(field, wanted if default is None else default)
        if (list(found) if isinstance(found, tuple) else found) != wanted:
            raise self.refusal(field, found, wanted, why)

    def refusal(self, field: str, found: Any, wanted: Any, why: str) -> JsslError:
        """The error for a value that has no counterpart."""
        field = self._section + field
        return JsslError(
            f'{self._among}: {self.name} with {field}={found!r} has no counterpart in jssl: '
            f'{why}. Set {field}={wanted!r}, or leave {self.name} out.'
        )

    def finish(self) -> None:
        """Refuses the fields that nobody took."""
        for section in self._sections:
            section.finish()
        for field in self._fields:
            raise JsslError(
                f'{self._among}: {self.name} has no field {self._section + str(field)!r}. '
                f'{suggest(str(field), self._known)}'
            )


class Hooks:
    """The `custom_hooks` of a config, of which an algorithm takes those that set something of it.

    Args:
      hooks: dicts with a `type`.

    Raises:
      JsslError: one is no such dict, or stands there twice.
    """

    def __init__(self, hooks: Sequence[Mapping[str, Any]]) -> None:
        self._hooks: dict[str, Hook] = {}
        self._asked: list[str] = []
        for fields in hooks:
            if not isinstance(fields, Mapping) or 'type' not in fields:
                raise JsslError(f"A hook is a dict with a 'type', not {fields!r}.")
            name = str(fields['type']).rpartition('.')[2]
            if name in self._hooks:
                raise JsslError(f'custom_hooks has {name!r} twice; leave one of them out.')
            rest = {key: value for key, value in fields.items() if key != 'type'}
            self._hooks[name] = Hook(name, rest)

    def get(self, name: str) -> Hook | None:
        """The hook of that class, if there is one."""
        self._asked.append(name)
        return self._hooks.get(name)

    def finish(self, algorithm: str) -> None:
        """Refuses the hooks and the fields that nobody took; `algorithm` is named."""
        for name, hook in self._hooks.items():
            if name not in self._asked:
                known = suggest(name, self._asked) if self._asked else 'It takes none.'
                raise JsslError(
                    f'custom_hooks has {name!r}, which has no counterpart in jssl for {algorithm}. '
                    f'{known} Leave it out if the training does not depend on it.'
                )
            hook.finish()

    @property
    def elsewhere(self) -> dict[str, dict[str, Any]]:
        """What the hooks set in other sections of a config, by section."""
        return {
            key: value for hook in self._hooks.values() for key, value in hook.elsewhere.items()
        }


def as_dict(what: str, value: Any) -> dict[str, Any]:
    """A copy of a dict in a config.

    Raises:
      JsslError: it is none.
    """
    if not isinstance(value, Mapping):
        raise JsslError(f'{what}={value!r} must be a dict.')
    return dict(value)
