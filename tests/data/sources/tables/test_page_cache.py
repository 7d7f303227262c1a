"""What was read last is kept, as far as there is room."""

import pytest

from jssl.data.sources.tables.page_cache import LARGE, PageCache


def test_the_oldest_go_when_there_is_no_room() -> None:
    cache, made = PageCache(10), []

    def get(key: str, size: int = 4) -> str:
        def make() -> tuple[str, int]:
            made.append(key)
            return key.upper(), size

        return cache.get(key, make)

    assert [get(key) for key in ('a', 'b', 'a', 'c', 'a', 'b')] == ['A', 'B', 'A', 'C', 'A', 'B']
    assert made == ['a', 'b', 'c', 'b']
    assert get('huge', 11) == 'HUGE'
    get('huge', 11)
    assert made[-2:] == ['huge', 'huge']
    cache.forget()
    get('huge', 3)
    assert made[-1] == 'huge'


def test_what_fails_is_not_kept() -> None:
    cache = PageCache(10)
    with pytest.raises(ZeroDivisionError):
        cache.get('a', lambda: (1 // 0, 1))
    assert cache.get('a', lambda: (5, 1)) == 5


def test_large_pages_are_read_one_at_a_time() -> None:
    cache = PageCache()
    with cache.turn(LARGE + 1), cache.turn(LARGE):
        assert not cache.turn(LARGE + 1).acquire(blocking=False)  # type: ignore[attr-defined]
