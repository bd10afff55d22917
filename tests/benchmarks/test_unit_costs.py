"""What one of each thing costs, and what a million shards and a thousand workers come to.

The table that the last test prints is that of infra/docs/limits.md.
"""

import time
import tracemalloc
from contextlib import contextmanager
from functools import partial
from itertools import islice

import pytest
import torch
from costs.history_costs import measure_history
from costs.large_service import Claims, Costs, Features, Moments, Plans, tables
from servers.s3_server import faulty, fresh_bucket, moto_process, using
from workspaces import plain_pipeline as pipeline
from workspaces.many_shards import OPERATOR, finish, unfinished

from dot_kernels import GaussianMoments
from tasks.config import Config, Run
from tasks.config.compute import Blocks
from tasks.enhance.enhance import enhance_shard
from tasks.enhance.match import plan_matches, write_matches
from tasks.enhance.plan import plan_enhancement
from tasks.fit.operators import FittedRun, find_operator
from tasks.io.artifacts.features import FeatureWriter, read_statistics
from tasks.io.artifacts.moments import load_moments, save_moments
from tasks.io.ledger import Claims as Claimed
from tasks.io.ledger import owner
from tasks.io.ledger.owner import HEARTBEAT_S
from tasks.io.ledger.records import LEDGER
from tasks.io.store import Store
from tasks.io.workspace import Workspace

SHARDS = 10_000
BLOCK = Blocks().shards


def seconds(work, rounds=3):
    """The best of some rounds: others may be at work on the machine."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


@contextmanager
def memory():
    """What the block has taken and still has, in bytes: a function to be asked in it."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """Of 10,000 shards, four alphas, three controls and the curve."""
    config = unfinished(tmp_path_factory.mktemp("numerous"), SHARDS)
    workspace = Workspace(config.workspace)
    plan = partial(plan_enhancement, FittedRun(config, workspace, OPERATOR), with_images=True)
    missing_s = seconds(lambda: all(unit.job for unit in plan()), rounds=1)
    with memory() as taken:
        units = plan()
        held = [[*islice(units, 1000)], taken(), [*islice(units, 1000)], taken()]
    artifacts = finish(config)
    records = sum(1 for _ in workspace.store.names(LEDGER))
    with memory() as taken:
        survey = workspace.ledger.survey("")
        record_bytes = taken() / len(list(survey.all()))
    block = [f"shard-{number:06d}" for number in range(BLOCK)]
    return Plans(
        artifacts=artifacts // SHARDS,
        records=records // SHARDS,
        missing_s=missing_s / SHARDS,
        done_s=seconds(lambda: all(unit.job is None for unit in plan())) / SHARDS,
        block_s=seconds(lambda: list(plan(shards=block))) / SHARDS,
        name_s=seconds(lambda: sum(1 for _ in workspace.store.names(LEDGER))) / records,
        record_bytes=record_bytes,
        unit_bytes=(held[3] - held[1]) / 1000,
    )


@pytest.fixture(scope="module")
def bucket():
    """A bucket behind a proxy that counts requests."""
    with (
        moto_process() as address,
        fresh_bucket(address) as empty,
        faulty(address) as before,
        using(before.address),
    ):
        yield empty, before


@contextmanager
def counted(proxy):
    """The requests that the block makes."""
    start, made = len(proxy.requests), []
    yield made
    made += proxy.requests[start:]


@pytest.fixture(scope="module")
def listing(bucket):
    """Requests per 1,000 records of a survey."""
    empty, proxy = bucket
    records, workspace = 4000, Workspace(f"{empty.url}/listed")
    for number in range(records):
        empty.put(f"listed/{LEDGER}/datasets/a/shard-{number:06d}@{number:032d}={0:032d}.json", b"")
    with counted(proxy) as made:
        survey = workspace.ledger.survey("datasets/a")
    assert len(survey.artifacts()) == records
    return 1000 * len(made) / records


@pytest.fixture(scope="module")
def claims(bucket, photographs):
    """Of one claim, and of a shard of eight images."""
    empty, proxy = bucket
    claimed = Claimed(Store(f"{empty.url}/claimed"))
    with counted(proxy) as taking, claimed.held("a"):
        pass
    with pytest.MonkeyPatch.context() as patch, counted(proxy) as beating:
        patch.setattr(owner, "HEARTBEAT_S", 0.25)
        with claimed.held("b"):  # a thread that looked after others may sleep for a beat yet
            while (touches := sum(request.method == "PUT" for request in proxy.requests) - 2) < 9:
                time.sleep(0.1)
    return Claims(
        taken=len(taking),
        beat=(len(beating) - len(taking)) / touches,
        beat_s=HEARTBEAT_S,
        shard=requests_of_a_shard(empty, proxy, photographs),
    )


def requests_of_a_shard(bucket, proxy, photographs):
    """Of its enhancement at four alphas, scored, without the plan."""
    config = Config.model_validate(
        {
            "name": "bench",
            "workspace": f"{bucket.url}/enhanced",
            "corpora": {"reference": {"path": str(photographs(32, 64))}},
            "degrade": [{"kind": "noise", "sigma": 0.1}],
            "restore": {"kind": "bicubic"},
            "codec": {"kind": "pixel", "factor": 8},
            "patches": {"size": 1},
            "fit": {"images": 8},
            "evaluate": {"lpips": None, "features": None},
            "shards": {"images": 8},
            "compute": {"device": "cpu"},
        }
    )
    workspace = Workspace(config.workspace)
    pipeline.shard(config, workspace)
    pipeline.fit(config, workspace)
    write_matches(plan_matches(Run(config, workspace)))
    units = [
        *plan_enhancement(
            FittedRun(config, workspace, find_operator(config, workspace)), with_images=True
        )
    ]
    enhance_shard.fn(units[0].job)  # reads the operator, once for all of them
    with counted(proxy) as made:
        outcomes = [enhance_shard.fn(unit.job) for unit in units[1:]]
    assert [outcome.images for outcome in outcomes] == [8] * 3
    return len(made) / 3


@pytest.fixture(scope="module")
def moments(tmp_path_factory):
    """Of files with the moments of a whole shard."""
    folder, rng = tmp_path_factory.mktemp("moments"), torch.Generator().manual_seed(1)
    return [moments_of(folder, dimensions, rng) for dimensions in (36, 144, 576)]


def moments_of(folder, dimensions, rng):
    """Read from the page cache, and added one after the other."""
    part = GaussianMoments.of(torch.randn(1000, dimensions, generator=rng))
    paths = [folder / f"{dimensions}-{number}.safetensors" for number in range(50)]
    for path in paths:
        save_moments({"": part}, path)

    def add():
        total = GaussianMoments.zero(dimensions)
        for path in paths:
            total = total + load_moments(path)[0][""]

    size = paths[0].stat().st_size
    return Moments(dimensions=dimensions, file_bytes=size, merge_s=seconds(add) / len(paths))


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """Of tables of 256 images with 2048 features each."""
    folder, rng = tmp_path_factory.mktemp("features"), torch.Generator().manual_seed(1)
    names = [f"shard-{number}.parquet" for number in range(32)]
    for name in names:
        writer = FeatureWriter(folder / name, 2048, "none")
        keys = [f"{name}/{number}" for number in range(256)]
        writer.add(keys, list(torch.randn(256, 2048, generator=rng)))
        writer.close()
    images = 256 * len(names)
    took = seconds(lambda: read_statistics(Store(str(folder)), names, capacity=5000))
    size = sum((folder / name).stat().st_size for name in names)
    return Features(image_bytes=size / images, image_s=took / images)


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Of a Prefect server on PostgreSQL."""
    return measure_history(tmp_path_factory.mktemp("history"))


