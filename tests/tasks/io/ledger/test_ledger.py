"""The ledger: what is done is found, what is half done is not, and nothing lies."""

import json
import threading

import fsspec
import pytest

from tasks.io.ledger import Ledger, Record, digest_of, fingerprint
from tasks.io.store import Store


@pytest.fixture(params=["local", "memory", "s3"])
def ledger(request, tmp_path):
    if request.param == "local":
        yield Ledger(Store(str(tmp_path)))
    elif request.param == "s3":
        yield Ledger(Store(f"{request.getfixturevalue('bucket').url}/root"))
    else:
        yield Ledger(Store(f"memory://{tmp_path.name}/root"))
        fsspec.filesystem("memory").store.clear()


def publish(ledger, artifact="moments/x/shard-000000", mark="f" * 32, content="1", inputs=None):
    with ledger.publishing(artifact, mark, inputs) as publication:
        publication.file(f"{artifact}.txt").write_text(content)
        publication.facts["images"] = 3
    return publication.digest


def files(ledger):
    return sorted(path for path in ledger.store.names(""))


@pytest.mark.parametrize(
    "artifact",
    [
        "datasets/x/shard-000000",
        "enhanced/x/0123/alpha=+0.00/shard-000000",
        "moments/a.b/selection",
    ],
)
def test_a_records_path_parses_to_the_record(artifact):
    record = Record(artifact, "a" * 32, "b" * 32)
    assert Record.parse(record.path) == record


def test_a_thinned_artifact_counts_as_made_without_the_file_that_went(ledger):
    with ledger.publishing("restorers/x/y/segment-000000", "f" * 32) as publication:
        for ending in ("safetensors", "parquet"):
            publication.file(f"{publication.artifact}.{ending}").write_text(ending)
    (record,) = ledger.records(publication.artifact)
    for _ in range(2):  # safe to repeat
        ledger.thin(record, f"{publication.artifact}.safetensors")
        assert files(ledger) == [record.path, f"{publication.artifact}.parquet"]
        assert list(ledger.facts(record)["files"]) == [f"{publication.artifact}.parquet"]
    assert ledger.records(publication.artifact) == [record]


def test_a_finished_artifact_is_found_by_what_it_was_made_from(ledger):
    digest = publish(ledger)
    survey = ledger.survey("moments/x")
    assert survey.digest("moments/x/shard-000000", "f" * 32) == digest
    assert survey.artifacts() == ["moments/x/shard-000000"]
    assert survey.digest("moments/x/shard-000000", "0" * 32) is None
    assert survey.digest("moments/x/shard-000001", "f" * 32) is None


def test_a_record_tells_its_files_and_facts(ledger):
    publish(ledger, content="four")
    (record,) = ledger.survey("moments/x").records("moments/x/shard-000000")
    facts = ledger.facts(record)
    assert facts["images"] == 3
    (name, described), *_ = facts["files"].items()
    assert name == "moments/x/shard-000000.txt"
    assert described["size"] == 4


def test_equal_content_has_an_equal_digest_and_other_content_another(ledger):
    first = publish(ledger, mark="1" * 32)
    assert publish(ledger, mark="2" * 32) == first
    assert publish(ledger, mark="3" * 32, content="2") != first


def test_an_exception_leaves_neither_files_nor_record(ledger):
    def fail():
        with ledger.publishing("a/b", "f" * 32) as publication:
            publication.file("a/b.txt").write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail()
    assert files(ledger) == []


def test_the_record_is_written_after_all_files(ledger, monkeypatch):
    order = []
    put = Store.put

    def watched(self, files):
        order.append(list(files))
        put(self, files)

    monkeypatch.setattr(Store, "put", watched)
    with ledger.publishing("a/b", "f" * 32) as publication:
        publication.file("a/b.tar").write_text("1")
        publication.file("a/b.parquet").write_text("2")
    first, (record,) = order
    assert first == ["a/b.tar", "a/b.parquet"]
    assert record.startswith("ledger/a/b@")


