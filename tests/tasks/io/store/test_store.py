"""One contract for every store, and what only a disk or a bucket can do wrong."""

import errno
import os
import subprocess
import sys
import tempfile
import threading
import tracemalloc
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tasks.io.errors import ConfigurationError, StoreRefused
from tasks.io.machine import processes
from tasks.io.machine.processes import place
from tasks.io.store import Slice, Store, access, ranges, stem
from tasks.io.store.listing import contents
from tasks.io.store.spool import PARTIAL


@pytest.fixture(params=["local", "memory", "s3"])
def store(request, tmp_path):
    if request.param == "local":
        yield Store(str(tmp_path / "root"))
    elif request.param == "s3":
        yield Store(f"{request.getfixturevalue('bucket').url}/root")
    else:
        yield Store(f"memory://{tmp_path.name}/root")
        fsspec.filesystem("memory").store.clear()


@pytest.fixture
def on_s3(bucket):
    return Store(f"{bucket.url}/root")


def put(store, path, data=b"content"):
    with store.publish(path) as aside:
        aside.write_bytes(data)


def put_half(store, path):
    with store.publish(path) as aside:
        aside.write_bytes(b"half")
        raise RuntimeError("half way")


def everything(store):
    return sorted(path for path in store.names("") if not path.startswith(PARTIAL))


def spooled():
    return [*Path(tempfile.gettempdir()).glob(f"dotpipe-{place()}-{os.getpid()}-*")]


def test_what_is_published_is_read_back_whole(store):
    put(store, "a/b/c.bin", b"0123456789")
    assert store.read("a/b/c.bin") == b"0123456789"
    with store.stream("a/b/c.bin") as stream:
        assert [stream.read(4), stream.read(), stream.read()] == [b"0123", b"456789", b""]
    with store.fetched("a/b/c.bin") as path:
        assert path.read_bytes() == b"0123456789"
    assert store.exists("a/b/c.bin")
    assert store.exists("a/b")
    assert spooled() == []


def test_an_empty_file_is_a_file(store):
    put(store, "empty.bin", b"")
    assert store.read("empty.bin") == b""
    assert list(store.read_slices("empty.bin", [Slice(0, 3)])) == [b""]
    with store.stream("empty.bin") as stream:
        assert stream.read() == b""


def test_slices_come_in_the_order_asked_for_and_short_beyond_the_end(store, monkeypatch):
    monkeypatch.setattr(ranges, "SPAN_BYTES", 64)
    monkeypatch.setattr(ranges, "_GAP_BYTES", 8)
    data = os.urandom(1000)
    put(store, "a.bin", data)
    pieces = [(0, 10), (12, 30), (500, 200), (40, 5), (45, 0), (990, 20), (1000, 5), (2000, 5)]
    read = list(store.read_slices("a.bin", [Slice(*piece) for piece in pieces]))
    assert read == [data[start : start + size] for start, size in pieces]


def test_reading_slices_can_stop_early(store):
    put(store, "a.bin", bytes(1000))
    pieces = store.read_slices("a.bin", [Slice(0, 10), Slice(10, 10)])
    assert next(pieces) == bytes(10)
    pieces.close()
    assert not [thread for thread in threading.enumerate() if "ranges" in thread.name]


def test_an_entry_has_size_and_a_version_that_changes_with_the_file(store):
    put(store, "a.bin", b"one")
    before = store.entry("a.bin")
    put(store, "a.bin", b"three")
    after = store.entry("a.bin")
    assert (before.path, before.size, after.size) == ("a.bin", 3, 5)
    assert before.version != after.version
    assert [(entry.path, entry.size) for entry in store.list("")] == [("a.bin", 5)]


def test_names_are_those_of_all_files_below_a_folder_that_begin_so(store):
    for path in ("l/a/1@x=1.json", "l/a/10@x=1.json", "l/b/1@x=1.json", "l.json"):
        put(store, path)
    assert sorted(store.names("l")) == ["l/a/10@x=1.json", "l/a/1@x=1.json", "l/b/1@x=1.json"]
    assert list(store.names("l", "a/1@")) == ["l/a/1@x=1.json"]
    assert list(store.names("l/a", "9")) == []
    assert list(store.names("nowhere")) == []
    assert list(store.names("nowhere", "a/b")) == []


def test_of_two_that_create_a_file_one_does(store):
    assert store.create("a/b.json", b"first") is True
    assert store.create("a/b.json", b"second") is False
    assert store.read("a/b.json") == b"first"
    store.remove("a/b.json")
    assert store.create("a/b.json", b"third") is True


