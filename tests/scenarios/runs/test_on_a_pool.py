"""A server on PostgreSQL, workers that are processes, and what is left when they are killed."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pyarrow.dataset as ds
import pytest
import yaml
from servers.on_a_pool import require_success, runs_of, wait_for
from servers.prefect_service import worker

from flows.backfill import backfill
from flows.fit_transport import fit_transport
from flows.restore_dataset import restore_dataset
from flows.service.deployments import defined
from flows.shard_corpus import shard_corpus
from tasks.pipeline import is_finished

pytestmark = [pytest.mark.slow, pytest.mark.service]

BIN = Path(sys.executable).parent
SMALL = {"shards": {"images": 1}, "blocks": {"shards": 2, "at_once": 3}}
"""Eight shards in four blocks."""


@pytest.fixture(scope="module")
def undisturbed_in_blocks(tmp_path_factory, picture_folders, new_project, server):
    """What one process leaves of the same configuration."""
    project = new_project(tmp_path_factory.mktemp("undisturbed") / "project")
    backfill(project.configure(**SMALL))
    return project.lasting()


@pytest.fixture
def fitted(project, server):
    """The project with its shards and its operator; nothing is enhanced."""
    config = project.configure(**SMALL)
    shard_corpus(config)
    restore_dataset(config)
    fit_transport(config)
    return project


def require_no_duplicate_rows(project):
    table = ds.dataset(project.workspace / "metrics", format="parquet").to_table()
    columns = [table[name].to_pylist() for name in ("signal", "alpha", "key")]
    rows = Counter(zip(*columns, strict=True))
    assert set(rows.values()) == {1}


def block_under_way(service, one):
    """The id of a block that a worker computes now."""
    for run in runs_of(service, "enhance-block", "Running"):
        process = psutil.Process(int(run["infrastructure_pid"].rpartition(":")[2]))
        if process.ppid() == one.process.pid:
            return run["id"]
    return None


def state_of(service, run):
    return service.ask(f"flow_runs/{run}")["state"]


def test_killed_workers_cost_a_run_and_no_byte(
    fitted, undisturbed_in_blocks, service, workers, dotpipe
):
    following = dotpipe("backfill", fitted.file)
    block = wait_for(lambda: block_under_way(service, workers["one"]))
    workers["one"].kill()
    assert "report: " in require_success(following)
    assert state_of(service, block)["name"] == "Crashed"
    assert "its worker died" in state_of(service, block)["message"]
    assert "nothing to do" in require_success(dotpipe("backfill", fitted.file))
    names = Counter(run["name"] for run in runs_of(service, "enhance-block"))
    assert sorted(names) == [f"enhance tiny shard-00000{number}" for number in (0, 2, 4, 6)]
    assert sorted(names.values()) == [1, 1, 1, 2]
    assert fitted.lasting() == undisturbed_in_blocks
    require_no_duplicate_rows(fitted)


def test_a_killed_conductor_is_succeeded_by_the_next(
    fitted, undisturbed_in_blocks, service, workers, dotpipe
):
    following = dotpipe("backfill", fitted.file)
    block = wait_for(lambda: block_under_way(service, workers["one"]))
    workers["lead"].kill()
    said, _ = following.communicate(timeout=120)
    assert following.returncode == 1
    assert "its worker died" in said
    workers["lead"].start()
    require_success(dotpipe("backfill", fitted.file))
    assert state_of(service, block)["name"] == "Completed"
    assert len(runs_of(service, "enhance-block")) == 4  # those under way were adopted
    assert fitted.lasting() == undisturbed_in_blocks
    require_no_duplicate_rows(fitted)


@pytest.mark.usefixtures("workers")
def test_a_killed_server_is_waited_for(fitted, undisturbed_in_blocks, service, dotpipe):
    following = dotpipe("backfill", fitted.file)
    wait_for(lambda: runs_of(service, "enhance-block", "Running"))
    service.kill()
    time.sleep(5)
    service.start()
    said, _ = following.communicate(timeout=600)
    if following.returncode:  # a run that ended while the server was away may count as failed
        said = require_success(dotpipe("backfill", fitted.file))
    assert "report: " in said
    assert fitted.lasting() == undisturbed_in_blocks
    require_no_duplicate_rows(fitted)


def deploy_from_prefect_yaml(project, config, service, tmp_path):
    """What an operator does without dotpipe's command; every minute is night."""
    tree = defined()
    for deployment in tree["deployments"]:
        deployment["name"] = config.name
        deployment["parameters"]["config"] = config.model_dump(mode="json")
        if "schedules" in deployment:
            deployment["schedules"] = [{"cron": "* * * * *", "timezone": "UTC"}]
    file = tmp_path / "prefect.yaml"
    file.write_text(yaml.safe_dump(tree), "utf-8")
    done = subprocess.run(
        [BIN / "prefect", "--no-prompt", "deploy", "--prefect-file", file, "--all"],
        env=service.variables,
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


MARK = "MARKED7CREDENTIAL7THAT7NOBODY7MAY7SEE"


@pytest.fixture
def marked(bucket, monkeypatch):
    """A bucket whose secret key is easily found wherever it is told."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", MARK)
    return bucket


def places_of(text, folder, database):
    """The files below a folder, and the dump of the database, that hold a text."""
    found = [str(p) for p in folder.rglob("*") if p.is_file() and text.encode() in p.read_bytes()]
    dump = subprocess.run(
        [database.binaries / "pg_dump", database.psql_url], capture_output=True, check=True
    )
    assert b"enhance-block" in dump.stdout
    return found + (["the database"] if text.encode() in dump.stdout else [])


def test_a_schedule_fires_and_the_run_does_it_all_and_tells_no_secret(
    marked, project, database, service, tmp_path
):
    url = marked.upload(project.folder, "photographs")
    corpora = {role: {"path": f"{url}/{role}"} for role in ("natural", "reference")}
    config = project.configure(corpora=corpora)
    with worker(tmp_path, service, pool="dotpipe"):
        deploy_from_prefect_yaml(project, config, service, tmp_path)
        (run,) = wait_for(lambda: runs_of(service, "backfill-in-blocks", "Completed")[:1], 400)
    assert is_finished(config)
    project.vouch()
    assert (run["auto_scheduled"], run["name"]) == (True, "backfill tiny in blocks")
    others = [each for each in runs_of(service, "backfill-in-blocks") if each["id"] != run["id"]]
    assert not {each["state"]["name"] for each in others} & {"Failed", "Crashed"}
    (block,) = runs_of(service, "enhance-block", "Completed")
    assert {"data-set:tiny", "alpha:+0.00", "alpha:+0.50"} <= set(block["tags"])
    keys = {artifact["key"] for artifact in service.ask("artifacts/filter", limit=200)}
    assert {"report", "metrics", "transport-operator", "enhanced-shards"} <= keys
    password = urlsplit(database.psql_url).password
    assert [places_of(secret, tmp_path, database) for secret in (MARK, password)] == [[], []]