def test_a_plan_takes_less_than_five_milliseconds_and_ten_records_of_memory_a_shard(plans):
    assert plans.artifacts == 12
    assert plans.missing_s < 0.005
    assert plans.done_s < 0.001
    assert plans.block_s < plans.done_s
    assert plans.record_bytes < 600


def test_a_bucket_is_asked_once_for_a_thousand_records(listing):
    assert listing <= 1


def test_a_claim_costs_three_requests_to_have_and_three_to_touch(claims):
    assert claims.taken <= 3
    assert claims.beat <= 3.1


def test_moments_are_merged_in_milliseconds(moments):
    assert max(one.merge_s for one in moments) < 0.02


def test_features_take_their_own_size_and_a_few_milliseconds_an_image(features):
    assert 8192 <= features.image_bytes < 8300
    assert features.image_s < 0.005


def test_recording_in_batches_halves_what_a_task_run_costs_the_server(history):
    assert history.shard_s < history.alone_s / 2
    assert history.shard_bytes < 30_000
    assert history.run_bytes < 100_000


def test_the_page_on_limits_has_the_rows_of_this_table(
    plans, listing, claims, moments, features, history, repository
):
    costs = Costs(
        plans=plans,
        list_requests=listing,
        claims=claims,
        moments=moments,
        features=features,
        history=history,
        block=BLOCK,
    )
    table = tables(costs)
    print(f"\n{table}")
    page = (repository / "infra" / "docs" / "limits.md").read_text("utf-8")
    assert rows_of(table) == rows_of(page[page.index("| what |") :].partition("\n\n")[0])


def rows_of(table):
    """What its rows are about."""
    return [line.split("|")[1].strip() for line in table.splitlines()]
