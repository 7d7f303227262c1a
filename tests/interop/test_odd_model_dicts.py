"""Every entry of every shipped dict and hook in place of which something odd stands."""

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import pytest

from jssl.errors import JsslError
from jssl.interop.mmselfsup import build_model
from tests.interop.shipped import SHIPPED
from tests.interop.test_hooks import DEEPCLUSTER_HOOK, FIRST_CLUSTERS, ODC_HOOK, SWAV_HOOK

ODD: tuple[Any, ...] = (
    None,
    'x',
    [],
    {},
    -1,
    1.5,
    [1],
    {'type': 3},
    {'type': 'x'},
    10**30,
    float('nan'),
)
HOOKS: list[tuple[str, dict[str, Any]]] = [
    ('DeepCluster', DEEPCLUSTER_HOOK),
    ('ODC', FIRST_CLUSTERS),
    ('ODC', ODC_HOOK),
    ('SwAV', SWAV_HOOK),
    ('DenseCL', dict(type='DenseCLHook', start_iters=4)),
    ('SimSiam', dict(type='SimSiamHook', fix_pred_lr=True, lr=0.05)),
]


def changed(whole: Any) -> Iterator[Any]:
    """`whole` with each of its entries replaced, by every odd value in turn."""
    yield from ODD
    keys = whole if isinstance(whole, dict) else range(len(whole) if isinstance(whole, list) else 0)
    for key in keys:
        for other in changed(whole[key]):
            result = copy.copy(whole)
            result[key] = other
            yield result


def build(model: Any, hooks: Any = ()) -> None:
    with contextlib.suppress(JsslError):
        build_model(model, hooks, lambda said: None)


@pytest.mark.slow
@pytest.mark.parametrize('name', SHIPPED)
def test_a_model_with_an_odd_entry_is_built_or_refused(name: str) -> None:
    for model in changed(SHIPPED[name]):
        build(model)


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'hook'), HOOKS, ids=lambda part: str(part)[:20])
def test_a_hook_with_an_odd_entry_is_applied_or_refused(name: str, hook: dict[str, Any]) -> None:
    for odd in changed(hook):
        build(SHIPPED[name], [odd])
