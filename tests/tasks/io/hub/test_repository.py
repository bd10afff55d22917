"""A repository of the Hub, asked by the real client; the Hub itself is a stand-in."""

import hashlib

import pytest
from servers.hub_server import TOKEN

from tasks.io.errors import AccessRefused, ArtifactDamaged, ConfigurationError, StoreRefused
from tasks.io.hub import Change, NotTaken, Repository, Sent
from tasks.io.hub.files import blob_of, require_content


@pytest.fixture
def repository(hub):
    made = Repository.of("hf://datasets/org/faces")
    made.create(private=False)
    return made


def sent(repository, tmp_path, **files):
    """Files of this disk that were sent; dots in their names are underscores here."""
    paths = {}
    for name, data in files.items():
        path = tmp_path / name
        path.write_bytes(data)
        paths[name.replace("_", ".")] = path
    return repository.send(paths)


@pytest.mark.parametrize(
    "address",
    [
        "hf://org/faces",
        "hf://datasets/faces",
        "hf://datasets/org/faces/below",
        "hf://datasets/org/faces@main",
        "hf://models/org/faces",
        "s3://bucket/faces",
        "org/faces",
        "",
    ],
)
def test_only_a_repository_of_a_data_set_is_pushed_to(address):
    with pytest.raises(ConfigurationError, match=r"must be hf://datasets/ORG/NAME, got "):
        Repository.of(address)


def test_a_name_that_the_hub_does_not_take_is_told_before_any_request(hub):
    with pytest.raises(ConfigurationError, match=r"org/a--b must be a name of the Hub: .*--"):
        Repository.of("hf://datasets/org/a--b")
    assert hub.asked == []


def test_a_repository_that_is_not_there_has_no_commit(hub):
    state = Repository.of("hf://datasets/org/faces").state()
    assert (state.head, state.files) == (None, {})


def test_what_was_sent_is_seen_only_after_the_commit(hub, repository, tmp_path):
    done = sent(repository, tmp_path, a_tar=b"many bytes", b_idx=b"few")
    assert done == {
        "a.tar": Sent(10, hashlib.sha256(b"many bytes").hexdigest(), "lfs"),
        "b.idx": Sent(3, hashlib.sha256(b"few").hexdigest(), "regular"),
    }
    before = repository.state()
    assert list(before.files) == [".gitattributes"]
    change = Change("Add", {"a.tar": done["a.tar"]}, {"b.idx": b"few"})
    commit = repository.commit(change, before.head)
    after = repository.state()
    assert after.head == commit
    assert after.files["a.tar"][:2] == (10, done["a.tar"].sha256)
    assert after.files["b.idx"] == (3, None, blob_of(b"few"))
    assert hub.repositories["org/faces"].files["a.tar"] == b"many bytes"
    assert repository.read("b.idx", commit) == b"few"


def test_a_commit_names_what_another_process_has_sent(hub, repository, tmp_path):
    """The client is told of a file that it has never seen: its size and digest are enough."""
    sent(repository, tmp_path, a_tar=b"many bytes")
    told = Sent(10, hashlib.sha256(b"many bytes").hexdigest(), "lfs")
    asked = len(hub.asked)
    again = Repository(repository.name)
    again.commit(Change("Add", {"x/a.tar": told}), again.state().head)
    assert hub.repositories["org/faces"].files["x/a.tar"] == b"many bytes"
    assert not any(each.method == "PUT" or "preupload" in each.path for each in hub.asked[asked:])


def test_what_the_hub_has_is_not_sent_again(hub, repository, tmp_path):
    sent(repository, tmp_path, a_tar=b"many bytes")
    sent(repository, tmp_path, a_tar=b"many bytes")
    assert hub.count("PUT /blobs") == 1


def test_large_files_go_up_in_parts(hub, repository, tmp_path):
    hub.part_bytes = 4
    done = sent(repository, tmp_path, a_tar=b"many bytes")
    assert hub.count("PUT /blobs") == 3
    assert hub.repositories["org/faces"].blobs == {done["a.tar"].sha256: b"many bytes"}


