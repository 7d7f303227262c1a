"""How much may be in flight."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from jssl.data.reading.in_flight import InFlight


def test_no_more_than_the_bound_is_in_flight_and_all_get_through() -> None:
    room, lock, now, most = InFlight(10), threading.Lock(), [0], [0]

    def task(amount: int) -> int:
        with room.taken(amount):
            with lock:
                now[0] += amount
                most[0] = max(most[0], now[0])
            time.sleep(0.0005)
            with lock:
                now[0] -= amount
        return amount

    amounts = np.random.default_rng(0).integers(1, 8, 200).tolist()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(task, amounts)) == amounts
    assert 8 <= most[0] <= 10


def test_what_is_larger_than_the_bound_is_alone() -> None:
    room = InFlight(10)
    order: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        with room.taken(3):
            large = pool.submit(lambda: enter(room, 50, order))
            time.sleep(0.02)
            small = pool.submit(lambda: enter(room, 1, order))
            time.sleep(0.02)
            assert order == []  # the small one does not overtake
        large.result()
        small.result()
    assert order == [50, 1]


def enter(room: InFlight, amount: int, order: list[int]) -> None:
    with room.taken(amount):
        order.append(amount)
