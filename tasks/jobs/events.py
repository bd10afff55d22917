"""What a run tells Prefect as events, with the numbers, for automations and dashboards.

Prefect adds the flow run, the task run, the deployment and their tags to each of them. Events
are put into a queue that another thread empties, so that telling takes well under a
millisecond, and nothing that goes wrong with it harms the work.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal

from prefect.context import FlowRunContext, TaskRunContext
from prefect.events import emit_event
from prefect.exceptions import EventTooLarge

from tasks.jobs.job import Job, Outcome, Subject
from tasks.jobs.policy import logger

ShardVerb = Literal["made", "restored", "measured", "enhanced", "extracted"]
"""What became of a shard: written from files, or from clean images; its latent patches
measured; its images enhanced and scored; its features extracted."""

RunVerb = Literal["refusing", "stalled", "finished"]
"""What became of a run: it refuses more than half of what ``shards.max_bad_fraction`` allows;
nothing has ended for ``blocks.patience_s``; it has done all there was to do."""

_LONGEST_MESSAGE = 1000


def told(verb: ShardVerb, job: Job, outcome: Outcome) -> Outcome:
    """The outcome of a job, told in the log, and as an event if the job has made something."""
    subject = job.subject()
    if subject is not None and outcome.state == "made":
        _tell_shard(verb, subject, _numbers(outcome))
        logger().info("%s %s %s %s", verb, subject.dataset, subject.shard, outcome)
    elif subject is not None:
        logger().info("%s %s is %s", subject.dataset, subject.shard, outcome.state)
    return outcome


def tell_failure(job: Job, error: BaseException, place: str) -> None:
    """Tell that a shard has failed for good, and why."""
    subject = job.subject()
    if subject is not None:
        message = str(error)[:_LONGEST_MESSAGE]
        facts = {"error": type(error).__name__, "message": message, "place": place}
        _tell_shard("failed", subject, facts)


def tell_run(verb: RunVerb, name: str, facts: Mapping[str, Any]) -> None:
    """Tell of the run of a configuration, by its name."""
    resource = {"prefect.resource.id": f"dotpipe.run.{name}", "prefect.resource.name": name}
    _tell(f"dotpipe.run.{verb}", resource, [], facts)


def _numbers(outcome: Outcome) -> dict[str, Any]:
    return {
        "images": outcome.images,
        "refused": outcome.refused,
        "seconds": outcome.seconds,
        "images_per_second": round(outcome.rate, 3),
        "device": outcome.device,
        "remarks": outcome.remarks,
    }


def _tell_shard(verb: str, subject: Subject, facts: Mapping[str, Any]) -> None:
    dataset, shard, operator, alphas = subject
    resource = {
        "prefect.resource.id": f"dotpipe.shard.{dataset}.{shard}",
        "prefect.resource.name": f"{dataset} {shard}",
        "dotpipe.data-set": dataset,
        "dotpipe.shard": shard,
    }
    related = [_related("data-set", dataset)]
    if operator is not None:
        resource["dotpipe.operator"] = operator
        related.append(_related("operator", operator))
    wanted = {"alphas": list(alphas)} if alphas else {}
    _tell(f"dotpipe.shard.{verb}", resource, related, {**facts, **wanted})


def _related(role: str, name: str) -> dict[str, str]:
    return {
        "prefect.resource.id": f"dotpipe.{role}.{name}",
        "prefect.resource.role": role,
        "prefect.resource.name": name,
    }


def _tell(
    event: str, resource: dict[str, str], related: list[dict[str, str]], facts: Mapping[str, Any]
) -> None:
    """Emit an event, unless the function of a task or a flow was called outside a run.

    There Prefect would start a server for it.
    """
    if FlowRunContext.get() is None and TaskRunContext.get() is None:
        return
    with suppress(EventTooLarge):  # Prefect itself logs all else that goes wrong
        emit_event(event, resource, related=related, payload=dict(facts))
