"""What is known of a data set's shards, whatever became of its index."""

import pytest

from tasks.io.errors import ArtifactDamaged
from tasks.shard.assignment import files_by_shard
from tasks.shard.dataset import known_catalogue
from tasks.shard.shard import plan_shards, write_corpus_shard


@pytest.fixture
def grown(tmp_path, steps, write_images, pixels):
    """Six images in two shards, and two that came later, in a third one between them."""
    corpora = {"restored": tmp_path / "natural", "natural": tmp_path / "natural"}
    run = steps(tmp_path / "workspace", corpora)
    for keys in ("bdfhjl", "ce"):
        write_images(tmp_path / "natural", {f"{key}.png": pixels(ord(key)) for key in keys})
        run.shard()
    return run


def units(run):
    corpus = run.config.corpora.natural
    return list(plan_shards(run.opened, corpus, "natural"))


def keys_by_shard(run, size=3):
    survey = run.workspace.ledger.survey("datasets/natural")
    catalogue = known_catalogue("natural", survey, run.workspace)
    found = files_by_shard(run.config.corpora.natural, catalogue, {}, size)
    return {each.shard[-1]: "".join(file.key for file in each.files) for each in found}


GROWN = {"0": "bdf", "1": "hjl", "2": "ce"}


def break_index(run, how):
    """Leave the index as a crash, a person or a disk may leave it."""
    ledger, index = (
        run.workspace.ledger,
        run.workspace.store.local("datasets/natural/index.parquet"),
    )
    record = ledger.records("datasets/natural/index")[0]
    if how == "without its record":
        ledger.withdraw([record])
    elif how == "removed":
        index.unlink()
    elif how == "cut short":
        index.write_bytes(index.read_bytes()[:-50])
    elif how == "of bad bytes, and repaired":
        index.write_bytes(b"PAR1" + bytes(500) + index.read_bytes()[504:])
        ledger.withdraw([record])
    else:  # between the index and the list beside it
        index.with_name("shards.parquet").write_bytes(b"of another time")
        ledger.withdraw([record])


def test_files_are_in_the_shards_that_the_index_says(grown):
    assert keys_by_shard(grown) == GROWN


@pytest.mark.parametrize(
    "how", ["without its record", "removed", "cut short", "of bad bytes, and repaired", "torn"]
)
def test_files_stay_where_they_are_without_an_index_and_a_run_mends_it(grown, how):
    before = grown.workspace.store.local("datasets/natural/index.parquet").read_bytes()
    break_index(grown, how)
    assert keys_by_shard(grown) == GROWN
    assert [unit.job for unit in units(grown)] == [None] * 3
    if how not in {"removed", "cut short"}:  # whose records stand until `verify` finds it
        grown.shard()
        assert [entry.rows for entry in grown.workspace.catalogue("natural").shards] == [3, 3, 2]
        index = grown.workspace.store.local("datasets/natural/index.parquet")
        assert index.read_bytes() == before


def test_an_index_that_does_not_know_the_newest_shards_gives_them_the_same_files(
    grown, write_images, pixels, tmp_path
):
    write_images(tmp_path / "natural", {f"{key}.png": pixels(ord(key)) for key in "agmn"})
    first = [unit.job for unit in units(grown) if unit.job is not None]
    for job in first:
        write_corpus_shard(job)  # and then the run is killed
    assert [job.shard for job in first] == ["shard-000003", "shard-000004"]
    assert [unit.job for unit in units(grown)] == [None] * 5
    grown.shard()
    assert keys_by_shard(grown) == {**GROWN, "3": "agm", "4": "n"}


def test_a_first_run_that_was_killed_goes_on_as_it_began(tmp_path, steps, write_images, pixels):
    folder = write_images(tmp_path / "n", {f"{key}.png": pixels(ord(key)) for key in "abcdefghij"})
    run = steps(tmp_path / "workspace", {"restored": folder, "natural": folder})
    jobs = [unit.job for unit in units(run)]
    for number in (0, 2):
        write_corpus_shard(jobs[number])
    assert [u.job and u.job.shard for u in sorted(units(run))] == [
        None,
        "shard-000001",
        None,
        "shard-000003",
    ]
    assert keys_by_shard(run) == {"0": "abc", "1": "def", "2": "ghi", "3": "j"}


def test_a_file_that_comes_after_a_crash_moves_none_of_what_is_done(
    tmp_path, steps, write_images, pixels
):
    folder = write_images(tmp_path / "n", {f"{key}.png": pixels(ord(key)) for key in "bcdefg"})
    run = steps(tmp_path / "workspace", {"restored": folder, "natural": folder})
    write_corpus_shard(units(run)[1].job)
    write_images(folder, {"a.png": pixels(1)})
    assert keys_by_shard(run) == {"1": "efg", "0": "abc", "2": "d"}


def test_a_shard_that_is_not_there_is_told_with_the_command_that_repairs(grown):
    break_index(grown, "without its record")
    grown.workspace.store.remove("datasets/natural/shard-000001.parquet")
    with pytest.raises(ArtifactDamaged, match=r"shard-000001\.parquet must be there, .*repair"):
        keys_by_shard(grown)


def test_nothing_is_known_of_a_data_set_that_has_no_shards(grown):
    survey = grown.workspace.ledger.survey("datasets/other")
    assert known_catalogue("other", survey, grown.workspace) is None
