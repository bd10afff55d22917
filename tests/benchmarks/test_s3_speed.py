"""Reading shards from a bucket against reading them from a disk."""

import pytest
from servers.s3_server import fresh_bucket, moto_process, using
from workspaces import plain_pipeline as pipeline

from tasks.config.compute import Shards
from tasks.io.shards import read_members
from tasks.io.store import Store
from tasks.io.workspace import Workspace
from tests.support.pictures import decode

IMAGES = 256


@pytest.fixture(scope="module")
def endpoint():
    """In a process of its own: a server of another machine takes no time of this one's."""
    with moto_process() as address, using(address):
        yield address


@pytest.fixture
def shard(make_config, photographs):
    """A workspace on disk with a shard of 512 × 512 JPEG files."""
    config = make_config(photographs(IMAGES, 512), shards=Shards(images=IMAGES))
    pipeline.shard(config, Workspace(config.workspace))
    return config


def test_a_shard_in_a_bucket_is_read_and_decoded_almost_as_fast_as_one_on_disk(
    compared, shard, endpoint
):
    workspace = Workspace(shard.workspace)
    members = workspace.members("reference", "shard-000000")
    limits = shard.shards.limits()
    assert len(members) == IMAGES

    def read_and_decode(store):
        for _, data in read_members(store, members):
            decode(data, limits)

    with fresh_bucket(endpoint) as bucket:
        path = "datasets/reference/shard-000000.tar"
        bucket.put(path, workspace.store.read(path))
        remote = Store(bucket.url)
        assert [*read_members(remote, members[:9])] == [*read_members(workspace.store, members[:9])]
        ratio = compared(
            lambda: read_and_decode(remote), lambda: read_and_decode(workspace.store), 7
        )
    assert 1 / ratio >= 0.8
