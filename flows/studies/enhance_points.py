"""Several points of a study enhanced together: each shard is encoded once for all operators."""

from collections.abc import Iterable

from prefect import flow

from flows.runners.choice import computing, connected
from flows.runs.assets import tell_enhanced
from flows.runs.presence import at_work
from flows.steps.by_verb import do_step
from flows.steps.reports import StepReport, StepRun
from flows.steps.steps import run_step
from tasks.config import Config, Run
from tasks.enhance.match import require_matches
from tasks.enhance.several.enhance import enhance_several, plan_together
from tasks.enhance.signals import fetch_metric_weights
from tasks.fit.operators import fitted
from tasks.pipeline import steps_of


@flow(name="enhance-points", flow_run_name="enhance points beside {config.name}")
@at_work
@connected
def enhance_points(
    config: Config, others: list[Config], shards: list[str] | None = None
) -> StepReport:
    """Enhance the shards of points that have restored images and codec in common.

    Args:
        config: of one point.
        others: of the others.
        shards: names of the shards, whose images are matched already; all by default.

    Raises:
        StepMissing: an operator is not fitted, or images are not matched.
        ShardsFailed: some shards failed, after the others were done.
    """
    runs = [Run.of(each) for each in (config, *others)]
    if shards is None:
        match_points(runs)
    for run in runs:
        fetch_metric_weights(fitted(run))
    units = list(plan_together([fitted(run) for run in runs], shards))
    total = sum(unit.images for unit in units)
    named = StepRun.of(config, f"enhance {len(runs)} points")
    report = run_step(named, enhance_several, units, computing(config.compute), total)
    if shards is None and report.made:
        tell_points(runs)
    return report


def tell_points(runs: Iterable[Run]) -> None:
    """Tell that the images of points have been enhanced."""
    for run in runs:
        tell_enhanced(run)


def match_points(runs: Iterable[Run]) -> None:
    """Match the images of points with their references, where that is not done."""
    for run in runs:
        for step in steps_of(run):
            if step.verb == "enhance" and step.needs == "nothing":
                do_step(run, step)
        require_matches(run)
