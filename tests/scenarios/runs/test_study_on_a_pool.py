"""A study whose points are done by workers that are processes, some of them killed."""

import pyarrow.parquet as pq
import pytest
import yaml
from servers.on_a_pool import require_success, runs_of, wait_for

from tasks.io.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.service]

SMALL = {"shards": {"images": 2}, "blocks": {"shards": 1, "at_once": 2, "patience_s": 60}}
"""Of a worker that is killed, a run may be left that it took and did not begin."""


@pytest.fixture
def study(project):
    """Writes a study of two points over the project under a name, and returns its file."""
    project.configure(**SMALL)

    def written(name):
        file = project.folder / f"{name}.yaml"
        section = {"name": name, "base": project.name, "grid": {"fit.ridge": [0.001, 0.1]}}
        file.write_text(yaml.safe_dump({"study": section}, sort_keys=False))
        return file

    return written


def table_of(project, name):
    """The table of a study, without the names of its runs."""
    path = project.workspace / f"reports/studies/{name}/table.parquet"
    return pq.read_table(path).drop_columns(["run"])


def test_killed_workers_and_a_killed_command_cost_a_study_no_byte(
    project, study, service, workers, dotpipe
):
    file = study("grid")
    begun = dotpipe("study", file, "--pool", "dotpipe")
    wait_for(lambda: runs_of(service, "enhance-points", "Running"), 400)
    workers["one"].kill()
    begun.kill()
    begun.wait()
    said = require_success(dotpipe("study", file, "--pool", "dotpipe"))
    assert "point 2 of 2 is done: fit.ridge 0.1" in said
    assert "Differences are to fit.ridge 0.001, over 8 images" in " ".join(said.split())
    assert {run["state"]["name"] for run in runs_of(service, "fit-point")} == {"Completed"}
    require_success(dotpipe("study", study("alone")))
    assert table_of(project, "grid") == table_of(project, "alone")
    assert Workspace(str(project.workspace)).claims.names() == []
    said = require_success(dotpipe("undeploy", file))
    assert "removed fit-point/study-grid" in said


def test_without_a_server_a_pool_is_not_taken(study, dotpipe, service):
    service.kill()
    process = dotpipe("study", study("grid"), "--pool", "dotpipe")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert "must answer" in said
