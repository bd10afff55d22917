"""Throws mutated images and tars at the edge, in a process of its own, and says what came of it.

    python fuzzing.py FOLDER CASES [provoke]

Writes FOLDER/result.json: how the cases ended, of each format too, how long the slowest took in
the process that decodes, how much memory they took, and which files outside FOLDER were touched.
``provoke`` does on purpose what must be noticed.
"""

import io
import json
import os
import resource
import sys
import tarfile
import time
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from costs.process_memory import used
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.configuration import set_hypothesis_home_dir
from mutations import CASES, IMAGES, TARS, mended_png, mended_tar, mutated

from tasks.io.errors import ImageRefused
from tasks.io.images import Limits, Wanted, read_header
from tasks.io.images.decoder_pool import COMMAND, Pool
from tasks.io.images.decoding import decode
from tasks.io.images.headers import is_plain
from tasks.io.shards import SHARD_ENDINGS, Accepted, Refused, write_shard
from tasks.io.shards.foreign_tars import read_samples
from tasks.io.shards.keys import key_complaint, printable
from tasks.io.shards.samples import LooseSide

LIMITS = Limits(max_pixels=100_000, max_bytes=200_000)
ROOM = 4 << 30
"""Bytes of address space beyond what whole files need; what is asked beyond is an error."""

PNG = b"\x89PNG"

