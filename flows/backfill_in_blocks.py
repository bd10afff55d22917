"""The whole job on many workers: one run submits others, and waits until all is done.

This run, the conductor, computes nothing itself and needs no GPU. It submits a run for each
verb, and to enhance, one for each block of shards. It reads from the ledger what is missing, so
after a crash it goes on where it was, and takes over the runs that it had submitted.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal
from uuid import uuid4

from prefect import State, flow
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.runs.assets import tell_enhanced
from flows.runs.pool import FailedRequest, RunRequest, WorkPoolRuns
from flows.runs.presence import at_work
from flows.runs.ready import require_ready_on_worker
from flows.runs.takeover import cancel_late_runs, runs_under_way
from flows.steps.block_watch import BlockWatch
from flows.steps.blocks import blocks_of
from flows.steps.by_verb import FLOWS, do_step
from flows.steps.retention import apply_retention
from tasks.config import Config, Run
from tasks.config.step_names import enhancement_step
from tasks.enhance.match import require_matches
from tasks.enhance.plan import plan_enhancement
from tasks.fit.operators import FittedRun, OperatorRef, fitted
from tasks.io.errors import ShardsFailed
from tasks.io.ledger import fingerprint
from tasks.io.workspace import Workspace
from tasks.jobs import Planned
from tasks.jobs.events import tell_run
from tasks.pipeline import VERBS, Verb, is_finished, steps_of
from tasks.report.report import report_address

Queue = Literal["nightly", "backfill"]

CONDUCTORS = "conductors"
"""Folder of the claims of conductors, of which a configuration has one at a time."""


@flow(name="backfill-in-blocks", flow_run_name="backfill {config.name} in blocks")
@at_work
def backfill_in_blocks(
    config: Config, queue: Queue = "backfill", keep: int | None = None
) -> State[str]:
    """Shard, restore, fit, enhance in blocks, evaluate, report, as runs of the pool's workers.

    Makes nothing if nothing is missing, or if another run conducts this configuration. At the
    end, results of former operators go.

    Args:
        config: what is wanted.
        queue: the work queue that the runs are put in.
        keep: how many former operators keep their results where the configuration does not say;
            None for all.

    Returns:
        a state whose message says where the report is, or why nothing was done.

    Raises:
        ConfigurationError: something would make it fail; all of it is told at once.
        ShardsFailed: a run was given up, or shards miss something after all have ended well.
    """
    claims, name = Workspace(config.workspace).claims, f"{CONDUCTORS}/{config.name}"
    while True:
        with claims.held(name) as ours:
            if ours:
                cancel_late_runs()
                runs = WorkPoolRuns(config, queue)
                runs.watch(runs_under_way(config))
                state = _conduct(config, runs)
                apply_retention(config, keep, name)
                return state
        if claims.is_alive(name):
            return Completed(name="Skipped", message="another run of this backfill is at work")


def _conduct(config: Config, runs: WorkPoolRuns) -> State[str]:
    if is_finished(config):
        return Completed(message="nothing to do: every shard of every step is done")
    require_ready_on_worker(config, runs_networks=False)
    for verb in VERBS:
        if verb == "enhance":
            _enhance(config, runs)
        else:
            _stage(verb, config, runs)
    address = report_address(config)
    tell_run("finished", config.name, {"report": address})
    return Completed(message=f"report: {address}")


def _stage(verb: Verb, config: Config, runs: WorkPoolRuns) -> None:
    """Have one flow run as a whole, if anything is missing that this verb makes."""
    if is_finished(config, verb):
        return
    key = f"{flow_run.get_id() or uuid4()}-{FLOWS[verb]}"
    wanted = RunRequest(FLOWS[verb], key, {"config": config.model_dump(mode="json")})
    _require_all(runs.run([wanted]))


def _enhance(config: Config, runs: WorkPoolRuns) -> None:
    """Match the reference, have the shards that miss something enhanced in blocks.

    Looks again until no shard misses anything.
    """
    run = fitted(Run.of(config))
    for step in steps_of(run):
        if step.verb == "enhance" and step.needs == "nothing":  # what the blocks share
            do_step(run, step)
    require_matches(run)
    former: list[str] = []
    watch = BlockWatch(config)
    while True:
        watch.begin()
        sent = list[str]()
        failed = runs.run(
            _noting(sent, _blocks(run, watch)),
            at_once=config.blocks.at_once,
            ended=watch.count,
            waited=watch.wait,
        )
        watch.finish()
        _require_all(failed)
        if not sent:
            if former:
                tell_enhanced(run)
            return
        if sent == former:
            raise ShardsFailed(
                f"{len(sent)} blocks of shards must be whole after their runs have ended well, but "
                "miss something; see `dotpipe status CONFIG`, and whether all workers see the same "
                "workspace"
            )
        former = sent


def _noting(keys: list[str], requests: Iterable[RunRequest]) -> Iterator[RunRequest]:
    for request in requests:
        keys.append(request.key)
        yield request


def _blocks(run: FittedRun, watch: BlockWatch) -> Iterator[RunRequest]:
    """Yield a request for every block of shards of which something is missing."""
    units = plan_enhancement(run, with_images=True)
    for block in blocks_of(units, run.config.blocks, watch.pass_by):
        yield _request(run.config, run.operator, block)


def _wanted(config: Config) -> dict[str, Any]:
    """Return the options that a block depends on, without later ones that are not used."""
    elsewhere: Any = {"compute": True, "blocks": True, "keep": True, "fit": {"keep_latents"}}
    elsewhere["shards"] = {"cut_tars_above"}  # shards are there before their blocks
    wanted = config.model_dump(mode="json", exclude=elsewhere)
    if not wanted["enhance"]["name"]:
        del wanted["enhance"]["name"]
    if not wanted["reapply"]:
        del wanted["reapply"]
    return wanted


def _request(config: Config, operator: OperatorRef, block: list[Planned]) -> RunRequest:
    shards = [unit.unit for unit in block]
    wanted = _wanted(config)
    content = {unit.unit: unit.fingerprint for unit in block}
    key = fingerprint("block", {"config": wanted, "operator": operator.name, "shards": content})
    parameters = {
        "config": config.model_dump(mode="json"),
        "operator": operator.model_dump(),
        "shards": shards,
    }
    tags = [f"data-set:{config.restored_name}", f"operator:{operator.name}"]
    tags += [f"alpha:{alpha:+.2f}" for alpha in config.enhance.alphas]
    images = sum(unit.images for unit in block if unit.job is not None)
    name = f"{enhancement_step(config)} {shards[0]}"
    return RunRequest("enhance-block", key, parameters, tuple(tags), images, name)


def _require_all(failed: list[FailedRequest]) -> None:
    """Check that no request was given up.

    Raises:
        ShardsFailed: some were.
    """
    if failed:
        raise ShardsFailed(
            f"all runs on the pool must end well, got {len(failed)} given up; the first: "
            f"{failed[0].reason}. The others are done, and running again takes up just these"
        )
