"""Large foreign tars: what a scan asks for and takes, and what one part does.

`pytest tests/benchmarks/shards -m benchmark_suite -s -o addopts=--import-mode=importlib` prints
the tables of infra/docs/limits.md. The tar of 100 GB is a sparse file: its headers are there, and
its contents are holes, which disks read as zeros, so that a few hundred megabytes hold it.
"""

import io
import resource
import tarfile
import threading
import time
from contextlib import ExitStack

import pytest
from servers.far_file import far_file
from servers.s3_server import using

from tasks.io.images import Limits
from tasks.io.shards.cuts import window
from tasks.io.shards.cuts.scan import PartSize, Source, scan
from tasks.io.shards.cuts.walk import SEGMENT
from tasks.io.shards.foreign_tars import read_samples
from tasks.io.shards.sides import SIDE_KINDS
from tasks.io.store import Store

LIMITS = Limits(max_pixels=1 << 29, max_bytes=1 << 28)
SIZE = PartSize(256, 1 << 32)


def sparse_tar(path, members, size):
    """Write a tar of images of zeros, as holes, each with a caption."""
    with path.open("wb") as stream:
        for number in range(members):
            for ending, length in (("jpg", size), ("txt", 100)):
                info = tarfile.TarInfo(f"{number // 1000:04d}/{number:08d}.{ending}")
                info.size = length
                stream.write(info.tobuf())
                stream.seek(-(-length // 512) * 512, io.SEEK_CUR)
        stream.write(bytes(1024))
    return path.stat().st_size


class Counted:
    """Gives ranges of a file after a time, as a bucket does; counts requests and bytes."""

    def __init__(self, fetch, latency_s=0.0, rate=float("inf")):
        self._fetch, self._latency, self._rate = fetch, latency_s, rate
        self._lock = threading.Lock()
        self.requests = self.bytes = 0

    def __call__(self, start, end):
        data = self._fetch(start, end)
        with self._lock:
            self.requests += 1
            self.bytes += len(data)
        if self._latency:
            time.sleep(self._latency + len(data) / self._rate)
        return data


def scanned(path, segment=SEGMENT, **slow):
    """Scan a tar; return the parts, the counted requests and seconds."""
    with Store(str(path.parent)).ranges(path.name) as fetch:
        counted, started = Counted(fetch, **slow), time.perf_counter()
        source = Source(path.name, counted, path.stat().st_size)
        parts = scan(source, LIMITS, SIDE_KINDS, SIZE, segment=segment)
        return parts, counted, time.perf_counter() - started


def test_a_scan_of_a_bucket(tmp_path):
    """A tar of 10 GB whose every request is answered after 30 ms, by the client of S3 itself."""
    path = tmp_path / "big.tar"
    size = sparse_tar(path, 10_000, 1_000_000)
    with ExitStack() as stack:
        stack.enter_context(using(stack.enter_context(far_file(path, 0.03))))
        fetch = stack.enter_context(Store("s3://bucket/in").ranges(path.name))
        counted, spent, started = Counted(fetch), time.process_time(), time.perf_counter()
        scan(Source(path.name, counted, size), LIMITS, SIDE_KINDS, SIZE)
        seconds, spent = time.perf_counter() - started, time.process_time() - spent
    print(
        f"\n{size / 1e9:.1f} GB of a bucket scanned in {seconds:.1f} s ({spent:.1f} s of processor "
        f"time), {counted.requests:,} requests, {counted.requests / seconds:.0f} a second"
    )
    assert counted.requests < 1.1 * 10_000


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def test_a_tar_of_100_gb(tmp_path):
    path = tmp_path / "big.tar"
    size = sparse_tar(path, 100_000, 1_000_000)
    before = peak_mib()
    spent = time.process_time()
    parts, counted, seconds = scanned(path)
    spent = time.process_time() - spent
    grown = peak_mib() - before
    assert len(parts) == -(-100_000 // 256)
    part, across = parts[len(parts) // 2]
    started, count = time.perf_counter(), 0
    with Store(str(tmp_path)).stream(path.name, part.place) as stream:
        for _ in read_samples(stream, LIMITS, path.name, SIDE_KINDS, across.before(part)):
            count += 1
    part_s = time.perf_counter() - started
    assert count == 256
    print(
        f"\n{size / 1e9:.1f} GB, {path.stat().st_blocks * 512 / 1e6:.0f} MB on disk: scanned in "
        f"{seconds:.1f} s ({spent:.1f} s of processor time), {counted.requests:,} requests, "
        f"{counted.bytes / 1e9:.2f} GB, {grown:.0f} MiB more; {len(parts)} parts, one of "
        f"{part.place.size / 1e6:.0f} MB read in {part_s:.2f} s, {peak_mib() - before:.0f} MiB more"
    )
    assert grown < 400


@pytest.mark.parametrize("member", [20_000, 100_000, 300_000, 1_000_000])
@pytest.mark.parametrize("near", [0, window.NEAR, 1 << 30], ids=["never", "as it is", "always"])
def test_requests_of_a_bucket(member, near, tmp_path, monkeypatch):
    """Whether contents between headers are read along, over half a gigabyte 30 ms away."""
    monkeypatch.setattr(window, "NEAR", near)
    path = tmp_path / "a.tar"
    size = sparse_tar(path, 500_000_000 // member, member)
    _, counted, seconds = scanned(path, 1 << 25, latency_s=0.03, rate=50e6)
    print(
        f"\nmembers of {member / 1000:.0f} kB, read along {near}: {size / 1e9:.2f} GB in "
        f"{seconds:.1f} s, {counted.requests:,} requests, {counted.bytes / 1e6:,.0f} MB"
    )
