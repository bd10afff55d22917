"""A finished run that may be pushed, and a push by plain functions."""

import shutil

import pytest

from tasks.io.hub import Repository
from tasks.push.plan import Push, alphas_to_push
from tasks.push.upload import send_files

ADDRESS = "hf://datasets/org/faces"


@pytest.fixture(scope="module")
def own(tmp_path_factory, finished, steps, photographs):
    """A copy of the finished run's workspace, for those who only push."""
    return copied(finished, steps, photographs, tmp_path_factory.mktemp("own"))


@pytest.fixture
def changing(tmp_path, finished, steps, photographs):
    """Another copy, whose configuration and files may change."""
    return copied(finished, steps, photographs, tmp_path / "changing")


def copied(finished, steps, photographs, folder, **sections):
    shutil.copytree(finished.config.workspace, folder, dirs_exist_ok=True)
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    copy = steps(folder, corpora, **sections)
    copy.report()  # which says where the workspace is
    return copy


@pytest.fixture
def plan(hub):
    """Plans a push as the command does; the repository is made where there is none."""

    def of(run, *alphas, create=True):
        repository, wanted = Repository.of(ADDRESS), alphas_to_push(run.config, alphas)
        planned = Push(run.fitted, repository, wanted)
        if not create or planned.is_done:
            return planned
        planned.create(private=False)
        return Push(run.fitted, repository, wanted)

    return of


@pytest.fixture
def push(plan):
    """Pushes a run; returns the shards that were sent and the commit, None if there was none."""

    def of(run, *alphas):
        planned = plan(run, *alphas)
        jobs = [unit.job for unit in planned.units() if unit.job is not None]
        for job in jobs:
            send_files(job)
        return [job.shard for job in jobs], planned.finish()

    return of
