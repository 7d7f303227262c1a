"""What a class says of itself in MMSelfSup, whose configs and weights come in and go out.

`jssl.interop` knows no class by name. It reads `reference` of the class that a config names, which
a subclass inherits, and asks an algorithm what the hooks of a config set of it.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jssl.errors import JsslError, suggest

Report = Callable[[str], None]
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
      losses: of a head, the losses that it can have there -> what their settings are called here.
      initial: the field that an `init_cfg` sets: 'init_std', 'kaiming_uniform' or 'weights'.
      epsilon: of its layer norms.
      keys: of an algorithm, places in its state -> how their keys begin in a checkpoint there, as
        in ``{'teacher.params.backbone': 'encoder_k.module.0'}``. What is not named is not saved.
      twice: modules that a checkpoint has a second time -> under which name.
      elsewhere: of an algorithm, how keys begin before MMSelfSup 1.0 or in MMPretrain -> how they
        do in 1.x.
    """

    types: tuple[str, ...] = ()
    fields: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    losses: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
    initial: str | None = None
    epsilon: float | None = None
    keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    twice: Mapping[str, str] = dataclasses.field(default_factory=dict)
    elsewhere: Mapping[str, str] = dataclasses.field(default_factory=dict)


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


class Hook:
    """The fields of one of `custom_hooks`, each to be taken or named as one that changes nothing.

    Attributes:
      name: of its class.
      report: is told what belongs to another section of a config.
    """

    def __init__(
        self, name: str, fields: Mapping[str, Any], report: Report, section: str = ''
    ) -> None:
        self.name, self.report = name, report
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
                f'custom_hooks: {self.name}.{self._section}{field}={value!r} must be a whole '
                'number.'
            )
        return value

    def section(self, field: str) -> 'Hook':
        """The fields of a dict inside of the hook.

        Raises:
          JsslError: it is none.
        """
        fields = as_dict(self._section + field, self.take(field, {}))
        self._sections.append(Hook(self.name, fields, self.report, f'{self._section}{field}.'))
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
            f'custom_hooks: {self.name} with {field}={found!r} has no counterpart in jssl: '
            f'{why}. Set {field}={wanted!r}, or leave the hook out.'
        )

    def finish(self) -> None:
        """Refuses the fields that nobody took."""
        for section in self._sections:
            section.finish()
        for field in self._fields:
            raise JsslError(
                f'custom_hooks: {self.name} has no field {self._section + str(field)!r}. '
                f'{suggest(str(field), self._known)}'
            )


class Hooks:
    """The `custom_hooks` of a config, of which an algorithm takes those that set something of it.

    Args:
      hooks: dicts with a `type`.
      report: is told what a hook does that belongs to another section of a config.

    Raises:
      JsslError: one is no such dict, or stands there twice.
    """

    def __init__(self, hooks: Sequence[Mapping[str, Any]], report: Report) -> None:
        self._hooks: dict[str, Hook] = {}
        self._asked: list[str] = []
        for fields in hooks:
            if not isinstance(fields, Mapping) or 'type' not in fields:
                raise JsslError(f"A hook is a dict with a 'type', not {fields!r}.")
            name = str(fields['type']).rpartition('.')[2]
            if name in self._hooks:
                raise JsslError(f'custom_hooks has {name!r} twice; leave one of them out.')
            rest = {key: value for key, value in fields.items() if key != 'type'}
            self._hooks[name] = Hook(name, rest, report)

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


def as_dict(what: str, value: Any) -> dict[str, Any]:
    """A copy of a dict in a config.

    Raises:
      JsslError: it is none.
    """
    if not isinstance(value, Mapping):
        raise JsslError(f'{what}={value!r} must be a dict.')
    return dict(value)
