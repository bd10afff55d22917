"""A child process that decodes images, as its parent starts it, asks it and sees it end.

The child is ``tasks.io.images.decoder``, where requests and answers are described. It hangs
on a socket of its own, and ends by itself when the parent's end closes: when the parent
ends, by whatever means.
"""

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, socket, socketpair

from tasks.io.errors import ImageRefused
from tasks.io.images.answers import DESCRIPTION, HEAD, described
from tasks.io.images.decoder import LONGEST_REASON, OUT_OF_MEMORY, READY, requested
from tasks.io.images.limits import AS_IT_IS, Limits, Wanted
from tasks.io.images.raster import Metadata, Raster

TIME_LIMIT_S = 60.0
"""Seconds for one image, of which the largest that default limits accept takes a few; and for
the start of a child."""

_BUFFER_BYTES = 1 << 20
"""Size of a socket's buffers, where the system grants it: an image of 512 × 512 pixels goes
through in one piece."""

_EXIT_LIMIT_S = 5.0
"""Seconds that a child has to exit after it closed its socket. Its exit status tells whether
it was killed; after that time this process kills it."""

_KEPT_BYTES = 1 << 26
"""Memory that an idle child may keep of what it has used."""


_NONSENSE = "harmed its decoder: it answers nonsense"


class DecoderLost(Exception):
    """A child ended, or answered nonsense, over an image; the text says how."""


class DecoderKilled(DecoderLost):
    """A child was killed by SIGKILL, and not by this process: no image does that."""


class DecoderProcess:
    """One child, started when it is first needed, and again after it was lost."""

    def __init__(self, command: Sequence[str], time_limit_s: float) -> None:
        self._command, self._time_limit_s = command, time_limit_s
        self._child: tuple[subprocess.Popen[bytes], socket] | None = None

    def decode(self, data: bytes, limits: Limits, wanted: Wanted = AS_IT_IS) -> Raster:
        """Return an image file decoded; one call at a time.

        Raises:
            ImageRefused: the child refuses the file, or took too long and was ended.
            DecoderLost: the child was lost; the next call starts another one.
            OSError: no child can be started.
        """
        line = self._child[1] if self._child else self._start()
        try:
            answer = self._ask(line, data, limits, wanted)
        except (EOFError, ConnectionError) as error:
            raise self._lost() from error
        except TimeoutError as error:
            self.close()
            raise ImageRefused(f"took its decoder more than {self._time_limit_s:g} s") from error
        except BaseException:  # half an answer may be left on the line
            self.close()
            raise
        if isinstance(answer, str):
            raise ImageRefused(answer)
        return answer

    def close(self) -> int:
        """End the child; return its exit status as ``subprocess`` has it, 0 without a child."""
        if self._child is None:
            return 0
        (process, line), self._child = self._child, None
        with process, line:
            process.kill()
        return process.returncode

    def _lost(self) -> DecoderLost:
        """Return what became of a child that has closed its socket, and see that it ends."""
        has_ended = False
        if self._child is not None:
            with suppress(subprocess.TimeoutExpired):
                self._child[0].wait(_EXIT_LIMIT_S)
                has_ended = True
        status = self.close()
        was_killed = has_ended and status == -signal.SIGKILL
        return (DecoderKilled if was_killed else DecoderLost)(_reason(status))

    def _start(self) -> socket:
        self._child = _, line = _launch(self._command)
        try:
            _receive(line, len(READY), time.monotonic() + TIME_LIMIT_S)
        except (EOFError, OSError) as error:
            command, status = shlex.join(self._command), self.close()
            raise OSError(f"`{command}` must start, got {_name_of(status)}") from error
        except BaseException:
            self.close()
            raise
        return line

    def _ask(self, line: socket, data: bytes, limits: Limits, wanted: Wanted) -> Raster | str:
        """Send a request; return the image, or the reason why the child refuses the image."""
        deadline = time.monotonic() + self._time_limit_s
        line.settimeout(self._time_limit_s)
        line.sendall(requested(limits, wanted, len(data)) + data)
        height, width = HEAD.unpack(_receive(line, HEAD.size, deadline))
        if height == 0 and width <= LONGEST_REASON:
            return _receive(line, width, deadline).decode("utf-8", "replace")
        if not 0 < height * width <= limits.max_pixels:
            raise DecoderLost(_NONSENSE)
        return _image(line, height, width, limits, deadline)


def _image(line: socket, height: int, width: int, limits: Limits, deadline: float) -> Raster:
    """Receive an image of this size.

    Raises:
        DecoderLost: the answer cannot be one.
    """
    try:
        image = described(height, width, bytes(_receive(line, DESCRIPTION.size, deadline)))
    except ValueError as error:
        raise DecoderLost(_NONSENSE) from error
    if image.bytes_of_metadata > limits.max_bytes + LONGEST_REASON:
        raise DecoderLost(_NONSENSE)
    for plane in (image.raster.pixels, image.raster.alpha):
        if plane is not None:
            _fill(line, plane.data.cast("B"), deadline)
    icc, exif, xmp, remark = (bytes(_receive(line, size, deadline)) for size in image.sizes)
    said = Metadata(icc, exif, xmp, image.raster.metadata.resolution)
    return replace(image.raster, metadata=said, remark=remark.decode("utf-8", "replace"))


def _launch(command: Sequence[str]) -> tuple[subprocess.Popen[bytes], socket]:
    """Start a child whose standard input and output are a socket; return both.

    The child has no other descriptor of this process, and is not of its group: Ctrl-C is for
    this process to handle.
    """
    ours, theirs = socketpair()
    for end in (ours, theirs):
        for buffer in (SO_SNDBUF, SO_RCVBUF):
            end.setsockopt(SOL_SOCKET, buffer, _BUFFER_BYTES)
    try:
        with theirs:
            process = subprocess.Popen(  # noqa: S603 - a constant
                command,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                env=_environment(),
                process_group=0,
            )
    except BaseException:
        ours.close()
        raise
    return process, ours


def _receive(line: socket, size: int, deadline: float) -> bytearray:
    received = bytearray(size)
    _fill(line, memoryview(received), deadline)
    return received


def _fill(line: socket, view: memoryview, deadline: float) -> None:
    """Read from a socket until the view is full.

    Raises:
        EOFError: the other end is closed.
        TimeoutError: the deadline, in seconds of the monotonic clock, passed.
    """
    while view:
        line.settimeout(max(deadline - time.monotonic(), 1e-3))
        count = line.recv_into(view)
        if count == 0:
            raise EOFError
        view = view[count:]


def _reason(status: int) -> str:
    """Return why an image is refused over which a child ended with this exit status."""
    if status == OUT_OF_MEMORY:
        return "out of memory while decoding"
    return f"killed its decoder: {_name_of(status)}"


def _name_of(status: int) -> str:
    """Return an exit status of ``subprocess`` in words; negative ones are signals."""
    if status >= 0:
        return f"exit status {status}"
    names = {int(each): each.name for each in signal.Signals}
    return names.get(-status, f"signal {-status}")


def _environment() -> dict[str, str]:
    """Return this process's environment with what a child needs of its own.

    That is this code on the path, one thread, and memory that is kept: were it given back
    after every image, as glibc does by default with pieces over 128 KiB, half of the time
    would go into getting it again, page by page.
    """
    root = str(Path(__file__).parents[3])
    malloc = f"mmap_threshold={1 << 25}", f"trim_threshold={_KEPT_BYTES}"
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
        "OPENBLAS_NUM_THREADS": "1",
        "GLIBC_TUNABLES": ":".join(f"glibc.malloc.{setting}" for setting in malloc),
    }
