"""What this user may not read is told as such, with what to do, wherever it is asked for."""

import pytest
from other_user import as_other_user

from tasks.io.errors import AccessRefused
from tasks.io.store import Slice, Store
from tasks.io.store.cache import at_hand

WAYS = {
    "read": lambda store: store.read("a/x.bin"),
    "slices": lambda store: list(store.read_slices("a/x.bin", [Slice(0, 1)])),
    "stream": lambda store: store.stream("a/x.bin").__enter__(),
    "fetched": lambda store: store.fetched("a/x.bin").__enter__(),
    "at hand": lambda store: at_hand(store, "a/x.bin"),
}

LOOKS = {
    "list": lambda store: list(store.list("")),
    "names": lambda store: list(store.names("a")),
    "files": lambda store: store.files("a"),
    "exists": lambda store: store.exists("a/x.bin"),
    "entry": lambda store: store.entry("a/x.bin"),
    "is folder": lambda store: Store(f"{store.url}/a/b").is_folder(),
}


@pytest.fixture
def store(shared_folder):
    found = Store(str(shared_folder))
    found.write("a/x.bin", b"1")
    return found


@pytest.mark.parametrize("way", WAYS)
def test_a_file_without_rights_is_told_with_its_path(store, way):
    store.local("a/x.bin").chmod(0)
    with as_other_user(), pytest.raises(AccessRefused, match=r"a/x\.bin was refused: Permission"):
        WAYS[way](store)


@pytest.mark.parametrize("way", [*WAYS, *LOOKS])
def test_a_folder_without_rights_is_told_with_its_path(store, way):
    folder = store.local("a")
    folder.chmod(0)
    try:
        with as_other_user(), pytest.raises(AccessRefused, match=r"/a.* let this user read it$"):
            (WAYS | LOOKS)[way](store)
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("way", [*WAYS, *LOOKS])
def test_a_bucket_without_rights_is_told_in_the_same_way(bucket, proxy, way):
    bucket.put("root/a/x.bin")
    proxy.choose = lambda _: "denied"
    with pytest.raises(AccessRefused, match=r"was refused with (AccessDenied|403).*; allow s3:"):
        (WAYS | LOOKS)[way](Store(f"{bucket.url}/root"))


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_is_not_there_is_no_matter_of_rights(store, way):
    if way in ("fetched", "at hand"):
        assert not (store.fetched("b").__enter__()).exists()
        return
    store.local("a/x.bin").unlink()
    with pytest.raises(FileNotFoundError):
        WAYS[way](store)