def test_a_local_file_is_created_whole_and_on_disks_without_links_too(tmp_path, monkeypatch):
    def unlinkable(*_args):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    store, sizes = Store(str(tmp_path)), []
    real = Path.hardlink_to

    def watched(path, target):
        sizes.append((target.stat().st_size, path.exists()))
        real(path, target)

    monkeypatch.setattr(Path, "hardlink_to", watched)
    assert store.create("a.json", b"whole") is True
    assert sizes == [(5, False)]
    monkeypatch.setattr(Path, "hardlink_to", unlinkable)
    assert store.create("b.json", b"2") is True
    assert store.create("b.json", b"3") is False
    assert [store.read("a.json"), store.read("b.json")] == [b"whole", b"2"]
    assert everything(store) == ["a.json", "b.json"]


def test_of_many_that_create_a_file_at_once_one_does(store):
    made, start = [], threading.Barrier(8)

    def create(number):
        start.wait()
        made.append((store.create("a.json", str(number).encode()), str(number).encode()))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [data for ours, data in made if ours]
    assert winners == [store.read("a.json")]


def test_writing_replaces_a_small_file_whole(store):
    store.write("a/b.json", b"a longer one")
    store.write("a/b.json", b"short")
    assert store.read("a/b.json") == b"short"


def test_publishing_again_replaces(store):
    put(store, "a.bin", b"long and old")
    put(store, "a.bin", b"new")
    assert store.read("a.bin") == b"new"


def test_a_local_file_is_synced_before_it_takes_its_place_and_its_folder_after(
    tmp_path, monkeypatch
):
    synced, place = [], tmp_path / "a.bin"

    def note(descriptor):
        synced.append((os.fstat(descriptor).st_ino, place.exists()))

    monkeypatch.setattr(os, "fsync", note)
    put(Store(str(tmp_path)), "a.bin")
    assert synced == [(place.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_an_exception_while_writing_leaves_nothing(store):
    put(store, "kept.bin")
    with pytest.raises(RuntimeError, match="half way"):
        put_half(store, "lost.bin")
    assert not store.exists("lost.bin")
    assert everything(store) == ["kept.bin"]
    assert spooled() == []


def test_an_exception_while_replacing_keeps_the_old_file(store):
    put(store, "a.bin", b"old")
    with pytest.raises(RuntimeError, match="half way"):
        put_half(store, "a.bin")
    assert store.read("a.bin") == b"old"


def test_a_file_that_is_not_there_is_said_so_by_every_reader(store):
    put(store, "there.bin")
    with pytest.raises(FileNotFoundError):
        store.read("absent.bin")
    with pytest.raises(FileNotFoundError), store.stream("absent.bin") as stream:
        stream.read()
    with pytest.raises(FileNotFoundError):
        list(store.read_slices("absent.bin", [Slice(0, 1)]))
    with pytest.raises(FileNotFoundError), store.fetched("absent.bin") as path:
        path.read_bytes()
    with pytest.raises(FileNotFoundError):
        store.entry("absent.bin")
    assert not store.exists("absent.bin")


def test_removing_removes_and_forgives_what_is_gone_already(store):
    put(store, "a.bin")
    store.remove("a.bin")
    store.remove("a.bin")
    assert not store.exists("a.bin")


def test_a_listing_has_paths_sizes_and_nothing_hidden(store):
    put(store, "x/a.bin", b"123")
    put(store, "x/.hidden/b.bin")
    put(store, ".secret")
    assert [(entry.path, entry.size) for entry in store.list("")] == [("x/a.bin", 3)]
    assert [entry.path for entry in store.list("x")] == ["x/a.bin"]
    assert list(store.list("nowhere")) == []


def test_a_listing_is_in_the_order_of_keys_as_strings(store):
    names = [
        "a/x.jpg",
        "a-b.jpg",
        "a.jpg",
        "a b/c.png",
        "a/x/y.jpg",
        "a/x-1.jpg",
        "a0.jpg",
        "a.b.jpg",
        "a.b/c.jpg",
        "A.jpg",
        "é.jpg",
        "é/1.jpg",
        "10.jpg",
        "9.jpg",
        "a+/z.jpg",
        "日本/図.png",
    ]
    for name in names:
        put(store, name)
    keys = [stem(entry.path) for entry in store.list("")]
    assert keys == sorted(stem(name) for name in names)


def test_a_flat_folder_of_a_bucket_is_listed_page_by_page(on_s3, bucket, proxy, monkeypatch):
    monkeypatch.setattr("tasks.io.store.s3._PAGE", 10)
    names = [f"{number}.{ending}" for number in range(6) for ending in ("png", "tar")]
    store = Store(on_s3.url)
    for name in names:
        bucket.put(f"root/a/{name}", b"1")
    proxy.requests.clear()
    assert [entry.path for entry in store.list("a")] == [f"a/{name}" for name in names]
    assert [request.method for request in proxy.requests] == ["GET"] * 2


def test_a_listing_is_held_in_few_bytes_a_file(monkeypatch):
    def infos(count):
        for number in range(count):
            yield {
                "name": f"bucket/faces/{number:09d}.png",
                "type": "file",
                "size": 100_000 + number,
                "ETag": f'"{number:032x}"',
                "LastModified": datetime(2024, 1, 1, 0, 0, number % 60, tzinfo=UTC),
            }

    tracemalloc.start()
    found = contents(infos(10_000))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 10_000
    assert most < 400 * len(found)  # measured 280; as fsspec's dictionaries 900


def test_files_of_a_folder_are_those_that_lie_right_in_it(store):
    for name in ("a/1.bin", "a/.hidden", "a/b/2.bin", "3.bin"):
        put(store, name, b"123")
    found = store.files("a")
    assert {path: entry.size for path, entry in found.items()} == {"a/.hidden": 3, "a/1.bin": 3}
    if not store.url.startswith("memory"):  # which tells the time of a file in two ways
        assert found == {path: store.entry(path) for path in found}
    assert store.files("").keys() == {"3.bin"}
    assert store.files("nowhere") == {}


def test_a_files_version_changes_with_the_file(tmp_path):
    store = Store(str(tmp_path))
    put(store, "a.bin", b"1")
    (before,) = store.list("")
    os.utime(tmp_path / "a.bin", (1, 1))
    (after,) = store.list("")
    assert before.version != after.version


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/b.jpg", "a/b"),
        ("a.b/c", "a.b/c"),
        ("a/b.c.jpg", "a/b.c"),
        (".hidden", ".hidden"),
        ("a/.hidden", "a/.hidden"),
        ("plain", "plain"),
    ],
)
def test_a_stem_is_a_path_without_its_last_extension(path, expected):
    assert stem(path) == expected


