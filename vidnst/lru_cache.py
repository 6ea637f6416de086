"""A cache that evicts the least recently used entry."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """Keeps the `capacity` entries that were used last. Not thread-safe: threads that share one need a lock.

    Args:
        capacity: number of entries, at least 1.
        on_evict: called with each value that is evicted or cleared, to free what it holds.
    """

    def __init__(self, capacity: int, *, on_evict: Callable[[V], None] | None = None) -> None:
        if capacity < 1:
            raise ValueError(f"a cache needs a capacity of at least 1, got {capacity}")
        self._capacity = capacity
        self._on_evict = on_evict
        self._entries: OrderedDict[K, V] = OrderedDict()
        """The least recently used first."""

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        """True if the key is cached; does not count as a use."""
        return key in self._entries

    def __getitem__(self, key: K) -> V:
        self._entries.move_to_end(key)
        return self._entries[key]

    def __setitem__(self, key: K, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        self._shrink(self._capacity)

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Return the cached value, or make and cache it.

        An entry is evicted before the new value is made, so that never more than `capacity` values use memory.
        """
        if key not in self._entries:
            self._shrink(self._capacity - 1)
            self[key] = make()
        return self[key]

    def pop(self, key: K) -> V | None:
        """Take a value out without evicting it; None if it is not cached."""
        return self._entries.pop(key, None)

    def clear(self) -> None:
        """Evict all entries."""
        self._shrink(0)

    def _shrink(self, size: int) -> None:
        while len(self._entries) > size:
            _, value = self._entries.popitem(last=False)
            if self._on_evict is not None:
                self._on_evict(value)
