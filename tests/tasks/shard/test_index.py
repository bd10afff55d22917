"""The index of a data set: of just its shards, with each tar's name, and no key twice."""

import io
import tarfile

import pytest

from tasks.io.errors import CorpusError, StepMissing
from tasks.io.store import Store
from tasks.shard.index import plan_index, write_index
from tasks.shard.retire import plan_retirement, retire
from tasks.shard.shard import plan_shards, write_corpus_shard


@pytest.fixture
def tars(tmp_path, steps, write_images, pixels):
    """Writes tars of one-letter keys, and plans over as many of them as a range has."""
    folder = write_images(tmp_path / "restored", {"a.png": pixels(0)})
    buffer = io.BytesIO()
    from PIL import Image

    Image.fromarray(pixels(0)).save(buffer, "PNG")

    def write(*keys, last=None):
        for number, letters in enumerate(keys):
            with tarfile.open(tmp_path / f"{number}.tar", "w") as archive:
                for letter in letters:
                    info = tarfile.TarInfo(f"{letter}.png")
                    info.size = buffer.tell()
                    archive.addfile(info, io.BytesIO(buffer.getvalue()))
        last = len(keys) - 1 if last is None else last
        corpora = {"restored": folder, "natural": tmp_path / f"{{0..{last}}}.tar"}
        return steps(tmp_path / "workspace", corpora)

    return write


def made(run):
    """Shards the tars; those that were not done already."""
    planned = jobs(run)
    run.shard()
    return [job.shard for job in planned if job is not None]


def jobs(run):
    return [unit.job for unit in units_of(run)]


def places(run):
    return {entry.tar: entry.shard[-1] for entry in run.workspace.catalogue("natural").shards}


def test_every_shard_knows_its_tar_and_keys_come_in_order_over_all(tars):
    run = tars("cab", "d", "feg")
    made(run)
    assert places(run) == {"0.tar": "0", "1.tar": "1", "2.tar": "2"}
    assert [place.key for place in run.workspace.keys("natural")] == list("abcdefg")


def test_a_longer_range_makes_shards_of_its_new_tars_only(tars):
    tars("a", "b", "c")
    assert len(made(tars(last=0))) == 1
    run = tars(last=2)
    assert made(run) == ["shard-000001", "shard-000002"]
    assert places(run) == {"0.tar": "0", "1.tar": "1", "2.tar": "2"}


def test_a_shorter_range_retires_the_shards_of_its_lost_tars(tars):
    run = tars("a", "b", "c")
    made(run)
    shorter = tars(last=1)
    assert made(shorter) == []
    assert places(shorter) == {"0.tar": "0", "1.tar": "1"}
    assert not shorter.workspace.store.exists("datasets/natural/shard-000002.tar")


def test_a_retirement_that_was_killed_is_finished_by_the_next_run(tars, monkeypatch):
    made(tars("a", "b", "c"))
    shorter, remove = tars(last=1), Store.remove

    def killed(store, path):
        if path.startswith("datasets/"):
            raise KeyboardInterrupt
        remove(store, path)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            made(shorter)
    assert shorter.workspace.store.exists("datasets/natural/shard-000002.tar")
    assert made(tars(last=1)) == []
    assert not [n for n in shorter.workspace.store.names("datasets") if "shard-000002" in n]
    assert plan_retirement(shorter.opened) is None
    assert made(tars(last=2)) == ["shard-000003"]


def test_strays_that_another_run_makes_anew_stay(tars):
    run = tars("a", "b", "c")
    made(run)
    made(shorter := tars(last=1))
    stray = "datasets/natural/shard-000002.tar"
    run.workspace.store.write(stray, b"in the making")
    job = plan_retirement(shorter.opened)
    assert job.strays == (stray,)
    with run.workspace.claims.held("datasets/natural/shard-000002"):
        retire(job)
    assert run.workspace.store.exists(stray)
    retire(job)
    assert not run.workspace.store.exists(stray)


