"""The conductor: has a pool's workers do what is missing, stage by stage and block by block.

It computes nothing itself, and needs no GPU. All that it knows is the ledger: killed and
started again it takes up where it stood, and adopts the runs that it had submitted.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC
from functools import partial
from itertools import groupby
from typing import Literal
from uuid import UUID, uuid4

from prefect import State, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled, Completed
from prefect.types import DateTime

from flows.block_watch import BlockWatch
from flows.enhance_dataset import match_shards
from flows.pool import Errand, Lost, Pool, bury, patiently, tell
from flows.presence import at_work, presence
from tasks.config import Config
from tasks.enhancement_plan import plan_enhancement
from tasks.io.errors import ShardsFailed
from tasks.io.fingerprints import fingerprint
from tasks.io.workspace import Workspace
from tasks.jobs import Planned
from tasks.plan import is_finished
from tasks.reduce import OperatorRef, find_operator
from tasks.report import report_address

Queue = Literal["nightly", "backfill"]

CONDUCTORS = "conductors"
"""Folder of the claims of conductors: one at a time for a configuration."""


@flow(name="backfill-in-blocks", flow_run_name="backfill {config.name} in blocks")
@at_work
def backfill_in_blocks(config: Config, queue: Queue = "backfill") -> State[str]:
    """Shard, fit, enhance in blocks, evaluate, report, as runs of the pool's workers.

    Does nothing if nothing is missing, or if another run conducts this configuration.

    Args:
        config: what is wanted.
        queue: the work queue that the runs are put in.
    """
    claims, name = Workspace(config.workspace).claims, f"{CONDUCTORS}/{config.name}"
    while True:
        with claims.held(name) as ours:
            if ours:
                _succeed(config)
                return _conduct(config, Pool(config, queue))
        if claims.is_alive(name):
            return Completed(name="Skipped", message="another run of this backfill is at work")


def _conduct(config: Config, pool: Pool) -> State[str]:
    if is_finished(config):
        return Completed(message="nothing to do: every shard of every step is done")
    for verb, name in (("shard", "shard-corpus"), ("fit", "fit-transport")):
        if not is_finished(config, verb):
            _stage(name, config, pool)
    workspace = Workspace(config.workspace)
    match_shards(config, workspace)
    _enhance(config, find_operator(config, workspace), pool)
    _stage("evaluate-dataset", config, pool)
    _stage("report", config, pool)
    return Completed(message=f"report: {report_address(config)}")


def _stage(name: str, config: Config, pool: Pool) -> None:
    """Have one flow run as a whole."""
    key = f"{flow_run.get_id() or uuid4()}-{name}"
    _require_all(pool.run([Errand(name, key, {"config": config.model_dump(mode="json")})]))


def _enhance(config: Config, operator: OperatorRef, pool: Pool) -> None:
    """Have the shards that miss something enhanced, and look again until none does."""
    former: list[str] = []
    while True:
        watch = BlockWatch(config)
        sent = list[str]()
        errands = _blocks(config, operator, watch)
        lost = pool.run(
            _noting(sent, errands),
            at_once=config.blocks.at_once,
            ended=watch.count,
            waited=watch.wait,
        )
        watch.finish()
        _require_all(lost)
        if not sent:
            return
        if sent == former:
            raise ShardsFailed(
                f"{len(sent)} blocks of shards must be whole after their runs have ended well, but "
                "miss something; see `dotpipe status CONFIG`, and whether all workers see the same "
                "workspace"
            )
        former = sent


def _noting(keys: list[str], errands: Iterable[Errand]) -> Iterator[Errand]:
    for errand in errands:
        keys.append(errand.key)
        yield errand


def _blocks(config: Config, operator: OperatorRef, watch: BlockWatch) -> Iterator[Errand]:
    """An errand for every block of shards of which something is missing, in their order.

    Blocks are cut from all shards, done or not, so that a block is the same, and has the
    same key, whatever of it is done.
    """
    workspace = Workspace(config.workspace)
    units = plan_enhancement(config, operator, workspace, tars=True)
    for _, block in groupby(enumerate(units), lambda unit: unit[0] // config.blocks.shards):
        planned = [unit for _, unit in block]
        watch.pass_by(sum(unit.images for unit in planned if unit.job is None))
        if any(unit.job is not None for unit in planned):
            yield _errand(config, operator, planned)


def _errand(config: Config, operator: OperatorRef, block: list[Planned]) -> Errand:
    shards = [unit.unit for unit in block]
    wanted = config.model_dump(mode="json", exclude={"compute", "blocks"})
    content = {unit.unit: unit.fingerprint for unit in block}
    key = fingerprint("block", {"config": wanted, "operator": operator.name, "shards": content})
    parameters = {
        "config": config.model_dump(mode="json"),
        "operator": list(operator),
        "shards": shards,
    }
    tags = [f"data-set:{config.restored_name}", f"operator:{operator.name}"]
    tags += [f"alpha:{alpha:+.2f}" for alpha in config.enhance.alphas]
    images = sum(unit.images for unit in block if unit.job is not None)
    return Errand("enhance-block", key, parameters, tuple(tags), images)


def _require_all(lost: list[Lost]) -> None:
    """Check that no errand was given up.

    Raises:
        ShardsFailed: some were.
    """
    if lost:
        raise ShardsFailed(
            f"all runs on the pool must end well, got {len(lost)} given up; the first: "
            f"{lost[0].reason}. The others are done, and running again takes up just these"
        )


def _succeed(config: Config) -> None:
    """Take over from other runs of this deployment: those that are due, and the dead.

    After an outage a schedule has left one for every night. A run that was killed says that
    it is running for ever.
    """
    if (own := deployment.get_id()) is None:
        return
    for run in patiently(partial(_runs, own, StateType.SCHEDULED, due=True)):
        taken_over: State[None] = Cancelled(message=f"done by the run {flow_run.get_name()!r}")
        patiently(partial(tell, run, taken_over))
    claims = Workspace(config.workspace).claims
    for run in patiently(partial(_runs, own, StateType.RUNNING)):
        if claims.is_silent(presence(config, run.id)):
            bury(run, f"its worker died; taken over by the run {flow_run.get_name()!r}")


def _runs(deployment_id: str, state: StateType, *, due: bool = False) -> list[FlowRun]:
    """The runs of a deployment in a state; only those whose time has come, if asked."""
    wanted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[UUID(deployment_id)]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[state])),
        expected_start_time=(
            FlowRunFilterExpectedStartTime(before_=DateTime.now(UTC)) if due else None
        ),
    )
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(flow_run_filter=wanted)
