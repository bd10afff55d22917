"""Weights found, fetched, or taken from a pulled folder; never half, never another's."""

import hashlib
import json
from pathlib import Path
from urllib.error import HTTPError, URLError

import fsspec
import pytest
import torch

from tasks.io.errors import StoreAway, WeightsAway, WeightsMissing
from tasks.io.networks.published_weights import PublishedFile
from tasks.io.networks.pulled_folder import (
    MANIFEST,
    PulledFile,
    PulledFolder,
    read_manifest,
    write_manifest,
)
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights, load_state
from tasks.io.store import Store


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def tensors(tmp_path, rng):
    """A file of random tensors, as torch saves them."""
    path = tmp_path / "made.pth"
    torch.save({"weight": torch.randn(3, generator=rng)}, path)
    return path


@pytest.fixture
def file(tensors):
    """What is published of it."""
    address = "https://weights.example/net-12345678.pth"
    return PublishedFile(name="net-12345678.pth", address=address, sha256=sha256_of(tensors)[:8])


@pytest.fixture
def place(tmp_path, monkeypatch, file):
    """Where the hub folder keeps it; nothing is there, and nothing can be fetched."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def closed(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", closed)
    return tmp_path / "torch" / "hub" / "checkpoints" / file.name


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    """A pulled folder, still empty."""
    if request.param == "local":
        yield str(tmp_path / "pulled")
        return
    yield f"memory://{tmp_path.name}/pulled"
    fsspec.filesystem("memory").store.clear()


def put(folder, name, path, sha256=None):
    """Fill a pulled folder as ``dotpipe weights pull`` does."""
    with Store(folder).publish(name) as aside:
        aside.write_bytes(path.read_bytes())
    entry = PulledFile(sha256=sha256 or sha256_of(path), size=path.stat().st_size, source="test")
    write_manifest(folder, {**read_manifest(folder), name: entry})


def damage(folder, name):
    with Store(folder).publish(name) as aside:
        aside.write_bytes(b"half")


def test_a_pulled_folder_is_looked_at_first(folder, file, tensors, place, tmp_path):
    place.parent.mkdir(parents=True)
    torch.save({"another": torch.zeros(2)}, place)
    put(folder, file.pulled_name, tensors)
    weights = Weights.of(folder)
    for found in (weights.find(file), weights.fetch(file)):
        assert sha256_of(found) == sha256_of(tensors)
    assert FROM_THIS_MACHINE.find(file) == place


def test_a_file_of_a_bucket_is_copied_once(tmp_path, file, tensors, place, monkeypatch):
    folder = f"memory://{tmp_path.name}/pulled"
    put(folder, file.pulled_name, tensors)
    first = PulledFolder(folder).take(file.pulled_name)
    assert first.is_relative_to(tmp_path / "torch" / "hub")
    monkeypatch.setattr(Store, "stream", lambda *_: pytest.fail("was copied again"))
    assert PulledFolder(folder).take(file.pulled_name) == first
    fsspec.filesystem("memory").store.clear()


def test_a_copy_that_is_not_what_the_manifest_says_is_made_again(tmp_path, file, tensors, place):
    folder = f"memory://{tmp_path.name}/pulled"
    put(folder, file.pulled_name, tensors)
    PulledFolder(folder).take(file.pulled_name).write_bytes(b"half")
    assert sha256_of(PulledFolder(folder).take(file.pulled_name)) == sha256_of(tensors)
    fsspec.filesystem("memory").store.clear()


def test_a_pulled_file_with_another_digest_is_not_taken(folder, file, tensors, place, tmp_path):
    put(folder, file.pulled_name, tensors)
    damage(folder, file.pulled_name)
    assert Weights.of(folder).find(file) is None
    with pytest.raises(WeightsMissing, match=r"that its manifest says, got [0-9a-f]{64}; pull it"):
        Weights.of(folder).fetch(file)
    assert not [path for path in (tmp_path / "torch").rglob("*") if path.is_file()]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(tensors.read_bytes())
    assert Weights.of(folder).find(file) == place


def test_a_pulled_file_that_is_gone_is_told(folder, file, tensors, place):
    put(folder, file.pulled_name, tensors)
    Store(folder).remove(file.pulled_name)
    assert Weights.of(folder).find(file) is None
    with pytest.raises(WeightsMissing, match=r"got no file|cannot be copied to"):
        Weights.of(folder).fetch(file)


@pytest.mark.parametrize("content", ["", "[]", '{"files": {"a": 1}}', '{"files": {"a": {"b": 1}}}'])
def test_a_manifest_that_is_none_is_told(folder, file, place, content):
    with Store(folder).publish(MANIFEST) as aside:
        aside.write_text(content)
    assert Weights.of(folder).find(file) is None
    with pytest.raises(WeightsMissing, match=r"must be what `dotpipe weights pull` wrote, got "):
        read_manifest(folder)


def test_a_manifest_says_digest_size_and_source(folder, file, tensors):
    put(folder, file.pulled_name, tensors)
    listed = json.loads(Store(folder).read(MANIFEST))
    assert listed["files"][f"networks/{file.name}"] == {
        "sha256": sha256_of(tensors),
        "size": tensors.stat().st_size,
        "source": "test",
    }


def test_the_manifest_is_read_once_and_anew_by_another_value(
    folder, file, tensors, place, monkeypatch
):
    put(folder, file.pulled_name, tensors)
    read, reads = Store.read, []

    def counted(store, path):
        reads.append(path)
        return read(store, path)

    monkeypatch.setattr(Store, "read", counted)
    weights = Weights.of(folder)
    assert reads == []
    for _ in range(3):
        assert sha256_of(weights.find(file)) == sha256_of(tensors)
    assert reads == [MANIFEST]
    write_manifest(folder, {})
    assert weights.find(file) is not None
    assert Weights.of(folder).find(file) is None
    assert reads == [MANIFEST, MANIFEST]


def test_without_a_pulled_folder_only_this_machine_is_looked_at():
    assert Weights.of(None) is FROM_THIS_MACHINE
    assert FROM_THIS_MACHINE.pulled is None
    assert Weights.of("s3://bucket/weights") == Weights(PulledFolder("s3://bucket/weights"))


def test_missing_weights_are_told_with_where_they_were_looked_for(folder, file, place):
    with pytest.raises(WeightsMissing) as caught:
        Weights.of(folder).fetch(file, need="LPIPS", otherwise="set evaluate.lpips to null")
    for said in (
        f"LPIPS needs {file.name}, which cannot be fetched; put it at {place} (TORCH_HOME",
        "dotpipe weights pull CONFIG DEST",
        "set evaluate.lpips to null",
        f"{Store(folder).address(MANIFEST)} must name networks/{file.name}",
    ):
        assert said in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


def test_a_download_has_the_published_digest_and_takes_its_place(place, file, tensors, monkeypatch):
    asked = []

    def download(address, target, *, hash_prefix, progress):
        asked.append((address, hash_prefix, progress))
        Path(target).write_bytes(tensors.read_bytes())

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert FROM_THIS_MACHINE.fetch(file) == FROM_THIS_MACHINE.fetch(file) == place
    assert asked == [(file.address, file.sha256, False)]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (URLError("Temporary failure in name resolution"), WeightsAway),
        (HTTPError("https://x", 503, "Service Unavailable", {}, None), WeightsAway),
        (HTTPError("https://x", 429, "Too Many Requests", {}, None), WeightsAway),
        (HTTPError("https://x", 404, "Not Found", {}, None), WeightsMissing),
        (RuntimeError('invalid hash value (expected "a", got "b")'), WeightsAway),
        (PermissionError(13, "Permission denied"), WeightsMissing),
    ],
)
@pytest.mark.usefixtures("place")
def test_a_download_that_may_succeed_later_is_told_apart(file, monkeypatch, error, kind):
    def failing(*_args, **_options):
        raise error

    monkeypatch.setattr(torch.hub, "download_url_to_file", failing)
    with pytest.raises(WeightsMissing, match="cannot be fetched") as caught:
        FROM_THIS_MACHINE.fetch(file)
    assert type(caught.value) is kind


@pytest.mark.parametrize("operation", ["read", "stream"])
def test_weights_in_a_bucket_that_gives_no_answer_do_not_count_as_missing(
    tmp_path, file, tensors, place, monkeypatch, operation
):
    folder = f"memory://{tmp_path.name}/pulled"
    put(folder, file.pulled_name, tensors)

    def away(*_):
        raise StoreAway("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(Store, operation, away)
        for look in (Weights.of(folder).find, Weights.of(folder).fetch):
            with pytest.raises(WeightsAway, match="no answer"):
                look(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(tensors.read_bytes())
        assert Weights.of(folder).find(file) == place
    assert Weights.of(folder).find(file) != place
    fsspec.filesystem("memory").store.clear()


def test_a_download_into_a_folder_that_takes_none_is_told(file, place, tmp_path):
    (tmp_path / "torch").write_text("no folder")
    with pytest.raises(WeightsMissing, match="cannot be fetched; put it at"):
        FROM_THIS_MACHINE.fetch(file)


def test_altered_weights_are_found_and_named(place, file):
    place.parent.mkdir(parents=True)
    torch.save({"weight": torch.zeros(2)}, place)
    assert FROM_THIS_MACHINE.find(file) == place
    assert file.altered_suffix(sha256_of(place)) == f" (altered {sha256_of(place)[:8]})"


def test_a_file_in_the_hub_folder_that_is_no_weights_is_neither_used_nor_overwritten(place, file):
    place.parent.mkdir(parents=True)
    place.write_bytes(b"<html>not found</html>")
    assert FROM_THIS_MACHINE.find(file) is None
    with pytest.raises(WeightsMissing, match=rf"remove the file at {place} and run again"):
        FROM_THIS_MACHINE.fetch(file)
    assert place.read_bytes().startswith(b"<html>")


@pytest.mark.parametrize("content", [torch.zeros(2), {"weight": 1.0}, ["weight"]])
def test_a_file_without_tensors_by_name_is_told(tmp_path, content):
    torch.save(content, tmp_path / "any.pth")
    with pytest.raises(WeightsMissing, match="must hold tensors by name, got"):
        load_state(tmp_path / "any.pth")
