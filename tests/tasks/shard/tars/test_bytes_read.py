"""What is read of a large tar: of a scan its headers, of a part its own bytes."""

import io
import tarfile

import fsspec
import pytest
from PIL import Image

from tasks.io.errors import StoreRefused
from tasks.io.images import Limits
from tasks.io.shards.cuts.scan import PartSize, Source, scan
from tasks.io.store import Slice, Store
from tasks.shard.shard import plan_shards, write_corpus_shard
from tasks.shard.tars.scan import plan_scans, write_scan

LARGE = bytes(600_000)
"""A member of another kind, which is skipped."""


def tar_of(pixels, samples, large=LARGE):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for number in range(samples):
            image = io.BytesIO()
            Image.fromarray(pixels(number)).save(image, "PNG")
            for ending, data in (("png", image.getvalue()), ("npy", large), ("txt", b"a caption")):
                info = tarfile.TarInfo(f"{number:03d}.{ending}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def run_of(tmp_path, steps, write_images, pixels):
    """Opens a run over tars at an address, with a workspace on this disk."""
    write_images(tmp_path / "natural", {"n.png": pixels(1000)})

    def opened(url):
        corpora = {"restored": url, "natural": tmp_path / "natural"}
        return steps(tmp_path / "workspace", corpora, shards={"cut_tars_above": 1_900_000})

    return opened


@pytest.fixture
def answered(proxy):
    """Sizes of what the bucket has answered; the list may be cleared."""
    sizes = []

    def noted(data):
        sizes.append(len(data))
        return data

    proxy.edit = noted
    return sizes


def test_a_scan_of_a_bucket_reads_headers_and_a_part_reads_its_bytes(
    bucket, answered, run_of, pixels
):
    data = tar_of(pixels, 9)
    bucket.put("in/big.tar", data)
    run = run_of(f"{bucket.url}/in/big.tar")
    corpus = run.config.corpora.restored
    (unit,) = plan_scans(run.opened, corpus, "run")
    answered.clear()
    write_scan(unit.job)
    assert sum(answered) < 9 * 20_000 < len(data) / 30
    assert len(answered) < 9 * 2 + 6
    parts = list(plan_shards(run.opened, corpus, "run"))
    assert [unit.job.part.samples for unit in parts] == [3, 3, 3]
    for unit in parts:
        answered.clear()
        assert write_corpus_shard(unit.job).images == 3
        assert unit.job.part.place.size <= sum(answered) < unit.job.part.place.size + 10_000


def test_ranges_of_a_bucket_are_of_one_version(bucket, pixels):
    bucket.put("in/big.tar", tar_of(pixels, 6))
    with Store(f"{bucket.url}/in").ranges("big.tar") as fetch:
        assert len(fetch(512, 1024)) == 512
        bucket.put("in/big.tar", tar_of(pixels, 5))
        with pytest.raises(OSError, match=r"big\.tar was replaced while it was read; run again"):
            fetch(512, 1024)


@pytest.mark.parametrize("kind", ["memory", "local", "s3"])
def test_ranges_and_parts_of_a_file_are_read_in_every_store(kind, tmp_path, request):
    data = bytes(range(256)) * 50_000
    if kind == "memory":
        store = Store("memory://ranges-of-a-tar")
        fsspec.filesystem("memory").pipe_file("/ranges-of-a-tar/a.tar", data)
    elif kind == "local":
        store = Store(str(tmp_path))
        (tmp_path / "a.tar").write_bytes(data)
    else:
        bucket = request.getfixturevalue("bucket")
        bucket.put("a.tar", data)
        store = Store(bucket.url)
    size = len(data)
    with store.ranges("a.tar") as fetch:
        assert fetch(100, 300) == data[100:300]
        assert fetch(size - 5, size + 5) == data[-5:]
        assert fetch(size + 5, size + 10) == b""
    for part in (Slice(7, 5_000_000), Slice(0, 1), Slice(size - 3, 3), Slice(size - 3, 99)):
        with store.stream("a.tar", part) as stream:
            assert stream.read() == data[part.offset : part.offset + part.size]


def test_a_store_that_gives_whole_files_for_parts_is_refused(monkeypatch):
    system = fsspec.filesystem("memory")
    system.pipe_file("/no-ranges/a.tar", b"1" * 1000)
    monkeypatch.setattr(type(system), "cat_file", lambda self, path, start, end: b"1" * 1000)
    with (
        Store("memory://no-ranges").ranges("a.tar") as fetch,
        pytest.raises(
            StoreRefused, match="a store must give parts of files, but answered with 1000"
        ),
    ):
        fetch(0, 512)


@pytest.mark.parametrize(
    ("member", "requests", "share"), [(1_000_000, 40, 0.02), (300_000, 40, 0.04), (100_000, 4, 1.1)]
)
def test_small_members_are_read_along_and_large_ones_skipped(member, requests, share):
    asked = []
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for number in range(34):
            info = tarfile.TarInfo(f"{number:03d}.jpg")
            info.size = member
            archive.addfile(info, io.BytesIO(bytes(member)))
    data = out.getvalue()

    def fetch(start, end):
        asked.append(len(data[start:end]))
        return data[start:end]

    limits, size = Limits(max_pixels=1, max_bytes=1 << 30), PartSize(10, 1 << 40)
    parts = scan(Source("a.tar", fetch, len(data)), limits, (), size)
    assert [part.samples for part, _ in parts] == [10, 10, 10, 4]
    assert len(asked) <= requests
    assert sum(asked) <= share * len(data)
