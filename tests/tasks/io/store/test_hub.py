"""Data sets of the Hub as a store: the contract of reading, and what is asked of the Hub."""

import traceback

import pytest
from servers.hub_server import SIGNATURE, Blob, HubRepository

from tasks.io.errors import AccessRefused, StoreAway, StoreRefused
from tasks.io.store import Slice, Store
from tasks.io.store.errors import translated

FILES = {
    "top.txt": b"top",
    "images/b/1.png": b"one",
    "images/a.png": bytes(range(256)) * 40,
    "images/a/2.png": b"",
    "images/é 1+2=3.png": b"odd",
    "images/.hidden": b"h",
}


@pytest.fixture
def faces(hub):
    """A repository with large and small files."""
    made = HubRepository()
    made.add("first", {p: Blob(data, large=len(data) > 100) for p, data in FILES.items()})
    hub.repositories["org/faces"] = made
    return made


@pytest.fixture
def store(faces):
    return Store("hf://datasets/org/faces/images")


def below(start=""):
    return {p.removeprefix("images/") for p in FILES if p.startswith(f"images/{start}")}


def test_files_are_read_whole_in_slices_and_as_streams(store):
    whole = FILES["images/a.png"]
    assert store.read("a.png") == whole
    slices = [Slice(9000, 10), Slice(0, 3), Slice(len(whole) - 2, 10), Slice(len(whole) + 5, 4)]
    expected = [whole[9000:9010], whole[:3], whole[-2:], b""]
    assert list(store.read_slices("a.png", slices)) == expected
    with store.stream("a.png") as stream:
        assert stream.read() == whole
    with store.fetched("a.png") as copy:
        assert copy.read_bytes() == whole
    assert store.read("é 1+2=3.png") == b"odd"
    assert store.read("a/2.png") == b""


def test_a_listing_has_paths_sizes_and_versions_in_order_and_nothing_hidden(store):
    listed = list(store.list(""))
    assert [entry.path for entry in listed] == ["a.png", "a/2.png", "b/1.png", "é 1+2=3.png"]
    assert [entry.size for entry in listed] == [len(FILES[f"images/{e.path}"]) for e in listed]
    assert all(entry.version for entry in listed)
    assert set(store.names("")) == below()
    assert set(store.names("b")) == {"b/1.png"}
    assert set(store.files("")) == {"a.png", ".hidden", "é 1+2=3.png"}
    assert list(store.list("nowhere")) == []


def test_an_entry_is_that_of_the_listing_and_changes_with_the_file(store, faces):
    listed = {entry.path: entry for entry in store.list("")}
    assert store.entry("b/1.png")[:3] == listed["b/1.png"][:3]
    faces.edit(**{"images/b/1.png": b"two"})
    now = Store(store.url)
    assert now.entry("b/1.png").version != listed["b/1.png"].version
    assert now.entry("a.png")[:3] == listed["a.png"][:3]


def test_a_commit_can_be_named(store, faces):
    first = faces.commits[-1].sha
    faces.edit(**{"images/b/1.png": b"two"})
    assert Store(f"hf://datasets/org/faces@{first}/images").read("b/1.png") == b"one"
    assert Store(store.url).read("b/1.png") == b"two"


def test_what_is_there_and_what_is_not(store, faces):
    assert store.is_folder()
    assert store.exists("a.png")
    assert store.exists("a")
    assert not store.exists("b.png")
    assert not Store("hf://datasets/org/faces/nowhere").is_folder()
    for read in (
        store.read,
        store.entry,
        lambda path: list(store.read_slices(path, [Slice(0, 1)])),
    ):
        with pytest.raises(FileNotFoundError):
            read("b.png")
    with pytest.raises(FileNotFoundError):
        store.entry("a")


def test_one_file_costs_requests_that_do_not_grow_with_its_folder(store, hub):
    assert store.entry("a.png").size == 10240
    assert store.read("a.png")
    assert not any("/tree/" in asked.path for asked in hub.asked)
    assert len(hub.asked) <= 3


def test_nothing_is_written_or_removed(store, faces):
    for act in (
        lambda: store.write("x.txt", b"x"),
        lambda: store.create("x.txt", b"x"),
        lambda: store.remove("a.png"),
    ):
        with pytest.raises(StoreRefused, match=r"hf:// must be read only.* push the result with"):
            act()
    assert len(faces.commits) == 1


def test_a_private_data_set_needs_a_token_that_may_read_it(store, faces, monkeypatch):
    faces.private = True
    assert store.read("b/1.png") == b"one"
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    hidden = Store(store.url)
    for ask in (lambda: hidden.read("b/1.png"), hidden.is_folder, lambda: list(hidden.list(""))):
        with pytest.raises(
            AccessRefused, match=r"org/faces.* was refused: 401 .*set HF_TOKEN"
        ) as e:
            ask()
        assert "hf_of_nobody" not in str(e.value)


def test_a_hub_that_is_away_is_told_and_may_come_back(store, hub, impatient):
    store.read("b/1.png")
    hub.choose = lambda _: "503"
    with pytest.raises(StoreAway, match=r"^hf://datasets/org/faces/images/b/1.png gave an error"):
        store.read("b/1.png")
    faults = iter(["429", "503"])
    hub.choose = lambda _: next(faults, None)
    assert store.read("b/1.png") == b"one"


def test_a_run_takes_images_and_tars_from_the_hub_as_from_a_folder(
    tmp_path, hub, steps, photographs
):
    made = HubRepository()
    files = {
        f"{role}/{path.relative_to(folder).as_posix()}": Blob(path.read_bytes(), True)
        for role, folder in photographs.items()
        for path in folder.rglob("*.png")
    }
    made.add("first", files)
    hub.repositories["org/faces"] = made
    here = steps(tmp_path / "here", photographs)
    there = steps(
        tmp_path / "there", {role: f"hf://datasets/org/faces/{role}" for role in photographs}
    )
    assert here.shard() == there.shard()
    for dataset in here.config.datasets():
        for name in here.workspace.shards(dataset):
            path = f"datasets/{dataset}/{name}.tar"
            assert here.workspace.store.read(path) == there.workspace.store.read(path)
    assert there.shard() == dict.fromkeys(there.config.datasets())  # nothing to do again
    made.edit(**{"restored/a/0.png": None})
    again = steps(there.config.workspace, {r: f"hf://datasets/org/faces/{r}" for r in photographs})
    assert again.shard()["run"].images == 7


@pytest.mark.parametrize("wrapped", [False, True])
def test_errors_of_reading_have_no_signed_address_behind_them(wrapped):
    import httpx
    from huggingface_hub.errors import HfHubHTTPError

    url = f"https://store.example/a?{SIGNATURE}"
    answer = httpx.Response(403, request=httpx.Request("GET", url))

    def fail():
        error = HfHubHTTPError(f"403 Client Error for url: {url}", response=answer)
        if wrapped:
            raise RuntimeError("reading failed") from error
        raise error

    with pytest.raises(AccessRefused) as caught, translated("hf://datasets/org/faces/a"):
        fail()
    text = "".join(traceback.format_exception(caught.value))
    assert "hf://datasets/org/faces/a was refused: 403" in text
    assert "store.example" not in text
