"""The least-recently-used cache."""

import pytest

from vidnst.lru_cache import LruCache


def test_evicts_least_recently_used() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache["a"], cache["b"] = 1, 2
    assert cache["a"] == 1  # now b is the older one
    cache["c"] = 3
    assert ("a" in cache, "b" in cache, "c" in cache, len(cache)) == (True, False, True, 2)


def test_contains_is_no_use() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache["a"], cache["b"] = 1, 2
    assert "a" in cache
    cache["c"] = 3
    assert "a" not in cache


def test_setting_again_is_a_use() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache["a"], cache["b"], cache["a"], cache["c"] = 1, 2, 10, 3
    assert "b" not in cache
    assert cache["a"] == 10


def test_get_makes_a_value_once() -> None:
    cache: LruCache[str, list[int]] = LruCache(1)
    first = cache.get("a", lambda: [1])
    assert cache.get("a", lambda: [2]) is first
    cache.get("b", lambda: [3])
    assert cache.get("a", lambda: [4]) == [4]


def test_get_evicts_before_it_makes() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache["a"], cache["b"] = 1, 2
    assert cache.get("c", lambda: len(cache)) == 1


def test_evicted_and_cleared_values_are_freed() -> None:
    freed: list[int] = []
    cache: LruCache[str, int] = LruCache(2, on_evict=freed.append)
    cache["a"], cache["b"], cache["c"] = 1, 2, 3
    assert freed == [1]
    assert cache.pop("b") == 2
    assert cache.pop("b") is None
    assert freed == [1]
    cache.clear()
    assert freed == [1, 3]
    assert len(cache) == 0


def test_missing_key_and_bad_capacity() -> None:
    with pytest.raises(KeyError):
        LruCache[str, int](1)["a"]
    with pytest.raises(ValueError, match="at least 1, got 0"):
        LruCache[str, int](0)
