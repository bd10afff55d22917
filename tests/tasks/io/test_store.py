"""One contract for every store, and what only a disk or a bucket can do wrong."""

import os
import socket
import subprocess
import sys

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tasks.io.errors import ConfigurationError
from tasks.io.store import PARTIAL, Store, stem


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path):
    if request.param == "local":
        yield Store(str(tmp_path / "root"))
        return
    yield Store(f"memory://{tmp_path.name}/root")
    fsspec.filesystem("memory").store.clear()


def put(store, path, data=b"content"):
    with store.publish(path) as aside:
        aside.write_bytes(data)


def put_half(store, path):
    with store.publish(path) as aside:
        aside.write_bytes(b"half")
        raise RuntimeError("half way")


def everything(store):
    return list(store._fs.find(store._root))


def test_what_is_published_is_read_back_whole(store):
    put(store, "a/b/c.bin", b"0123456789")
    assert store.read("a/b/c.bin") == b"0123456789"
    with store.open("a/b/c.bin") as stream:
        stream.seek(4)
        assert stream.read(3) == b"456"
    with store.fetched("a/b/c.bin") as path:
        assert path.read_bytes() == b"0123456789"
    assert store.exists("a/b/c.bin")
    assert store.exists("a/b")


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
    assert [path.rpartition("/")[2] for path in everything(store)] == ["kept.bin"]


def test_an_exception_while_replacing_keeps_the_old_file(store):
    put(store, "a.bin", b"old")
    with pytest.raises(RuntimeError, match="half way"):
        put_half(store, "a.bin")
    assert store.read("a.bin") == b"old"


def test_a_file_that_is_not_there_is_said_so_by_every_reader(store):
    put(store, "there.bin")
    with pytest.raises(FileNotFoundError):
        store.read("absent.bin")
    with pytest.raises(FileNotFoundError), store.open("absent.bin") as stream:
        stream.read()
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


def test_an_upload_that_lost_bytes_is_removed_and_reported():
    fsspec.register_implementation("truncating", TruncatingFileSystem, clobber=True)
    store = Store("truncating://bucket")
    with pytest.raises(OSError, match=r"upload of a.bin must take 7 bytes, got 6; try again"):
        put(store, "a.bin", b"1234567")
    assert not store.exists("a.bin")


def test_sweeping_removes_what_dead_processes_left_and_nothing_else(tmp_path):
    store, host = Store(str(tmp_path)), socket.gethostname()
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    partial = tmp_path / PARTIAL
    partial.mkdir()
    left, mine, foreign, other = (
        partial / f"{host}-{int(dead.stdout)}-0a",
        partial / f"{host}-{os.getpid()}-0b",
        partial / f"other-{host}-1-0c",
        partial / "readme",
    )
    for path in (left, mine, foreign, other):
        path.touch()
    store.sweep()
    assert sorted(partial.iterdir()) == sorted([mine, foreign, other])


def test_sweeping_leaves_the_files_of_another_users_process(tmp_path, monkeypatch):
    def forbidden(process, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    aside = tmp_path / PARTIAL / f"{socket.gethostname()}-1-0a"
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


def test_a_file_and_an_absent_path_are_no_folders(tmp_path):
    (tmp_path / "file").touch()
    assert Store(str(tmp_path)).is_folder()
    assert not Store(str(tmp_path / "file")).is_folder()
    assert not Store(str(tmp_path / "absent")).is_folder()


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


def test_a_url_of_an_unknown_protocol_is_told_in_a_sentence():
    with pytest.raises(ConfigurationError, match=r"'nosuch://x' must be a folder, or a URL that"):
        Store("nosuch://x")
