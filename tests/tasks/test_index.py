"""The index of a data set: of just its shards, with each tar's name, and no key twice."""

import io
import tarfile

import pytest

from tasks.index import plan_index
from tasks.io.errors import CorpusError, StepMissing
from tasks.shard import plan_shards


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
    corpus = run.config.corpora.natural
    jobs = [unit.job for unit in plan_shards(run.config, corpus, "natural", run.workspace)]
    run.shard()
    return [job.shard for job in jobs if job is not None]


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


def test_an_index_of_no_shards_is_refused(tars):
    run = tars("a")
    with pytest.raises(CorpusError, match="natural must hold at least one image, got none"):
        plan_index(run.config, "natural", [], run.workspace)


def test_an_index_over_a_shard_that_is_not_done_is_refused(tars):
    run = tars("a")
    with pytest.raises(StepMissing, match="shard-000007 must be finished"):
        plan_index(run.config, "natural", ["shard-000007"], run.workspace)
