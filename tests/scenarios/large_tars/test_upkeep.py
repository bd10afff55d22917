"""Large tars that go, are replaced, or whose scan is lost: what is left, and what is said."""

import os

import pytest
from tars.large_tars import members_of

from tasks.io.errors import ArtifactDamaged, CorpusError
from tasks.io.workspace import scan_artifact
from tasks.upkeep.status import status_of_steps
from tasks.upkeep.verify import repair

SCAN = scan_artifact("run", "b.tar")


@pytest.fixture
def made(tars):
    made = tars()
    made.write("b", members_of(range(8)))
    made.write("c", members_of(range(20, 27)))
    made.run()
    return made


def test_of_a_tar_that_is_gone_nothing_is_left_after_a_run_and_a_clean_up(made):
    others = {tar: keys for tar, keys in made.shards().items() if tar.startswith("c.tar")}
    before = made.made()
    (made.folder / "in" / "b.tar").unlink()
    made.run()
    assert made.missing() == []
    assert made.shards() == others
    assert made.enhanced() == [f"{n:03d}" for n in range(20, 27)]
    unneeded, strays, doubts = made.waste()
    assert SCAN in unneeded
    assert (strays, doubts) == ([], [])
    made.clean()
    assert SCAN not in made.made()
    assert made.waste()[:2] == ([], [])
    assert made.damage() == []
    names = [f"datasets/run/shard-00000{n}" for n in (3, 4, 5)]
    assert [made.made()[name] for name in names] == [before[name] for name in names]
    shards = {
        name for name in made.made() if "shard-00000" in name and name.startswith("datasets/run/")
    }
    assert shards == set(names)


def test_a_tar_that_braces_name_and_that_is_gone_is_asked_for(tars):
    made = tars("in/{b,c}.tar")
    for name, numbers in (("b", range(8)), ("c", range(20, 27))):
        made.write(name, members_of(numbers))
    made.run()
    (made.folder / "in" / "b.tar").unlink()
    with pytest.raises(CorpusError, match=r"b\.tar is not; correct the path"):
        made.run()
    assert SCAN not in made.waste()[0]
    assert made.waste()[2]


@pytest.mark.parametrize("numbers", [range(30, 34), range(2), range(40, 55)])
def test_a_tar_that_is_replaced_gives_its_own_images_and_none_of_the_other(made, numbers):
    made.write("b", members_of(numbers))
    made.run()
    keys = [*numbers, *range(20, 27)]
    assert made.enhanced() == sorted(f"{n:03d}" for n in keys)
    assert made.missing() == []
    found = [key for keys in made.shards().values() for key in keys]
    assert sorted(found) == made.enhanced()
    made.clean()
    assert made.waste()[:2] == ([], [])
    assert made.damage() == []
    assert made.missing() == []


@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_a_scan_that_is_lost_is_told_and_made_again_and_no_shard_is(made, how):
    before = made.made()
    path = made.workspace.store.local(f"{SCAN}.parquet")
    if how == "damaged":
        path.write_bytes(b"no table")
    else:
        path.unlink()
    (damaged,) = made.damage()
    assert damaged.record.artifact == SCAN
    with pytest.raises(ArtifactDamaged, match="dotpipe repair"):
        made.missing()
    repair(made.workspace.ledger, [damaged])
    states = {step.name: step for step in status_of_steps(made.steps.config)}
    assert (states["scan run"].done, states["scan run"].missing) == (1, 1)
    assert states["shard run"].waits
    made.run()
    assert made.made() == before
    assert made.missing() == []


def test_status_says_what_a_tar_that_has_grown_needs(made):
    with (made.folder / "in" / "b.tar").open("ab") as tar:
        tar.write(bytes(1024))
    states = {step.name: step for step in status_of_steps(made.steps.config)}
    assert (states["scan run"].done, states["scan run"].missing) == (1, 0)
    assert states["scan run"].stale == 1
    os.utime(made.folder / "in" / "b.tar", ns=(1, 1))
    made.run()
    assert made.missing() == []
