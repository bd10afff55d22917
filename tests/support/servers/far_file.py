"""One file as an object of S3, far away: each request waits before it is answered.

    python far_file.py FILE SECONDS

Prints its port. It answers HEAD and GET of ranges, of any name, and nothing else; for those who
measure how long many requests take, as a server of S3 in Python is slower than a network.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HEAD = 'ETag: "1"\r\nLast-Modified: Tue, 01 Dec 2026 00:00:00 GMT\r\nAccept-Ranges: bytes\r\n'


async def answer(path: str, wait_s: float, reader: asyncio.StreamReader, out: asyncio.StreamWriter):
    """Answer the requests of a connection until it ends."""
    size = Path(path).stat().st_size
    with Path(path).open("rb", buffering=0) as file:
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(wait_s)
                asked = re.search(rb"(?i)\r\nrange: bytes=(\d+)-(\d+)", request)
                first, last = map(int, asked.groups()) if asked else (0, size - 1)
                last = min(last, size - 1)
                status = "206 Partial Content" if asked else "200 OK"
                out.write(
                    f"HTTP/1.1 {status}\r\n{_HEAD}Content-Range: bytes {first}-{last}/{size}\r\n"
                    f"Content-Length: {last - first + 1}\r\n\r\n".encode()
                )
                if request.startswith(b"GET"):
                    out.write(os.pread(file.fileno(), last - first + 1, first))
                await out.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            out.close()


async def main(path: str, wait_s: float) -> None:
    """Serve the file for ever."""
    server = await asyncio.start_server(
        lambda reader, out: answer(path, wait_s, reader, out), "127.0.0.1", 0
    )
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


@contextmanager
def far_file(path: Path, wait_s: float) -> Iterator[str]:
    """Give the block the address of a server of S3 with that one file, in a process of its own."""
    command = [sys.executable, __file__, str(path), str(wait_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
