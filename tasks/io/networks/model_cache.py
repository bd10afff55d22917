"""Networks that this process keeps, so that it loads each one once for every device."""

from collections.abc import Callable
from functools import lru_cache, partial
from threading import RLock
from typing import Concatenate, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

LOADING = RLock()
"""Held while weights are fetched and loaded: threads that want the same network would each do
it, and libraries change settings of the whole process meanwhile."""


class Loader(Generic[P, T]):
    """Loads networks; keeps those that were asked for last, so many for each device."""

    def __init__(self, load: Callable[Concatenate[str, P], T], most: int) -> None:
        self._load, self._most = load, most
        self._by_device: dict[str, Callable[..., T]] = {}

    def __call__(self, device: str, *args: P.args, **kwargs: P.kwargs) -> T:
        """The network on the device; loaded unless it is kept."""
        with LOADING:
            if device not in self._by_device:
                self._by_device[device] = lru_cache(self._most)(partial(self._load, device))
            return self._by_device[device](*args, **kwargs)

    def cache_clear(self) -> None:
        """Let go of all that is kept."""
        with LOADING:
            self._by_device.clear()


def kept(most: int) -> Callable[[Callable[Concatenate[str, P], T]], Loader[P, T]]:
    """Makes a loader, whose first argument is the device, keep so many networks for each."""

    def loader(load: Callable[Concatenate[str, P], T]) -> Loader[P, T]:
        return Loader(load, most)

    return loader