def test_a_changed_tar_redoes_its_shard_only(tars):
    made(tars("a", "b", "c"))
    before = tars("a", last=2)  # written again
    assert made(before) == ["shard-000000"]


def test_an_empty_tar_is_a_shard_without_rows(tars):
    run = tars("a", "", "b")
    made(run)
    assert places(run) == {"0.tar": "0", "1.tar": "1", "2.tar": "2"}
    assert run.workspace.shards("natural") == {"shard-000000": 1, "shard-000002": 1}
    assert made(run) == []


def test_a_key_in_two_tars_is_told_with_both_and_the_index_stays_as_it_was(tars):
    run = tars("ab", "cd")
    made(run)
    with pytest.raises(CorpusError, match=r"got 'b' in 0\.tar and 2\.tar; give the members names"):
        made(tars("ab", "cd", "be"))
    assert [place.key for place in run.workspace.keys("natural")] == list("abcd")


def test_the_name_of_a_retired_shard_is_not_used_again(tars):
    run = tars("a", "b", "c")
    made(run)
    made(tars(last=1))
    longer = tars(last=2)
    (job,) = (job for job in jobs(longer) if job is not None)
    assert job.shard == "shard-000003"
    write_corpus_shard(job)
    other = tars(last=1)  # which knows nothing of it
    other.shard()
    assert longer.workspace.store.exists("datasets/natural/shard-000003.tar")
    assert made(tars(last=2)) == []
    assert places(longer) == {"0.tar": "0", "1.tar": "1", "2.tar": "3"}


def test_an_index_of_no_shards_is_refused(tars):
    run = tars("a")
    with pytest.raises(CorpusError, match="natural must hold at least one image, got none"):
        plan_index(run.opened, "natural", {})


def units_of(run):
    corpus = run.config.corpora.natural
    return list(plan_shards(run.opened, corpus, "natural"))


def marks(units):
    return {unit.unit: unit.fingerprint for unit in units}


def test_an_index_over_shards_that_another_run_made_from_other_images_is_refused(tars):
    run = tars("a", "b")
    run.shard()
    ours = marks(units_of(run))
    assert plan_index(run.opened, "natural", ours) is None
    other = tars("ac", "b")
    write_corpus_shard(units_of(other)[0].job)
    with pytest.raises(
        StepMissing, match=r"shard-000000 must be as this run planned it.*run again"
    ):
        plan_index(run.opened, "natural", ours)


def test_shards_of_two_runs_with_other_sizes_never_make_one_index(
    tmp_path, steps, write_images, pixels
):
    folder = write_images(tmp_path / "images", {f"{i}.png": pixels(i) for i in range(8)})
    corpora = {"restored": folder, "natural": folder}
    small, large = (steps(tmp_path / "w", corpora, shards={"images": n}) for n in (2, 3))
    ours, theirs = units_of(small), units_of(large)
    for unit in (*ours, *theirs):
        write_corpus_shard(unit.job)
    with pytest.raises(StepMissing, match="another run is changing the data set"):
        plan_index(small.opened, "natural", marks(ours))
    small.shard()
    assert sum(small.workspace.shards("natural").values()) == 8
    assert len(list(small.workspace.keys("natural"))) == 8


def test_an_index_whose_shards_change_while_it_is_written_is_none(tars, monkeypatch):
    run = tars("a", "b")
    for unit in (units := units_of(run)):
        write_corpus_shard(unit.job)
    job = plan_index(run.opened, "natural", marks(units))
    write_corpus_shard(units_of(tars("ac", "b"))[0].job)
    with pytest.raises(StepMissing, match="another run is changing the data set"):
        write_index(job)
    assert run.workspace.ledger.records("datasets/natural/index") == []


def test_an_index_over_a_shard_that_is_not_done_is_refused(tars):
    run = tars("a")
    with pytest.raises(StepMissing, match="shard-000007 must be finished"):
        plan_index(run.opened, "natural", {"shard-000007": "f" * 32})