class TruncatingFileSystem(MemoryFileSystem):
    """A bucket that takes less than it is given, and says that all is well."""

    protocol = "truncating"
    store = {}  # noqa: RUF012  # MemoryFileSystem's own way to keep files
    pseudo_dirs = [""]  # noqa: RUF012

    def put_file(self, lpath, rpath, **options):
        super().put_file(lpath, rpath, **options)
        self.pipe_file(rpath, self.cat_file(rpath)[:-1])


def test_an_upload_that_lost_bytes_is_reported_and_left_for_it_may_be_anothers(monkeypatch):
    monkeypatch.setattr(access, "SCHEMES", {*access.SCHEMES, "truncating"})
    fsspec.register_implementation("truncating", TruncatingFileSystem, clobber=True)
    store = Store("truncating://bucket")
    with pytest.raises(OSError, match=r"a.bin gave an error: the upload must take 7 bytes, got 6"):
        put(store, "a.bin", b"1234567")
    assert store.entry("a.bin").size == 6


class ContestedFileSystem(MemoryFileSystem):
    """A bucket in which another run replaces each file as soon as it is there."""

    protocol = "contested"
    store = {}  # noqa: RUF012  # MemoryFileSystem's own way to keep files
    pseudo_dirs = [""]  # noqa: RUF012
    theirs = b""

    def put_file(self, lpath, rpath, **options):
        super().put_file(lpath, rpath, **options)
        self.pipe_file(rpath, self.theirs)


@pytest.mark.parametrize("theirs", [b"their", b"theirs, and longer"])
def test_an_upload_that_another_run_replaced_is_no_error(monkeypatch, theirs):
    monkeypatch.setattr(access, "SCHEMES", {*access.SCHEMES, "contested"})
    fsspec.register_implementation("contested", ContestedFileSystem, clobber=True)
    monkeypatch.setattr(ContestedFileSystem, "theirs", theirs)
    store = Store("contested://bucket")
    put(store, "a.bin", b"1234567")
    assert store.read("a.bin") == theirs


