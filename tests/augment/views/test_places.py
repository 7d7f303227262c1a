"""Policies within policies."""

from jssl.augment.views import CenterView, GlobalLocal, View
from jssl.augment.views.places import policies


def test_every_policy_has_the_place_of_its_field() -> None:
    view = View(size=8)
    found = dict(policies(GlobalLocal(view, view, View(size=4)), 'config.views'))
    names = ['', '.first', '.second', '.local']
    assert list(found) == [f'config.views{name}' for name in names]
    assert found['config.views.local'] == View(size=4)
    assert list(policies(CenterView(), 'it')) == [('it', CenterView())]


def test_a_function_is_no_policy() -> None:
    assert list(policies(lambda key, canvas: {}, 'config.views')) == []
