"""Images decoded by child processes, so that no bad image takes this process with it.

A library that crashes over an image, hangs, or asks for all memory ends one child. The
image is tried once more, by a new child, and is refused if that is lost too. Children that
were killed from outside, as the system does where the machine is short of memory, are an
error and no fault of the image. An image that takes too long is refused at once, because it
would take too long again.

Each process has a pool of its own; a process that was forked starts its own children.
"""

import atexit
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from queue import LifoQueue

from tasks.io.errors import ImageRefused
from tasks.io.images import decoding
from tasks.io.images.decoder_process import TIME_LIMIT_S, DecoderKilled, DecoderLost, DecoderProcess
from tasks.io.images.limits import AS_IT_IS, Limits, Wanted
from tasks.io.images.raster import Raster
from tasks.io.images.writers.form import Form, brought
from tasks.io.machine.resources import cores

COMMAND = (sys.executable, "-P", "-m", "tasks.io.images.decoder")


def decode(data: bytes, limits: Limits, wanted: Wanted = AS_IT_IS) -> Raster:
    """Return an image file decoded, as ``decoding.decode`` does; thread-safe.

    Raises:
        ImageRefused: the rules of ``tasks.io.images`` exclude the file, it is damaged, it took
            too long, or two children were lost over it.
        OSError: no child can be started, or they were killed from outside.
    """
    process = os.getpid()
    pool = _pools.get(process) or _pools.setdefault(process, Pool())
    return pool.decode(data, limits, wanted)


def decode_written(form: Form, data: bytes, limits: Limits, wanted: Wanted = AS_IT_IS) -> Raster:
    """Return an image of the workspace decoded, also one that only a plug-in reads.

    Args:
        form: in which enhanced images are written; other images may be in any format.
        data: the file.
        limits: of its bytes and pixels.
        wanted: see ``decode``.

    Raises:
        ImageRefused, OSError: see ``decode``.
        ConfigurationError: the form is that of a plug-in that is not installed here.
    """
    plug_in = brought(form.format)
    if plug_in is not None and plug_in.signature and data.startswith(plug_in.signature):
        return plug_in.read(data, limits)
    return decode(data, limits, wanted)


class Pool:
    """Child processes that decode images; each is started when it is first needed.

    Args:
        command: starts a child.
        size: children at most; by default one for each core.
        time_limit_s: seconds that one image may take.
    """

    def __init__(
        self,
        command: Sequence[str] = COMMAND,
        size: int | None = None,
        time_limit_s: float = TIME_LIMIT_S,
    ) -> None:
        self._owner, self._size = os.getpid(), size or cores()
        self._idle = LifoQueue[DecoderProcess]()  # the last one back is used first: few start
        for _ in range(self._size):
            self._idle.put(DecoderProcess(command, time_limit_s))
        atexit.register(self.close)

    def decode(self, data: bytes, limits: Limits, wanted: Wanted = AS_IT_IS) -> Raster:
        """Return an image file decoded; see the function ``decode`` of this module."""
        if not 0 < len(data) <= limits.max_bytes:
            return decoding.decode(data, limits, wanted)  # which refuses it unopened
        decoder = self._idle.get()
        try:
            with suppress(DecoderLost):
                return decoder.decode(data, limits, wanted)
            return decoder.decode(data, limits, wanted)  # by a new child, that nothing has harmed
        except DecoderKilled as killed:
            raise OSError(
                "a decoder of images must not be killed from outside, but two were, by SIGKILL; "
                "the system does so where memory ends: make room, as by a lower "
                "compute.shards_at_once, and run again"
            ) from killed
        except DecoderLost as lost:
            raise ImageRefused(str(lost)) from lost
        finally:
            self._idle.put(decoder)

    def close(self) -> None:
        """End every child as soon as it is idle; a later image starts one again."""
        if os.getpid() != self._owner:
            return
        decoders = [self._idle.get() for _ in range(self._size)]
        for decoder in decoders:
            decoder.close()
            self._idle.put(decoder)


_pools: dict[int, Pool] = {}
"""Pools by process number: a fork inherits its parent's entry, and must leave it alone."""
