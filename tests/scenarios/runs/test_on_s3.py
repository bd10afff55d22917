"""Runs whose images, workspace or both lie in a bucket leave what a run on a disk leaves."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from servers.s3_server import fresh_bucket, hang_up, sometimes, using
from workspaces.killable_runs import nursery

from flows.backfill import backfill
from tasks.enhance.enhance import enhance_shard
from tasks.io.errors import ShardsFailed, StoreRefused
from tasks.io.store import transfers

WORKSPACE = "runs/workspace"


@pytest.fixture
def _hasty(monkeypatch):
    """What fails is tried again without the pauses between."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    monkeypatch.setattr(transfers, "_PAUSE_S", 0.0)


def corpora(url):
    return {role: {"path": f"{url}/{role}"} for role in ("natural", "reference")}


def lasting(project, bucket):
    """What the run in the bucket left that must not differ between two runs."""
    project.hold(bucket.files(WORKSPACE))
    project.vouch()
    assert bucket.uploads() == []
    # later records outdo notes; what a run said of itself it cannot remove without the right to
    told = ("failures/", "claims/runs/")
    return {name: data for name, data in project.lasting().items() if not name.startswith(told)}


def test_images_in_a_bucket_and_the_workspace_on_a_disk(project, bucket, undisturbed):
    backfill(project.configure(corpora=corpora(bucket.upload(project.folder, "photographs"))))
    assert project.lasting() == undisturbed


@pytest.mark.slow
@pytest.mark.usefixtures("_hasty")
def test_an_endpoint_that_fails_every_tenth_request_changes_nothing(
    project, bucket, proxy, undisturbed
):
    images = corpora(bucket.upload(project.folder, "photographs"))
    proxy.choose = sometimes(0.1, seed=1)
    backfill(project.configure(corpora=images, workspace=f"{bucket.url}/{WORKSPACE}"))
    assert sum(proxy.faults.values()) > 20
    assert len(proxy.faults) == 7
    assert lasting(project, bucket) == undisturbed


@pytest.mark.usefixtures("_hasty")
def test_a_run_whose_upload_breaks_off_and_whose_rights_are_taken_loses_nothing(
    project, bucket, proxy, undisturbed, monkeypatch
):
    monkeypatch.setattr(enhance_shard, "retry_delay_seconds", 0)
    config = project.configure(workspace=f"{bucket.url}/{WORKSPACE}")
    tar = re.compile(r"/enhanced/.*/shard-000001\.tar$")
    proxy.choose = lambda request: (
        "upload" if request.method == "PUT" and tar.search(request.path) else None
    )
    with pytest.raises(ShardsFailed, match=r"1 of 3 shards failed.*shard-000001"):
        backfill(config)
    assert not [path for path in bucket.files() if tar.search(f"/{path}")]

    done = bucket.keys(f"{WORKSPACE}/ledger")
    proxy.requests.clear()
    recorded = []

    def denied_after_a_record(request):  # whatever else is written before it, and how often
        if request.writes and recorded:
            return "denied"
        if request.writes and f"/{WORKSPACE}/ledger/" in request.path:
            recorded.append(request.path)
        return None

    proxy.choose = denied_after_a_record
    with pytest.raises(StoreRefused, match=r"AccessDenied: .*; allow s3:ListBucket"):
        backfill(config)
    assert len(bucket.keys(f"{WORKSPACE}/ledger")) > len(done)

    proxy.choose = lambda _: None
    backfill(config)
    assert lasting(project, bucket) == undisturbed
    written = {request.path for request in proxy.requests if request.method == "PUT"}
    assert not [key for key in done if any(key in path for path in written)]

    before = bucket.versions(WORKSPACE)
    backfill(config)
    after = bucket.versions(WORKSPACE).items()
    changed = {key for key, version in after if version != before.get(key)}
    assert {key for key in changed if not re.search("report|configurations", key)} == set()


@pytest.fixture(scope="module")
def two_processes(server, s3_endpoint):
    """Two processes that run the same job at once; returns their exit codes."""
    with using(s3_endpoint), nursery(server) as one, nursery(server) as other:

        def run(project):
            with ThreadPoolExecutor(2) as pool:
                return [*pool.map(lambda start: start(project), (one, other))]

        yield run
    hang_up()


def shards_made(artifacts, known):
    """How many shards the runs after some artifacts found and made, by step."""
    counted = {}
    for artifact in artifacts():
        if artifact["id"] not in known and artifact["type"] == "table":
            for row in json.loads(artifact["data"]):
                if {"step", "shards", "made"} <= row.keys():
                    found, made = counted.get(row["step"], (0, 0))
                    counted[row["step"]] = (found + row["shards"], made + row["made"])
    return counted


@pytest.mark.parametrize("where", [pytest.param("disk", marks=pytest.mark.slow), "bucket"])
def test_two_runs_at_once_share_the_work_and_leave_what_one_leaves(
    project, two_processes, s3_endpoint, artifacts, undisturbed, where
):
    known = {artifact["id"] for artifact in artifacts()}
    with fresh_bucket(s3_endpoint) as bucket:
        if where == "bucket":
            project.configure(workspace=f"{bucket.url}/{WORKSPACE}")
        assert two_processes(project) == [0, 0]
        left = lasting(project, bucket) if where == "bucket" else project.lasting()
    assert left == undisturbed
    counted = shards_made(artifacts, known)
    assert counted
    assert counted.pop("score tiny")[1] == 0  # the pass that enhances has scored all
    assert {step: made for step, (_, made) in counted.items()} == {
        step: found // 2 for step, (found, _) in counted.items()
    }