@pytest.fixture(scope="module")
def ended():
    """The number of a process that has ended."""
    command = [sys.executable, "-c", "import os; print(os.getpid())"]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_sweeping_removes_what_dead_processes_left_and_nothing_else(
    tmp_path, monkeypatch, ended, kind
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = Store(str(tmp_path)) if kind == "local" else Store("memory://bucket")
    partial = tmp_path / PARTIAL if kind == "local" else tmp_path
    partial.mkdir(exist_ok=True)
    left, *kept = (
        partial / f"dotpipe-{place()}-{ended}-0a",
        partial / f"dotpipe-{place()}-{os.getpid()}-0b",
        partial / f"dotpipe-other-{place()}-{ended}-0c",
        partial / f"{place()}-{ended}-0d",
        partial / "readme",
    )
    for path in (left, *kept):
        path.touch()
    store.sweep()
    assert sorted(partial.iterdir()) == sorted(kept)


def test_sweeping_leaves_the_files_of_another_users_process(tmp_path, monkeypatch):
    def forbidden(process, signal):
        raise PermissionError

    monkeypatch.setattr(processes.os, "kill", forbidden)
    aside = tmp_path / PARTIAL / f"dotpipe-{place()}-1-0a"
    aside.parent.mkdir()
    aside.touch()
    Store(str(tmp_path)).sweep()
    assert aside.exists()


def test_sweeping_a_store_without_partial_files_does_nothing(store):
    store.sweep()
    assert everything(store) == []


def test_an_address_is_what_a_person_types(tmp_path):
    assert Store(str(tmp_path)).address("a/b.html") == str(tmp_path / "a" / "b.html")
    assert Store("memory://bucket").address("b.html") == "memory:///bucket/b.html"


def test_a_bucket_is_a_folder_and_so_is_what_holds_files(bucket):
    assert Store(bucket.url).is_folder()
    assert not Store(f"{bucket.url}/photos").is_folder()
    bucket.put("photos/a.bin")
    assert Store(f"{bucket.url}/photos").is_folder()
    assert not Store(f"{bucket.url}/photos/a.bin").is_folder()
    with pytest.raises(StoreRefused, match=r"s3://nosuch/x was refused with NoSuchBucket: .*make"):
        Store("s3://nosuch/x").is_folder()


def test_folders_without_a_name_are_listed_as_they_are(bucket, on_s3):
    keys = ["/top.jpg", "a//b.jpg", "a///c.jpg", "a/a/d.jpg", "a/b.jpg", "e.jpg"]
    for key in [*keys, "a//", "f//"]:
        bucket.put(f"root/{key}")
    assert [entry.path for entry in on_s3.list("")] == sorted(keys, key=stem)


def test_keys_of_a_bucket_that_begin_with_slashes_are_listed_once_and_read(bucket):
    keys = ["/top.jpg", "//a.jpg", "/b/c.jpg", "b/d.jpg", "e.jpg"]
    for key in [*keys, "/"]:
        bucket.put(key, key.encode())
    store = Store(bucket.url)
    found = [entry.path for entry in islice(store.list(""), 20)]
    assert found == sorted(keys, key=stem)
    assert [store.read(key) for key in found] == [key.encode() for key in found]


def test_a_service_that_shows_a_folder_in_itself_is_listed_to_its_end(tmp_path, monkeypatch):
    store = Store(f"memory://{tmp_path.name}")
    inside = [
        {"name": f"/{tmp_path.name}//", "type": "directory", "size": 0},
        {"name": f"/{tmp_path.name}/a.bin", "type": "file", "size": 1},
    ]
    monkeypatch.setattr(store._fs, "ls", lambda *_args, **_options: inside)
    assert [entry.path for entry in islice(store.list(""), 20)] == ["a.bin"]


def test_markers_that_consoles_leave_for_folders_are_no_files(bucket, on_s3):
    for key in ("root/", "root/a/", "root/a/b/", "root/a/1.bin"):
        bucket.put(key, b"" if key.endswith("/") else b"1")
    assert [entry.path for entry in on_s3.list("")] == ["a/1.bin"]
    assert list(on_s3.names("")) == ["a/1.bin"]


def test_a_large_file_goes_up_in_parts_and_comes_back_in_ranges(on_s3, bucket, proxy, monkeypatch):
    monkeypatch.setattr("tasks.io.store.remote_file.PART_BYTES", 5 << 20)
    data = os.urandom(1 << 20) * 21
    put(Store(f"{bucket.url}/root"), "a.bin", data)
    assert sum("partNumber" in request.path for request in proxy.requests) == 5
    assert bucket.read("root/a.bin") == data
    with Store(f"{bucket.url}/root").stream("a.bin") as stream:
        assert stream.read() == data
    assert sum(request.method == "GET" for request in proxy.requests) == 6
    assert bucket.uploads() == []


def test_a_file_that_is_replaced_in_a_bucket_while_it_is_read_is_said_so(on_s3, bucket):
    put(on_s3, "a.bin", b"a" * (3 * ranges.SPAN_BYTES))
    with on_s3.stream("a.bin") as stream:
        assert stream.read(1) == b"a"
        bucket.put("root/a.bin", b"b" * (3 * ranges.SPAN_BYTES))
        with pytest.raises(OSError, match=r"root/a\.bin was replaced while it was read; run again"):
            stream.read()


def test_a_file_and_an_absent_path_are_no_folders(tmp_path):
    (tmp_path / "file").touch()
    assert Store(str(tmp_path)).is_folder()
    assert not Store(str(tmp_path / "file")).is_folder()
    assert not Store(str(tmp_path / "absent")).is_folder()


def test_folders_may_be_as_deep_as_paths_are_long(tmp_path):
    folders = [Path(f"{tmp_path}/{'a/' * depth}") for depth in range(1, 1201)]
    for folder in folders:
        folder.mkdir()
    (folders[-1] / "1.png").touch()
    try:
        found = [entry.path for entry in Store(str(tmp_path)).list("")]
    finally:  # pytest's own tidying goes less deep
        subprocess.run(["rm", "-r", folders[0]], check=True)
    assert found == ["a/" * 1200 + "1.png"]


def test_a_few_links_that_lead_to_each_other_do_not_make_millions_of_files(tmp_path):
    (tmp_path / "end").mkdir()
    (tmp_path / "end" / "1.png").touch()
    level = tmp_path / "end"
    for number in range(8):
        above = tmp_path / f"level-{number}"
        above.mkdir()
        for name in "ab":
            (above / name).symlink_to(level)
        level = above
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "near").symlink_to(tmp_path / "level-1")
    (tmp_path / "root" / "far").symlink_to(level)
    found = [entry.path for entry in Store(str(tmp_path / "root")).list("")]
    assert found == [f"near/{one}/{two}/1.png" for one in "ab" for two in "ab"]


