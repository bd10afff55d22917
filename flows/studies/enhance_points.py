"""Several points of a study enhanced together: each shard is encoded once for all operators."""

from prefect import flow

from flows.runners.choice import computing, connected
from flows.runs.presence import at_work
from flows.steps.by_verb import do_step
from flows.steps.reports import StepReport, StepRun
from flows.steps.steps import run_step
from tasks.config import Config, Run
from tasks.enhance.several.enhance import enhance_several, plan_together
from tasks.fit.operators import fitted
from tasks.pipeline import steps_of


@flow(name="enhance-points", flow_run_name="enhance points beside {config.name}")
@at_work
@connected
def enhance_points(config: Config, others: list[Config]) -> StepReport:
    """Enhance the shards of points that have restored images and codec in common.

    Args:
        config: of one point.
        others: of the others.

    Raises:
        StepMissing: an operator is not fitted.
        ShardsFailed: some shards failed, after the others were done.
    """
    runs = [Run.of(each) for each in (config, *others)]
    for run in runs:
        enhancing = [step for step in steps_of(run) if step.verb == "enhance"]
        for step in enhancing[:-1]:  # what images are matched with
            do_step(run, step)
        if (prepare := enhancing[-1].prepare) is not None:
            prepare()
    units = list(plan_together([fitted(run) for run in runs]))
    total = sum(unit.images for unit in units)
    named = StepRun.of(config, f"enhance {len(runs)} points")
    return run_step(named, enhance_several, units, computing(config.compute), total)