LOST = ("killed its decoder", "harmed its decoder", "took its decoder", "out of memory")
"""How the reasons begin that are not told of an image where it is decoded in this process."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect")
FORBIDDEN += (
    "pickle.find_class",
    "ctypes.dlopen",
    "os.fork",
    "os.chmod",
    "os.chown",
    "shutil.rmtree",
)


class Watch:
    """Notes what is done outside a folder, from the moment it is armed."""

    def __init__(self, folder):
        self.folder, self.armed, self.seen = os.fsencode(folder), False, set()
        sys.addaudithook(self._hook)

    def _hook(self, event, arguments):
        if not self.armed:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes | os.PathLike) and flags & WRITING:
                self._note(event, path)
        elif event in CHANGES:
            for path in arguments[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
                self._note(event, path)
        elif event == "subprocess.Popen" and arguments[1] == [*COMMAND]:
            return  # another process to decode: the last was lost over an image
        elif event.startswith(FORBIDDEN):
            self.seen.add(f"{event} {arguments!r}"[:200])

    def _note(self, event, path):
        inside = os.path.realpath(os.fsencode(path)).startswith(self.folder + b"/")
        if not inside:
            self.seen.add(f"{event} {os.fsdecode(path)}")


class Checks:
    """What must hold of every case; counts how they end."""

    def __init__(self, folder):
        self.folder, self.pool = folder, Pool(size=1)
        self.forget()

    def forget(self):
        """Begin to count anew."""
        self.format, self.ends, self.formats = "", Counter(), defaultdict(Counter)
        self.slowest = defaultdict(float)

    def count(self, end):
        self.ends[end] += 1
        self.formats[self.format][end] += 1

    def image(self, data):
        told = self.elsewhere(data)
        if isinstance(told, str) and told.startswith(LOST):
            self.count(f"refused: {told.partition(':')[0]}")
            return
        try:
            header = read_header(data, LIMITS) if is_plain(data) else None
            found = decode(data, LIMITS)
            decode(data, LIMITS, Wanted(first_frame=True, srgb=True))
        except ImageRefused as refusal:
            reason = str(refusal)
            assert reason
            assert "\n" not in reason
            assert "emory" not in reason, reason
            self.count(f"refused: {reason.partition(':')[0]}")
            return
        assert not isinstance(told, str), told
        assert np.array_equal(found.pixels, told.pixels, equal_nan=True)
        assert found.depth in (np.uint8, np.uint16, np.float32)
        assert header is None or found.pixels.shape == (header.height, header.width, 3)
        assert found.pixels.size <= 3 * LIMITS.max_pixels
        assert found.alpha is None or found.alpha.shape == found.pixels.shape[:2]
        assert sum(map(len, found.metadata[:3])) <= LIMITS.max_bytes
        self.count("decoded")

    def elsewhere(self, data):
        """What a run has of the image, from another process: its pixels, or why it has none."""
        began = time.monotonic()
        try:
            return self.pool.decode(data, LIMITS)
        except ImageRefused as refusal:
            return str(refusal)
        finally:
            took = time.monotonic() - began
            self.slowest[self.format] = max(self.slowest[self.format], took)

    def tar(self, data):
        rows, keys = [], set()
        for sample in read_samples(io.BytesIO(data), LIMITS, "part-0.tar"):
            assert printable(sample.key) == sample.key != ""
            if isinstance(sample, LooseSide):
                assert (sample.data is None) != (sample.reason is None)
                continue
            assert printable(sample.source) == sample.source
            if sample.image is None:
                assert sample.reason
                assert not sample.sides
                self.count(f"row: {sample.reason.partition(':')[0].partition(' after')[0]}")
                rows.append(Refused(key=sample.key, source=sample.source, reason=sample.reason))
                continue
            assert key_complaint(sample.key) is None
            assert sample.key not in keys
            keys.add(sample.key)
            self.image(sample.image)
            rows.append(_accepted(sample))
        self.written(rows)

    def written(self, rows):
        """Our own shard of whatever came is read by tarfile, without damage."""
        paths = [self.folder / f"shard.{ending}" for ending in SHARD_ENDINGS]
        table, _ = write_shard("shard", iter(rows), *paths)
        assert table.num_rows == len(rows)
        with tarfile.open(paths[0], "r:") as archive:
            names = archive.getnames()
        accepted = [row for row in rows if isinstance(row, Accepted)]
        assert len(names) == len(accepted) + sum(len(row.sides) for row in accepted)


def _accepted(sample):
    return Accepted(
        key=sample.key,
        source=sample.source,
        data=sample.image,
        sha256="0" * 64,
        extension="jpg",
        width=1,
        height=1,
        sides=sample.sides,
        left_out=sample.left_out,
    )


def main(folder, cases, provoke=""):
    """Run the cases; write what came of them."""
    warnings.simplefilter("ignore")  # Pillow tells of what it finds; here it finds anything
    set_hypothesis_home_dir(folder / "hypothesis")
    checks, watch = Checks(folder), Watch(folder)
    for data in IMAGES.values():  # loads what is loaded once
        checks.image(data)
    for data in TARS.values():
        checks.tar(data)
    checks.forget()
    before = {name: used(name) for name in ("VmPeak", "VmHWM")}
    limit = before["VmPeak"] + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    watch.armed = True
    failure = run(checks, cases, provoke)
    watch.armed = False
    taken = {name: used(name) - size for name, size in before.items()}
    touched = sorted(watch.seen)
    result = {"ends": checks.ends, "failure": failure, "taken": taken, "touched": touched}
    result |= {"formats": checks.formats, "slowest_s": checks.slowest}
    (folder / "result.json").write_text(json.dumps(result, indent=1))


def run(checks, cases, provoke):
    """What no case should end in, the first of its kind; None if all end well."""

    @settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(CASES)
    def every_case_ends_well(case):
        name, steps, mends = case
        longest, checks.format = LIMITS.max_bytes + 1000, name
        data = mutated((IMAGES | TARS)[name], steps, longest)
        if name in TARS:
            checks.tar(bytes(mended_tar(data) if mends else data))
        else:
            checks.image(bytes(mended_png(data) if mends and data[:4] == PNG else data))
        checks.count("cases")

    try:
        PROVOCATIONS[provoke](checks)
        every_case_ends_well()
    except BaseException as error:  # noqa: BLE001  # whatever a parser may raise is the result
        return f"{type(error).__name__}: {error}\n{''.join(getattr(error, '__notes__', []))}"
    return None


PROVOCATIONS = {
    "": lambda checks: None,
    "memory": lambda checks: len(bytearray(512 << 20)),
    "file": lambda checks: (checks.folder.parent / "outside").write_bytes(b""),
    "error": lambda checks: 1 // 0,
}


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), *sys.argv[3:])
