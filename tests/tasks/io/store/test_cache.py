"""Remote files at hand: fetched once, and again when they are others."""

import gc
import os
import tempfile
from pathlib import Path

import pytest

from tasks.io.store import Store, cache
from tasks.io.store.cache import at_hand


@pytest.fixture
def store(bucket, proxy):
    yield Store(f"{bucket.url}/root")
    cache._kept.clear()


def fetched(proxy):
    count = sum(request.method == "GET" for request in proxy.requests)
    proxy.requests.clear()
    return count


def test_a_file_is_fetched_once_and_again_when_it_is_another(store, bucket, proxy):
    bucket.put("root/a.bin", b"first")
    assert [at_hand(store, "a.bin").read_at(5, 0) for _ in range(3)] == [b"first"] * 3
    assert fetched(proxy) == 1
    before = at_hand(store, "a.bin")
    bucket.put("root/a.bin", b"other")
    assert at_hand(store, "a.bin").read_at(5, 0) == b"other"
    assert before.read_at(5, 0) == b"first"
    assert fetched(proxy) == 1


def test_a_file_that_is_replaced_while_it_is_fetched_is_fetched_again(store, bucket, proxy):
    bucket.put("root/a.bin", b"first")

    def replace(request):
        if request.method == "GET" and request.number <= 3:
            bucket.put("root/a.bin", b"other")

    proxy.choose = replace
    assert at_hand(store, "a.bin").read_at(5, 0) == b"other"
    bucket.put("root/a.bin", b"first")
    assert at_hand(store, "a.bin").read_at(5, 0) == b"first"
    assert fetched(proxy) == 3  # the first one in vain


def test_copies_have_no_names_and_only_a_few_are_kept(store, bucket, proxy, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for number in range(cache._MOST + 2):
        bucket.put(f"root/{number}.bin", b"12")
        at_hand(store, f"{number}.bin")
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    mapped = Path("/proc/self/maps")
    if mapped.exists():
        assert mapped.read_text().count(os.fspath(tmp_path)) == cache._MOST
    proxy.requests.clear()
    at_hand(store, f"{cache._MOST + 1}.bin")
    assert fetched(proxy) == 0
    at_hand(store, "0.bin")
    assert fetched(proxy) == 1


def test_an_empty_file_is_at_hand_and_an_absent_one_is_told(store, bucket):
    bucket.put("root/empty.bin", b"")
    assert at_hand(store, "empty.bin").size() == 0
    with pytest.raises(FileNotFoundError):
        at_hand(store, "absent.bin")


def test_a_local_file_is_where_it_is(tmp_path):
    assert at_hand(Store(str(tmp_path)), "a.bin") == tmp_path / "a.bin"