def test_a_failure_between_files_leaves_no_record(ledger, monkeypatch):
    put = Store.put

    def failing(self, files):
        put(self, {"a/b.tar": files["a/b.tar"]})
        raise OSError("disk full")

    def publish_two():
        with ledger.publishing("a/b", "f" * 32) as publication:
            publication.file("a/b.tar").write_text("1")
            publication.file("a/b.parquet").write_text("2")

    monkeypatch.setattr(Store, "put", failing)
    with pytest.raises(OSError, match="disk full"):
        publish_two()
    assert ledger.survey("a").artifacts() == []
    assert files(ledger) == ["a/b.tar"]


def test_stale_records_are_withdrawn_before_their_files_change(ledger, monkeypatch):
    publish(ledger, mark="1" * 32)
    monkeypatch.setattr(Store, "put", lambda *_: pytest.fail("stop"))
    with pytest.raises(pytest.fail.Exception):
        publish(ledger, mark="2" * 32, content="2")
    assert ledger.survey("moments").artifacts() == []


def test_after_a_change_only_the_new_record_is_left(ledger):
    artifact = "moments/x/shard-000000"
    publish(ledger, mark="1" * 32)
    assert [record.fingerprint for record in ledger.records(artifact)] == ["1" * 32]
    publish(ledger, mark="2" * 32, content="2")
    (record,) = ledger.survey("moments").records(artifact)
    assert record.fingerprint == "2" * 32
    assert ledger.store.read(f"{artifact}.txt") == b"2"


def test_a_record_is_json_that_every_tool_reads(ledger):
    publish(ledger)
    (record,) = ledger.survey("moments").records("moments/x/shard-000000")
    body = json.loads(ledger.store.read(record.path), parse_constant=pytest.fail)
    assert body["artifact"] == "moments/x/shard-000000"


def test_a_fingerprint_depends_on_step_and_inputs():
    first = fingerprint("enhance", {"alpha": 0.5})
    assert fingerprint("enhance", {"alpha": 0.5}) == first
    assert fingerprint("measure", {"alpha": 0.5}) != first
    assert fingerprint("enhance", {"alpha": 0.25}) != first


def test_a_digest_does_not_depend_on_the_order_of_names():
    assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1})
    assert digest_of([1, 2]) != digest_of([2, 1])


def test_retiring_removes_files_and_record_and_is_safe_to_repeat(ledger):
    publish(ledger)
    publish(ledger, artifact="moments/x/shard-000001")
    retired = ledger.survey("moments/x").of_shards({"shard-000001"})
    ledger.retire(retired)
    left = files(ledger)
    assert [name for name in left if "shard-000001" in name] == []
    assert len(left) == 2
    ledger.retire(retired)
    assert files(ledger) == left


def test_a_retirement_that_is_cut_short_leaves_files_but_no_record(ledger, monkeypatch):
    publish(ledger)
    records = ledger.survey("moments/x").of_shards({"shard-000000", "shard-000001"})
    remove = Store.remove

    def stopped(store, path):
        if not path.startswith("ledger/"):
            raise OSError("stop")
        remove(store, path)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "remove", stopped)
        with pytest.raises(OSError, match="stop"):
            ledger.retire(records)
    assert files(ledger) == ["moments/x/shard-000000.txt"]
    assert ledger.survey("moments/x").digest("moments/x/shard-000000", "f" * 32) is None
    ledger.retire(records)


def test_files_that_another_artifact_has_taken_over_stay_with_it(ledger):
    with ledger.publishing("e/shard-000000", "1" * 32) as publication:
        for name in ("e/shard-000000.index", "e/images/a", "e/images/b"):
            publication.file(name).write_text(name)
    (first,) = ledger.records("e/shard-000000")
    known = ledger.facts(first)["files"]
    with ledger.publishing("e/shard-000001", "2" * 32) as publication:
        publication.file("e/shard-000001.index").write_text("both")
        publication.adopted["e/images/a"] = known["e/images/a"]
    (second,) = ledger.records("e/shard-000001")
    assert ledger.facts(second)["files"].keys() == {"e/shard-000001.index", "e/images/a"}
    ledger.retire([first])
    left = [second.path, "e/images/a", "e/shard-000001.index"]
    assert files(ledger) == sorted(left)
    ledger.retire([second])
    assert files(ledger) == []


def test_files_of_artifacts_that_go_together_go_with_them(ledger):
    for number in range(2):
        with ledger.publishing(f"e/{number}", "1" * 32) as publication:
            publication.file("e/images/a").write_text("a")
    ledger.retire(list(ledger.survey("e").all()))
    assert files(ledger) == []


