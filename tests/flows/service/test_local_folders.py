"""Folders of this machine that are deployed to workers elsewhere are named."""

import uuid

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate

from flows.service.local_folders import folders_left_behind

HERE, ELSEWHERE = "http://127.0.0.1:4200", "https://prefect.mine.org:4200"


@pytest.fixture
def pool_of(server):
    """Makes a pool of a type and returns its name."""

    def make(kind):
        name = f"{kind}-{uuid.uuid4().hex[:8]}"
        with get_client(sync_client=True) as client:
            client.create_work_pool(WorkPoolCreate(name=name, type=kind))
        return name

    return make


@pytest.fixture
def config(project):
    return project.configure()


@pytest.mark.parametrize(("kind", "server_at"), [("kubernetes", HERE), ("process", ELSEWHERE)])
def test_folders_that_workers_elsewhere_may_lack_are_named(config, pool_of, kind, server_at):
    pool = pool_of(kind)
    said = folders_left_behind(config, pool, server_at)
    assert said.startswith(
        f"workers of the pool {pool!r}, of type {kind}, must find the folders of this "
        f"configuration under the same names where they run: workspace ({config.workspace}), "
    )
    assert f"corpora.natural.path ({config.corpora.natural.path})" in said


@pytest.mark.parametrize("server_at", [HERE, "http://localhost:4200", "http://[::1]:4200"])
def test_workers_of_this_machine_have_its_folders(config, pool_of, server_at):
    assert folders_left_behind(config, pool_of("process"), server_at) is None
    assert folders_left_behind(config, "not-made-yet", server_at) is None


def test_only_what_is_no_bucket_is_named(config, pool_of):
    reference, natural = "s3://bucket/reference", "s3://bucket/natural"
    corpora = config.corpora.model_copy(
        update={
            "reference": config.corpora.reference.model_copy(update={"path": reference}),
            "natural": config.corpora.natural.model_copy(update={"path": natural}),
        }
    )
    buckets = config.model_copy(update={"corpora": corpora, "weights": "/disk/weights"})
    said = folders_left_behind(buckets, pool_of("kubernetes"), HERE)
    assert "weights (/disk/weights)" in said
    assert "corpora" not in said
    none = buckets.model_copy(update={"workspace": "s3://bucket/dot", "weights": None})
    assert folders_left_behind(none, pool_of("kubernetes"), HERE) is None
