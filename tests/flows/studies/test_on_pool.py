"""A study on a pool of workers: which runs it asks for, and that its results are those of one
process."""

import json
import uuid

import pytest
from prefect.deployments import run_deployment
from servers.pool_stand_in import read, register
from workspaces.studies import study_in

from flows.backfill import backfill
from flows.runs.pool import FailedRequest
from flows.studies import enhance_points as enhance_module
from flows.studies import on_pool
from flows.studies.enhance_points import enhance_points
from flows.studies.fit_point import fit_point
from flows.studies.on_pool import OnPool
from flows.studies.run_study import run_study
from tasks.io.errors import ShardsFailed, StoreRefused
from tasks.io.workspace import Workspace
from tasks.study.points import points_of

FLOWS = {flow.name: flow for flow in (backfill, enhance_points, fit_point)}
GRID = {
    "degrade": {
        "noise": [{"kind": "noise", "sigma": 0.1}],
        "less": [{"kind": "noise", "sigma": 0.05}],
    },
    "fit.ridge": (0.001, 0.1),
}
"""Two data sets of restored images, and operators of each."""


class Workers:
    """Stands in for a pool: does requests at once, with what a worker would read of them."""

    def __init__(self):
        self.sent, self.refuse, self.name = [], (), "study-s"

    def __call__(self, deployed, queue):
        assert (deployed.name, queue) == (self.name, "backfill")
        return self

    def watch(self, runs):
        assert runs == []

    def run(self, requests, *, at_once, ended, waited):
        assert at_once == 3
        requests, failed = list(requests), []
        self.sent.append([(each.flow, each.parameters["config"]["name"]) for each in requests])
        for request in requests:
            if request.flow in self.refuse:
                failed.append(_Refused(request))
                continue
            FLOWS[request.flow](**json.loads(json.dumps(request.parameters)))
            ended(request)
        return failed


class _Refused(FailedRequest):
    """A request that was given up."""

    def __new__(cls, request):
        return super().__new__(cls, request, None)

    @property
    def reason(self):
        return f"{self.request.flow} ended Failed: no room"


@pytest.fixture
def workers(monkeypatch, server):
    stand_in = Workers()
    monkeypatch.setattr(on_pool, "WorkPoolRuns", stand_in)
    return stand_in


@pytest.fixture
def study(photographs):
    def in_folder(folder, grid, **more):
        folder.mkdir()
        sections = {
            "blocks": {"shards": 1, "at_once": 3},
            "shards": {"images": 4},
            "enhance": {"alphas": [0]},
        }
        return study_in(folder, photographs, grid, **sections).model_copy(update=more)

    return in_folder


def digests(study):
    """The records of all that points have made but their reports, which tell of times."""
    survey = Workspace(points_of(study)[0].config.workspace).ledger.survey("")
    made = (artifact for artifact in survey.artifacts() if not artifact.endswith("/report"))
    return {artifact: survey.records(artifact) for artifact in made}


def test_points_are_fitted_in_waves_enhanced_in_blocks_and_finished(
    workers, study, tmp_path, monkeypatch
):
    told = []
    for module in (on_pool, enhance_module):
        monkeypatch.setattr(module, "tell_points", lambda runs: told.append(len(runs)))
    skip = ({"degrade": "less", "fit.ridge": 0.1},)
    found, alone = (study(tmp_path / name, GRID, skip=skip) for name in ("pool", "alone"))
    run_study(found, "stand-in")
    names = [point.config.name for point in points_of(found)]
    assert workers.sent == [
        [("fit-point", names[0]), ("fit-point", names[2])],  # one of each data set, side by side
        [("fit-point", names[1])],
        [("enhance-points", names[0])] * 2,  # each with a block of one shard
        [("enhance-points", names[2])] * 2,
        [("backfill", name) for name in names],
    ]
    assert told == [2, 1]  # of each data set, when all of its blocks are done
    run_study(alone)
    assert told == [2, 1, 2]  # a single point tells of itself
    assert digests(found) == digests(alone)
    page = (tmp_path / "pool/workspace/reports/studies/s/table.parquet").read_bytes()
    assert page == (tmp_path / "alone/workspace/reports/studies/s/table.parquet").read_bytes()
    workers.sent.clear()
    run_study(found, "stand-in")
    assert workers.sent == [[]]


def test_points_that_are_given_up_are_named_and_others_are_finished(workers, study, tmp_path):
    found = study(tmp_path / "pool", {"fit.ridge": (0.001, 0.1)})
    workers.refuse = ("enhance-points",)
    run_study(found, "stand-in")  # what blocks have not done, the points' own runs do
    workers.refuse = ("backfill",)
    more = found.model_copy(update={"grid": {"fit.ridge": (0.001, 0.5)}})
    with pytest.raises(ShardsFailed, match=r"1 of 2 points .* fit.ridge 0.5: backfill ended"):
        run_study(more, "stand-in")


def test_what_cannot_be_planned_does_not_end_the_others(workers, study, tmp_path, monkeypatch):
    found = study(tmp_path / "pool", {"fit.ridge": (0.001, 0.1)})

    def away(_runs):
        raise StoreRefused("away for a moment")

    monkeypatch.setattr(on_pool, "match_points", away)
    run_study(found, "stand-in")
    assert [flow for sent in workers.sent for flow, _ in sent] == ["fit-point"] * 2 + [
        "backfill"
    ] * 2


def test_without_workers_it_is_said_once(workers, study, tmp_path, monkeypatch):
    points = points_of(study(tmp_path / "pool", {"fit.ridge": (0.001,)}))
    said = []
    monkeypatch.setattr(on_pool, "has_workers", said.append)
    doing = OnPool(points, "study-s", "nobody")
    for seconds in (0.0, 10.0, 30.0, 40.0):
        doing._wait(seconds)
    assert said == ["nobody"]


def test_what_an_ended_command_has_left_waiting_is_cancelled(workers, study, tmp_path):
    points = points_of(study(tmp_path / "pool", {"fit.ridge": (0.001,)}))
    name = f"study-{uuid.uuid4().hex[:8]}"
    left, other = (
        run_deployment(f"fit-point/{each}", timeout=0, as_subflow=False)
        for each in register_both(name)
    )
    workers.name = name
    OnPool(points, name, "stand-in")
    assert [read(run).state_name for run in (left, other)] == ["Cancelled", "Scheduled"]


def register_both(name):
    """Deployments of this name and of another."""
    names = (name, f"{name}-other")
    for each in names:
        register("fit-point", name=each)
    return names
