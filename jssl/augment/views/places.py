"""Policies within policies, by the fields of a config that hold them."""

import dataclasses
from collections.abc import Iterator
from typing import Any


def policies(component: Any, place: str) -> Iterator[tuple[str, Any]]:
    """A policy of views and all that are in its fields; none of a function.

    Examples:
      >>> from jssl.augment.views import MultiView, View
      >>> [place for place, _ in policies(MultiView(View()), 'config.views')]
      ['config.views', 'config.views.view']
    """
    if dataclasses.is_dataclass(component):
        yield place, component
        for field in dataclasses.fields(component):
            yield from policies(getattr(component, field.name), f'{place}.{field.name}')
