"""A run that is killed and started again ends as if nothing had happened."""

import shutil
import signal
import tarfile

import pytest


@pytest.mark.parametrize(
    ("place", "count"),
    [
        pytest.param(
            "tasks.io.shards.writer:TarWriter.add", 3, id="sharding, inside the first tar"
        ),
        pytest.param(
            "tasks.enhance.outputs:OutputsOfShard.close", 2, id="enhancing, inside the second shard"
        ),
        pytest.param(
            "tasks.io.store.store:Store.put", 61, id="enhancing, between a tar and its record"
        ),
    ],
)
def test_a_killed_run_started_again_gives_the_same_bytes(
    project, run_in_process, undisturbed, place, count
):
    assert run_in_process(project, place, count) == -signal.SIGKILL
    assert project.partial()
    project.vouch()
    assert run_in_process(project) == 0
    assert project.partial() == []
    assert project.lasting() == undisturbed


@pytest.mark.slow
def test_a_fit_of_two_rounds_that_is_killed_in_the_second_gives_the_same_bytes(
    project, run_in_process
):
    project.configure(reapply=1)
    for place in (
        "tasks.fit.earlier_rounds.images:EarlierRounds.images",
        "tasks.fit.statistics:MomentFiles.read",
    ):
        assert run_in_process(project, place, 1) == -signal.SIGKILL
        project.vouch()
    assert run_in_process(project) == 0
    resumed = project.lasting()
    assert len([name for name in resumed if name.startswith("operators/")]) == 2
    shutil.rmtree(project.workspace)
    assert run_in_process(project) == 0
    assert project.lasting() == resumed


def test_no_record_outlives_its_files_when_the_change_of_a_tar_is_cut_short(
    complete, run_in_process
):
    complete.configure(enhance={"alphas": [0], "format": "png"})  # put behind ten files of tables
    assert run_in_process(complete, "tasks.io.store.store:Store.put", 13) == -signal.SIGKILL
    complete.vouch()
    (tar,) = complete.workspace.glob("enhanced/*/*/alpha=+0.00/shard-000000.tar")
    with tarfile.open(tar) as archive:
        assert all(name.endswith(".png") for name in archive.getnames())
    artifacts = [record.artifact for record in complete.records()]
    assert not [name for name in artifacts if name.endswith("alpha=+0.00/shard-000000")]
