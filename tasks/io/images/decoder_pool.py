"""Images decoded by child processes, so that none takes this process with it.

A library that crashes over an image, hangs, or asks for all memory ends one child. The
image is tried once more, by a new one, and is refused if that is lost too; unless it was
killed from outside, as the system does where the machine is short of memory. One that
takes too long is refused at once: it would again.

Each child hangs on a socket of its own, and ends by itself when that closes: when this
process does, by whatever means. A fork of this process starts children of its own.
"""

import atexit
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import LifoQueue
from socket import SO_RCVBUF, SO_SNDBUF, SOL_SOCKET, socket, socketpair

import numpy as np

from tasks.io.errors import ImageRefused
from tasks.io.images import files
from tasks.io.images.decoder import ANSWER, LONGEST_REASON, OUT_OF_MEMORY, READY, REQUEST
from tasks.io.images.files import Limits, Pixels
from tasks.io.machine.resources import cores

COMMAND = (sys.executable, "-P", "-m", "tasks.io.images.decoder")

TIME_LIMIT_S = 60.0
"""For one image, where the largest of the default limits takes seconds; and for a start."""

_BUFFER_BYTES = 1 << 20
"""Of a socket, where the system grants it: an image of 512 × 512 goes in one piece."""

_LAST_BREATH_S = 5.0
"""For a child that has closed its line: its status tells whether it was killed."""

_KEPT_BYTES = 1 << 26
"""What an idle child may keep of the memory that it has used."""


def decode(data: bytes, limits: Limits) -> Pixels:
    """The pixels of an image file, as ``images.decode`` has them; for any thread.

    Raises:
        ImageRefused: the rules of ``tasks.io.images`` exclude the file, it is damaged, it took
            too long, or two children were lost over it.
        OSError: no child can be started, or they were killed from outside.
    """
    process = os.getpid()
    pool = _pools.get(process) or _pools.setdefault(process, Pool())
    return pool.decode(data, limits)


class Pool:
    """Children that decode, at most as many as there are cores; started when needed."""

    def __init__(
        self,
        command: Sequence[str] = COMMAND,
        size: int | None = None,
        time_limit_s: float = TIME_LIMIT_S,
    ) -> None:
        self._owner, self._size = os.getpid(), size or cores()
        self._idle = LifoQueue[_Decoder]()  # the last one back goes out first: few are started
        for _ in range(self._size):
            self._idle.put(_Decoder(command, time_limit_s))
        atexit.register(self.close)

    def decode(self, data: bytes, limits: Limits) -> Pixels:
        """The pixels of an image file; see the module's function."""
        if not 0 < len(data) <= limits.max_bytes:
            return files.decode(data, limits)  # which refuses it unopened
        decoder = self._idle.get()
        try:
            with suppress(_Lost):
                return decoder.decode(data, limits)
            return decoder.decode(data, limits)  # by a new child, that nothing has harmed
        except _Killed as killed:
            raise OSError(
                "a decoder of images must not be killed from outside, but two were, by SIGKILL; "
                "the system does so where memory ends: make room, as by a lower "
                "compute.shards_at_once, and run again"
            ) from killed
        except _Lost as lost:
            raise ImageRefused(str(lost)) from lost
        finally:
            self._idle.put(decoder)

    def close(self) -> None:
        """End the children, each as soon as it is idle; an image starts them again."""
        if os.getpid() != self._owner:
            return
        decoders = [self._idle.get() for _ in range(self._size)]
        for decoder in decoders:
            decoder.close()
            self._idle.put(decoder)


_pools: dict[int, Pool] = {}
"""By process: a fork inherits its parent's entry, and must leave it alone."""


class _Lost(Exception):
    """A child was lost over an image; the text says how."""


class _Killed(_Lost):
    """It was killed by SIGKILL, and not by this process: no image does that."""


