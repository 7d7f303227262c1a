"""Bounds of a step."""

import pytest

from jssl.planning.machines import parse
from jssl.planning.roofline import roofline
from jssl.planning.traffic import Collective

TERA = 10**12


def test_the_slowest_of_arithmetic_memory_and_messages_binds() -> None:
    fleet = parse('2x8xh200')
    operations = {('bfloat16', 'default'): 16 * 989 * TERA, ('float32', 'highest'): 16 * TERA}
    inside = Collective('all-gather', 0, sent=45e9, devices=8, hosts=1)
    across = Collective('all-reduce', 0, sent=5e9, devices=16, hosts=2)
    found = roofline(fleet, operations, int(480e9), {inside: 2, across: 1})
    assert found.arithmetic == pytest.approx(989 / 989.4 + 1 / 66.9)
    assert found.memory == pytest.approx(0.1)
    assert found.messages == pytest.approx(2 * 0.1 + 0.1)
    assert found.binds == 'arithmetic'
    assert found.seconds == found.arithmetic
    assert found.utilisation == pytest.approx((990 / 989.4) / found.arithmetic)


def test_memory_and_messages_bind_where_there_is_little_arithmetic() -> None:
    fleet = parse('v5e-4')
    whole = roofline(fleet, {('float32', 'highest'): 4 * 197 * TERA // 60}, int(819e9), {})
    assert (whole.binds, whole.seconds) == ('memory', 1.0)
    assert whole.arithmetic == pytest.approx(6 / 60)
    assert whole.utilisation == pytest.approx(1 / 60)
    message = Collective('all-reduce', 0, sent=400e9, devices=4, hosts=1)
    assert roofline(fleet, {}, 0, {message: 1}).binds == 'messages'
