"""A cache of loaded networks: a process loads each one once for every device."""

from collections.abc import Callable
from functools import lru_cache, partial
from threading import RLock
from typing import Concatenate, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LOADING = RLock()
"""Held while weights are fetched and loaded. Otherwise threads that want the same network would
each load it, and libraries change settings of the whole process meanwhile."""


class CachedLoader(Generic[P, T]):
    """A function that loads networks, with a cache of the last few results for each device."""

    def __init__(self, load: Callable[Concatenate[str, P], T], most: int) -> None:
        self._load, self._most = load, most
        self._by_device: dict[str, Callable[..., T]] = {}

    def __call__(self, device: str, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the network on the device, loaded unless it is in the cache."""
        with LOADING:
            if device not in self._by_device:
                self._by_device[device] = lru_cache(self._most)(partial(self._load, device))
            return self._by_device[device](*args, **kwargs)

    def cache_clear(self) -> None:
        """Empty the cache of every device."""
        with LOADING:
            self._by_device.clear()


def cached_per_device(
    most: int,
) -> Callable[[Callable[Concatenate[str, P], T]], CachedLoader[P, T]]:
    """Return a decorator that gives a function a cache of its last results for each device.

    Args:
        most: how many results of each device are kept; the first argument of the function is
            the device.
    """

    def decorated(load: Callable[Concatenate[str, P], T]) -> CachedLoader[P, T]:
        return CachedLoader(load, most)

    return decorated