def test_records_are_retired_and_withdrawn_side_by_side(ledger, monkeypatch):
    for number in range(4):
        publish(ledger, artifact=f"moments/x/shard-{number:06d}")
    records = list(ledger.survey("moments").all())
    for name, work in (("read", ledger.retire), ("remove", ledger.withdraw)):
        together, does = threading.Barrier(4, timeout=30), getattr(Store, name)

        def meeting(self, path, together=together, does=does):
            together.wait()  # breaks where they come one after the other
            return does(self, path)

        with monkeypatch.context() as patch:
            patch.setattr(Store, name, meeting)
            work(records)
    assert files(ledger) == []


def test_retiring_an_artifact_of_two_files_takes_four_requests(bucket, proxy):
    ledger = Ledger(Store(f"{bucket.url}/root"))
    with ledger.publishing("a/b", "f" * 32) as publication:
        for name in ("tar", "parquet"):
            publication.file(f"a/b.{name}").write_text(name)
    (record,) = ledger.survey("a").all()
    proxy.requests.clear()
    ledger.retire([record])
    assert sorted(request.method for request in proxy.requests) == ["DELETE"] * 3 + ["GET"]


def test_files_of_what_an_artifact_was_before_go_if_it_has_them_no_more(ledger):
    artifact = "metrics/x/curve/shard-000000"
    with ledger.publishing(artifact, "1" * 32) as publication:
        for name in ("table", "features"):
            publication.file(f"{name}.txt").write_text(name)
    with ledger.publishing(artifact, "2" * 32) as publication:
        publication.file("table.txt").write_text("another")
    (record,) = ledger.survey("metrics").records(artifact)
    assert files(ledger) == sorted(["table.txt", record.path])


def publish_at_once(ledger, monkeypatch, first, second):
    """One publishes between another one's files and its record."""
    write, waiting = Store.write, [second]

    def watched(self, path, data):
        if waiting:
            publish(ledger, mark="2" * 32, content=waiting.pop())
        write(self, path, data)

    monkeypatch.setattr(Store, "write", watched)
    publish(ledger, mark="1" * 32, content=first)


def test_of_two_who_publish_at_once_nobody_vouches_for_the_files_of_the_other(ledger, monkeypatch):
    publish_at_once(ledger, monkeypatch, "1", "2")
    assert ledger.records("moments/x/shard-000000") == []
    publish(ledger, mark="1" * 32)
    assert len(ledger.records("moments/x/shard-000000")) == 1


def test_of_two_who_publish_the_same_at_once_one_record_is_left(ledger, monkeypatch):
    publish_at_once(ledger, monkeypatch, "1", "1")
    (record,) = ledger.records("moments/x/shard-000000")
    assert record.fingerprint == "1" * 32
    assert ledger.store.read("moments/x/shard-000000.txt") == b"1"


def test_a_run_that_is_killed_over_anothers_files_leaves_no_record_of_them(ledger, monkeypatch):
    put, artifact = Store.put, "moments/x/shard-000000"

    def killed(*_):
        raise KeyboardInterrupt

    def between(self, files):
        monkeypatch.setattr(Store, "put", put)
        publish(ledger, mark="2" * 32, content="2")  # while ours were being written
        put(self, files)
        monkeypatch.setattr(Store, "write", killed)  # before ours has its record

    monkeypatch.setattr(Store, "put", between)
    with pytest.raises(KeyboardInterrupt):
        publish(ledger, mark="1" * 32, content="1")
    assert ledger.store.read(f"{artifact}.txt") == b"1"
    assert ledger.records(artifact) == []


def test_an_artifact_with_two_records_counts_as_missing_until_it_is_made_again(ledger):
    publish(ledger, mark="1" * 32)
    artifact = "moments/x/shard-000000"
    (record,) = ledger.records(artifact)
    ledger.store.write(record._replace(fingerprint="2" * 32).path, ledger.store.read(record.path))
    for mark in ("1" * 32, "2" * 32):
        assert ledger.survey("moments").digest(artifact, mark) is None
    publish(ledger, mark="2" * 32)
    assert [one.fingerprint for one in ledger.records(artifact)] == ["2" * 32]