def test_trees_of_many_pages_are_listed_whole(hub, repository):
    hub.page = 2
    files = {f"folder/{number}": b"" for number in range(5)}
    hub.repositories["org/faces"].edit(**files)
    assert set(repository.state().files) == {".gitattributes", *files}


def test_files_are_removed_by_a_commit(hub, repository):
    hub.repositories["org/faces"].edit(**{"a.txt": b"a", "b.txt": b"b"})
    repository.commit(Change("Remove", removed=["a.txt"]), repository.state().head)
    assert "a.txt" not in hub.repositories["org/faces"].files
    assert hub.repositories["org/faces"].files["b.txt"] == b"b"


def test_a_repository_is_made_once_private_if_that_is_asked_for(hub, repository):
    Repository.of("hf://datasets/org/hidden").create(private=True)
    repository.create(private=True)
    assert {name: each.private for name, each in hub.repositories.items()} == {
        "org/faces": False,
        "org/hidden": True,
    }
    assert len(hub.repositories["org/faces"].commits) == 1


def test_a_commit_of_somebody_else_is_not_overwritten(hub, repository):
    head = repository.state().head
    hub.repositories["org/faces"].edit(**{"README.md": b"theirs"})
    change = Change("Add", contents={"a.txt": b"a"})
    with pytest.raises(
        StoreRefused, match=r"412 A commit has happened since.*: run `dotpipe push` again$"
    ):
        repository.commit(change, head)
    assert repository.state().files.keys() == {".gitattributes", "README.md"}


def test_a_commit_whose_answer_was_lost_is_not_made_twice(hub, repository, tmp_path, impatient):
    done = sent(repository, tmp_path, a_tar=b"many bytes")
    faults = iter(["lost"])
    hub.choose = lambda asked: next(faults, None) if "/commit/" in asked.path else None
    change = Change("Add", done, {"b.txt": b"b"})
    commit = repository.commit(change, repository.state().head)
    titles = [each.title for each in hub.repositories["org/faces"].commits]
    assert titles == ["initial commit", "Add"]
    assert commit == hub.repositories["org/faces"].commits[-1].sha


def test_a_lost_answer_and_a_commit_of_somebody_else_are_told_apart(hub, repository, impatient):
    head = repository.state().head

    def meanwhile(asked):
        if "/commit/" in asked.path and len(hub.repositories["org/faces"].commits) == 1:
            hub.repositories["org/faces"].edit(**{"README.md": b"theirs"})
            return "503"
        return None

    hub.choose = meanwhile
    with pytest.raises(StoreRefused, match="run `dotpipe push` again"):
        repository.commit(Change("Add", contents={"a.txt": b"a"}), head)


def test_a_file_that_the_hub_has_thrown_away_is_told(hub, repository, tmp_path):
    done = sent(repository, tmp_path, a_tar=b"many bytes")
    hub.repositories["org/faces"].blobs.clear()
    with pytest.raises(NotTaken, match="400 LFS pointer pointed to a file that does not exist"):
        repository.commit(Change("Add", done), repository.state().head)


def test_a_card_that_the_hub_does_not_take_is_told(repository):
    change = Change("Add", contents={"README.md": b"---\na: [\n---\n"})
    with pytest.raises(ConfigurationError, match=r"the card must be one that the Hub takes: "):
        repository.commit(change, repository.state().head)


def test_without_rights_nothing_is_sent_and_the_token_is_not_told(
    hub, repository, tmp_path, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    for act in (
        lambda: sent(repository, tmp_path, a_tar=b"many bytes"),
        lambda: Repository.of("hf://datasets/org/others").create(private=False),
    ):
        with pytest.raises(AccessRefused, match="set HF_TOKEN to a token that may") as told:
            act()
        assert "hf_of_nobody" not in str(told.value)
        assert TOKEN not in str(told.value)
        assert hub.address not in str(told.value)
    assert hub.repositories["org/faces"].blobs == {}


def test_bytes_that_are_not_those_of_the_record_are_told():
    sent = Sent(3, "a" * 64, "lfs")
    require_content(sent, 3, "a" * 64, "x.tar")
    for size, digest in ((4, "a" * 64), (3, "b" * 64)):
        with pytest.raises(ArtifactDamaged, match=r"^x.tar must be as it was written"):
            require_content(sent, size, digest, "x.tar")