class _Decoder:
    """One child, started when it is needed, and anew after it was lost."""

    def __init__(self, command: Sequence[str], time_limit_s: float) -> None:
        self._command, self._time_limit_s = command, time_limit_s
        self._child: tuple[subprocess.Popen[bytes], socket] | None = None

    def decode(self, data: bytes, limits: Limits) -> Pixels:
        """The pixels of an image file.

        Raises:
            ImageRefused: says the child, or it took too long and was ended.
            _Lost: there is no child any more.
            OSError: it cannot be started.
        """
        line = self._child[1] if self._child else self._start()
        try:
            answer = self._ask(line, data, limits)
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
        """End the child; returns its exit status as ``subprocess`` has it."""
        if self._child is None:
            return 0
        (process, line), self._child = self._child, None
        with process, line:
            process.kill()
        return process.returncode

    def _lost(self) -> _Lost:
        """What became of a child that has closed its line, and so is about to end."""
        has_ended = False
        if self._child is not None:
            with suppress(subprocess.TimeoutExpired):
                self._child[0].wait(_LAST_BREATH_S)
                has_ended = True
        status = self.close()
        was_killed = has_ended and status == -signal.SIGKILL
        return (_Killed if was_killed else _Lost)(_cause(status))

    def _start(self) -> socket:
        self._child = _, line = _launch(self._command)
        try:
            _receive(line, len(READY), time.monotonic() + TIME_LIMIT_S)
        except (EOFError, OSError) as error:
            command, status = shlex.join(self._command), self.close()
            raise OSError(f"`{command}` must start, got {_ended(status)}") from error
        except BaseException:
            self.close()
            raise
        return line

    def _ask(self, line: socket, data: bytes, limits: Limits) -> Pixels | str:
        """The pixels, or the reason why there are none."""
        deadline = time.monotonic() + self._time_limit_s
        line.settimeout(self._time_limit_s)
        line.sendall(REQUEST.pack(limits.max_pixels, limits.max_bytes, len(data)) + data)
        height, width = ANSWER.unpack(_receive(line, ANSWER.size, deadline))
        if height == 0 and width <= LONGEST_REASON:
            return _receive(line, width, deadline).decode("utf-8", "replace")
        if not 0 < height * width <= limits.max_pixels:
            raise _Lost("harmed its decoder: it answers nonsense")
        pixels = np.empty((height, width, 3), np.uint8)
        _fill(line, pixels.data.cast("B"), deadline)
        return pixels


def _launch(command: Sequence[str]) -> tuple[subprocess.Popen[bytes], socket]:
    """A child with one end of a socket as its standard input and output, and the other end.

    It has no other descriptor of this process, and is not of its group: Ctrl-C is for this
    process to understand.
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
    """Read until the view is full.

    Raises:
        EOFError: the other end is closed.
        TimeoutError: the deadline passed.
    """
    while view:
        line.settimeout(max(deadline - time.monotonic(), 1e-3))
        count = line.recv_into(view)
        if count == 0:
            raise EOFError
        view = view[count:]


def _cause(status: int) -> str:
    """Why an image is refused over which a child ended with this status."""
    if status == OUT_OF_MEMORY:
        return "out of memory while decoding"
    return f"killed its decoder: {_ended(status)}"


def _ended(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    names = {int(each): each.name for each in signal.Signals}
    return names.get(-status, f"signal {-status}")


def _environment() -> dict[str, str]:
    """This process's, with this code on the path, one thread, and memory that is kept.

    Were it given back after every image, as glibc does by default with pieces over 128 KiB,
    half of the time would go into getting it again, page by page.
    """
    root = str(Path(__file__).parents[3])
    malloc = f"mmap_threshold={1 << 25}", f"trim_threshold={_KEPT_BYTES}"
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH")))),
        "OPENBLAS_NUM_THREADS": "1",
        "GLIBC_TUNABLES": ":".join(f"glibc.malloc.{setting}" for setting in malloc),
    }
