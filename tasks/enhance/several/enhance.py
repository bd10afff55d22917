"""The task that enhances a shard in several ways or with several operators, one by one."""

from collections import Counter
from collections.abc import Iterator, Sequence

from prefect import task

from tasks.enhance.enhance import EnhanceJob, write_enhanced
from tasks.enhance.plan import plan_enhancement
from tasks.fit.operators import FittedRun
from tasks.jobs import Job, Outcome, Planned, Target, carry_out
from tasks.jobs.events import told
from tasks.jobs.memory import remembering
from tasks.jobs.policy import SHARD_POLICY


class EnhanceSeveralJob(Job):
    """What is missing of one shard for several operators of the same codec."""

    shard: str
    jobs: tuple[EnhanceJob, ...]

    def targets(self) -> list[Target]:
        """Return the images and metric tables that are missing of the shard."""
        return [target for job in self.jobs for target in job.targets()]


@task(name="enhance several", task_run_name="enhance {job.shard} of points", **SHARD_POLICY)
def enhance_several(job: EnhanceSeveralJob) -> Outcome:
    """Write the missing images and metrics of one shard, operator by operator.

    Each operator's are published and claimed by themselves, so that a job that is done again takes
    up those that are missing.
    """
    transports = Counter(each.transport for each in job.jobs)
    shared = [name for name, jobs in transports.items() if jobs > 1]
    with remembering(shared):
        outcomes = [
            told("enhanced", each, carry_out(each, write_enhanced))
            for each in (
                one.model_copy(update={"patient": one.patient or job.patient}) for one in job.jobs
            )
        ]
    return _together(outcomes)


def plan_together(
    runs: Sequence[FittedRun], shards: Sequence[str] | None = None
) -> Iterator[Planned]:
    """Yield a unit for every shard, with what is missing of it for any of these runs.

    Args:
        runs: that enhance the same restored images, with the same codec, each by its own operator.
        shards: names of those that are planned; all by default.

    Raises:
        StepMissing: a shard, or what its images are matched with, is not finished.
    """
    plans = (plan_enhancement(run, with_images=True, shards=shards) for run in runs)
    for units in zip(*plans, strict=True):
        jobs = tuple(unit.job for unit in units if isinstance(unit.job, EnhanceJob))
        shard, artifacts = units[0].unit, tuple(a for unit in units for a in unit.artifacts)
        job = (
            EnhanceSeveralJob(workspace=jobs[0].workspace, shard=shard, jobs=jobs) if jobs else None
        )
        yield Planned(shard, sum(unit.images for unit in units), job, artifacts)


def _together(outcomes: Sequence[Outcome]) -> Outcome:
    """Return what was done of all; busy where another run is at one of them."""
    states = [each.state for each in outcomes]
    refused, seconds = Counter[str](), Counter[str]()
    for each in outcomes:
        refused.update(each.refused)
        seconds.update(each.seconds)
    return Outcome(
        images=sum(each.images for each in outcomes),
        refused=dict(refused),
        remarks={name: n for each in outcomes for name, n in each.remarks.items()},
        state="busy" if "busy" in states else "made" if "made" in states else "found",
        seconds=dict(seconds),
        device=next((each.device for each in outcomes if each.device), None),
    )
