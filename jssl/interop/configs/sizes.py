"""Images of a step, and what a model owes to how they are spread over processes.

A config of the reference says the images of one process and how many batches are accumulated; how
many processes there are stands in its name (``8xb256``). Here a step has all of them at once, so
that what a process computed of its own, batch statistics above all, is computed in groups.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from jssl.errors import JsslError
from jssl.interop.configs.notes import Notes
from jssl.interop.configs.values import Place
from jssl.interop.model_dicts import bare, class_of
from jssl.reference import reference_of
from jssl.values import fields_of

NAMED = re.compile(r'(?:^|[-_])(\d{1,4})xb(\d{1,6})(?:[-_.]|$)')
GROUP, BALANCED, WEIGHT = 'bn_group_size', 'sinkhorn_group_size', 'loss_weight'
Config = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Size:
    """Of a step.

    Attributes:
      images: of one process.
      processes: how many there are.
      accumulated: batches that are accumulated.
    """

    images: int
    processes: int
    accumulated: int = 1

    @property
    def together(self) -> int:
        """Images of all processes in one pass."""
        return self.images * self.processes

    @property
    def batch(self) -> int:
        """Images of a step."""
        return self.together * self.accumulated


def processes(name: str, base: Any, per_step: int, given: int | None) -> int:
    """How many processes a config is for.

    Args:
      name: of its file.
      base: `auto_scale_lr.base_batch_size`, the images of a step, where it says so.
      per_step: images of one process in a step.
      given: what the user says.

    Raises:
      JsslError: nothing says it.
    """
    found = NAMED.search(name)
    if given is not None:
        return given
    if found:
        return int(found.group(1))
    if isinstance(base, int) and per_step and base % per_step == 0:
        return base // per_step
    raise JsslError(
        f'{name} does not say how many processes (GPUs) it is for, as in its name 8xb{per_step}; '
        'add --processes=8.'
    )


def spread(
    model: Mapping[str, Any], given: Mapping[str, Any], size: Size, notes: Notes, place: Place
) -> Config:
    """A section `model` with the groups that processes were.

    Args:
      model: in terms of jssl.
      given: as the reference has it, with its `norm_cfg`.
      size: of a step.
      notes: is told what is not the same.
      place: of the model.
    """
    reference = reference_of(class_of(model['type']))
    made = _grouped(model, given, size, reference.rows, notes, place)
    head = made.get('head')
    if reference.gathered and size.processes > 1 and isinstance(head, Mapping):
        weight = head.get(WEIGHT, 1.0) / size.processes
        made['head'] = {**head, WEIGHT: weight}
    return made


def _grouped(
    part: Mapping[str, Any],
    given: Mapping[str, Any],
    size: Size,
    rows: int,
    notes: Notes,
    place: Place,
) -> Config:
    """A part, and those inside it, with the groups of its batch norms."""
    component = class_of(part['type'])
    known = fields_of(component) if component is not None else {}
    made = dict(part)
    for key, value in part.items():
        inner = given.get(key)
        if isinstance(value, Mapping) and 'type' in value:
            inner = inner if isinstance(inner, Mapping) else {}
            made[key] = _grouped(value, inner, size, rows, notes, place)
    if GROUP in known and GROUP not in part:
        group = _group(part, given.get('norm_cfg'), size, reference_of(component).norm)
        if group is not None and rows:
            made[GROUP] = group * rows
        elif group is not None:
            notes.differ(
                place,
                f'batch norms of {part["type"]} have the statistics of a process '
                'there, of the whole batch here',
            )
    if BALANCED in known and size.batch > size.images:
        made[BALANCED] = size.images
    return made


def _group(part: Mapping[str, Any], norm: Any, size: Size, usual: str) -> int | None:
    """Samples that share batch statistics; None for the whole batch, or where there are none."""
    kind = bare(norm.get('type', usual)) if isinstance(norm, Mapping) else usual
    if 'LN' in kind:
        return None
    group = size.together if kind == 'SyncBN' else size.images
    return None if group == size.batch else group
