"""What networks made of equal input, remembered for as long as several jobs share their images.

Several operators that enhance the same shard have most of their work in common: the encoding of the
images, the decoding of these latents, and the metrics of the controls. Several ways to enhance with
one operator have the decoding of what it moved in common, too. A job remembers these while a block
of ``remembering`` runs, and a later one of the block finds them by the digest of what goes in, so
that what it makes is the same to the bit.
"""

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from dot_kernels import Transported
from dot_kernels.stages import Stage
from tasks.jobs.stopwatch import TimedCodec

T = TypeVar("T")

MOST_BYTES = 2 << 30
"""Of tensors that are remembered at once, in the memory of the machine; more are computed again."""


@dataclass(slots=True)
class Memory:
    """Results by what they were computed of; full, it takes no more."""

    room: int = MOST_BYTES
    """Bytes that are left."""
    transports: frozenset[str] = frozenset()
    """Those of which several jobs have the images, by their names."""
    _found: dict[tuple[str, ...], Any] = field(default_factory=dict)
    _known: set[str] = field(default_factory=set)

    def tensor(self, key: tuple[str, ...], make: Callable[[], Tensor]) -> Tensor:
        """Return the tensor of a key, on the device that it was made on; made if it is not known.

        Nobody may change it in its place.
        """
        if key in self._found:
            kept, device = self._found[key]
            return kept.to(device)  # type: ignore[no-any-return]
        made = make()
        if made.nbytes <= self.room:
            self.room -= made.nbytes
            self._found[key] = made.cpu(), made.device
        return made

    def transported(self, key: tuple[str, ...], make: Callable[[], Transported]) -> Transported:
        """Return the moved images of a key, on the device that they were moved on."""
        if key in self._found:
            kept, device = self._found[key]
            return _moved_to(device, kept)
        made = make()
        size = sum(tensor.nbytes for tensor in _tensors_of(made).values())
        if size <= self.room:
            self.room -= size
            self._found[key] = _moved_to(torch.device("cpu"), made), made.images.device
        return made

    def value(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        """Return the small value of a key; made if it is not known."""
        if key not in self._found:
            self._found[key] = make()
        return self._found[key]  # type: ignore[no-any-return]

    def note(self, digest: str) -> None:
        """Note that a tensor of this digest will come again."""
        self._known.add(digest)

    def is_noted(self, digest: str) -> bool:
        """Return whether a tensor of this digest was noted."""
        return digest in self._known


_MEMORY: ContextVar[Memory | None] = ContextVar("memory", default=None)


@contextmanager
def remembering(transports: Collection[str] = ()) -> Iterator[None]:
    """Have the jobs of the block share what networks make of equal input.

    Args:
        transports: names of those that several of the jobs have in common.
    """
    token = _MEMORY.set(Memory(transports=frozenset(transports)))
    try:
        yield
    finally:
        _MEMORY.reset(token)


def shared(what: str, of: Sequence[Tensor | None], make: Callable[[], T]) -> T:
    """Return what is computed of some tensors; once for all jobs that remember.

    Args:
        what: names what is computed, so that other things of the same tensors are others.
        of: the tensors.
        make: computes it; a small value, no tensor.
    """
    memory = _MEMORY.get()
    if memory is None:
        return make()
    return memory.value((what, *("" if each is None else digest(each) for each in of)), make)


def transported_once(
    name: str,
    images: Tensor,
    tile: int,
    make: Callable[[], Transported],
    drawn_by: Sequence[str] = (),
) -> Transported:
    """Return images moved; once for all jobs that remember and have this transport in common.

    Images in several tiles are left out: the errors at seams are told as they are made.

    Args:
        name: of the transport.
        images: (b, 3, h, w) in [0, 1].
        tile: side of a square with as many pixels as a tile has.
        make: moves them.
        drawn_by: keys of the images, where noise is drawn by them.
    """
    memory, pixels = _MEMORY.get(), images.shape[2] * images.shape[3]
    if memory is None or name not in memory.transports or pixels > tile**2:
        return make()
    return memory.transported(("transport", name, digest(images), *drawn_by), make)


def remembered(codec: TimedCodec, name: str) -> TimedCodec:
    """Return a codec that computes nothing twice for jobs that remember; itself where none does.

    Args:
        codec: of the job.
        name: of its precision; jobs that remember together have the same network and tiles.
    """
    memory = _MEMORY.get()
    return codec if memory is None else _RememberingCodec(codec.codec, codec.watch, memory, name)


@dataclass(frozen=True, slots=True)
class _RememberingCodec(TimedCodec):
    """A codec that knows what it made of images, and of their latents as they are.

    Images in several tiles are left out: the errors at seams are told as they are made.
    """

    memory: Memory
    name: str

    def encode(self, images: Tensor) -> Tensor:
        """Return the latents of images (b, 3, h, w) in [0, 1]."""
        if not self._is_one_tile(images.shape[2] * images.shape[3]):
            return TimedCodec.encode(self, images)
        key = "encode", self.name, digest(images)
        latents = self.memory.tensor(key, lambda: TimedCodec.encode(self, images))
        self.memory.note(digest(latents))
        return latents

    def decode(self, latents: Tensor) -> Tensor:
        """Return the images of latents, (b, 3, h, w) in [0, 1] up to overshoot."""
        pixels = latents.shape[2] * latents.shape[3] * self.factor**2
        if not self._is_one_tile(pixels) or not self.memory.is_noted(own := digest(latents)):
            return TimedCodec.decode(self, latents)
        key = "decode", self.name, own
        return self.memory.tensor(key, lambda: TimedCodec.decode(self, latents))

    def with_stages(self, stages: Sequence[Stage]) -> TimedCodec:
        """Return the same codec with these stages, which remembers nothing."""
        return TimedCodec(self.codec, self.watch).with_stages(stages)

    def _is_one_tile(self, pixels: int) -> bool:
        return pixels <= self.tile**2


def _tensors_of(batch: Transported) -> dict[str, Tensor]:
    """Return the tensors of moved images by the names of their fields."""
    found = {each.name: getattr(batch, each.name) for each in fields(batch)}
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def _moved_to(device: torch.device, batch: Transported) -> Transported:
    moved: dict[str, Any] = {name: each.to(device) for name, each in _tensors_of(batch).items()}
    return replace(batch, **moved)


def digest(tensor: Tensor) -> str:
    """Return a digest of a tensor's numbers, type and shape."""
    content = hashlib.blake2b(tensor.numpy(force=True).tobytes(), digest_size=16)
    content.update(repr((tensor.dtype, tuple(tensor.shape))).encode())
    return content.hexdigest()
