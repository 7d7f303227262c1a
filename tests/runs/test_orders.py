"""The orders of a run, on disk and by step."""

from pathlib import Path

from jssl.runs.orders import Orders, Turn, read_orders, seed_of, write_orders
from tests.checks import refused

ORDERS = Orders((Turn(4, 6), Turn(8, 9), Turn(4, 7)))


def test_a_later_turn_goes_before_an_earlier_one() -> None:
    assert [ORDERS.at(step) for step in (0, 3, 4, 9)] == [0, 0, 3, 3]
    assert list(ORDERS.segments(1)) == [(0, 4), (3, None)]
    assert list(Orders((Turn(4, 6), Turn(8, 9))).segments(5)) == [(1, 8), (2, None)]
    assert list(Orders().segments(7)) == [(0, None)]


def test_turns_after_the_same_step_are_counted() -> None:
    assert [Orders().in_a_row, ORDERS.in_a_row] == [0, 1]
    assert ORDERS.turned(4, 8).in_a_row == 2


def test_every_order_has_a_seed_of_its_own() -> None:
    assert seed_of(5, 0) == 5
    seeds = [seed_of(seed, order) for seed in (5, 6) for order in (0, 1, 2)]
    assert len({*seeds}) == 6
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_they_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_orders(tmp_path) == Orders()
    write_orders(tmp_path, ORDERS)
    assert read_orders(tmp_path) == ORDERS
    (tmp_path / 'orders.json').write_text('[{"after": "x"}]')
    with refused('orders.json cannot be read (ValueError)', '--workdir'):
        read_orders(tmp_path)
    with refused('cannot be written', 'repeat the command'):
        write_orders(tmp_path / 'gone', ORDERS)