def test_what_is_no_file_is_left_out_by_itself_and_behind_a_link(tmp_path):
    (tmp_path / "a.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "linked.png").symlink_to("pipe.png")
    (tmp_path / "zeros.png").symlink_to("/dev/zero")
    assert [entry.path for entry in Store(str(tmp_path)).list("")] == ["a.png"]


def test_links_to_folders_are_followed_but_for_those_around_them(tmp_path):
    store = Store(str(tmp_path / "root"))
    put(store, "a/1.png")
    put(Store(str(tmp_path / "other")), "sub/2.png")
    (tmp_path / "root" / "linked").symlink_to(tmp_path / "other")
    (tmp_path / "root" / "a" / "here").symlink_to(".")
    (tmp_path / "root" / "a" / "up").symlink_to("..")
    (tmp_path / "other" / "sub" / "itself").symlink_to(tmp_path / "other")
    assert [entry.path for entry in store.list("")] == ["a/1.png", "linked/sub/2.png"]


def test_a_linked_file_has_the_size_and_version_of_what_it_points_to(tmp_path):
    target, root = tmp_path / "target.png", tmp_path / "root"
    target.write_bytes(b"123")
    root.mkdir()
    (root / "a.png").symlink_to(target)
    (before,) = Store(str(root)).list("")
    assert before.size == 3
    target.write_bytes(b"456")
    os.utime(target, (1, 1))
    (after,) = Store(str(root)).list("")
    assert (after.size, after.version == before.version) == (3, False)


def test_a_link_to_nowhere_is_listed_so_that_it_can_be_refused(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "absent")
    assert [entry.path for entry in Store(str(tmp_path)).list("")] == ["a.png"]


def test_folders_that_link_to_each_other_are_each_listed_once_below_the_other(tmp_path):
    store = Store(str(tmp_path))
    put(store, "a/1.png")
    put(store, "b/2.png")
    (tmp_path / "a" / "to-b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to-a").symlink_to(tmp_path / "a")
    images = [entry.path for entry in store.list("") if entry.path.endswith(".png")]
    assert images == ["a/1.png", "a/to-b/2.png", "b/2.png", "b/to-a/1.png"]


def test_a_url_that_needs_a_package_that_is_not_there_is_told_in_a_sentence(monkeypatch):
    def lacking(*_, **__):
        raise ImportError("Install s3fs")

    monkeypatch.setattr(fsspec.core, "url_to_fs", lacking)
    with pytest.raises(
        ConfigurationError, match=r"'s3://x' must be a folder, or a URL that fsspec can open: Inst"
    ):
        Store("s3://x")


def test_a_url_of_an_unknown_protocol_is_told_in_a_sentence():
    with pytest.raises(ConfigurationError, match=r"a location must be a folder or begin with one"):
        Store("nosuch://x")
