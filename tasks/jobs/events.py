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
"""What was done with a shard: made from files, restored from clean images, its latent patches
measured, its images enhanced and scored, or its features extracted."""

RunVerb = Literal["refusing", "stalled", "finished"]
"""What happened to a run: it has refused more than half of what ``shards.max_bad_fraction``
allows; nothing of it has ended for ``blocks.patience_s``; or all is done."""

_LONGEST_MESSAGE = 1000


def told(verb: ShardVerb, job: Job, outcome: Outcome) -> Outcome:
    """Return the outcome, after telling it in the log, and as an event if something was made.

    Args:
        verb: what was done with the shard.
        job: that was carried out; one that is about no single shard is not told.
        outcome: of the job.
    """
    subject = job.subject()
    if subject is not None and outcome.state == "made":
        _tell_shard(verb, subject, _numbers(outcome))
        logger().info("%s %s %s %s", verb, subject.dataset, subject.shard, outcome)
    elif subject is not None:
        logger().info("%s %s is %s", subject.dataset, subject.shard, outcome.state)
    return outcome


def tell_failure(job: Job, error: BaseException, line: str) -> None:
    """Send an event that a shard has failed after all retries, and why.

    Args:
        job: that has failed; one that is about no single shard is not told.
        error: what was raised.
        line: the file and line that it comes from, as ``store.py:7``.
    """
    subject = job.subject()
    if subject is not None:
        message = str(error)[:_LONGEST_MESSAGE]
        facts = {"error": type(error).__name__, "message": message, "place": line}
        _tell_shard("failed", subject, facts)


def tell_run(verb: RunVerb, name: str, facts: Mapping[str, Any]) -> None:
    """Send an event of the run of a configuration.

    Args:
        verb: what happened to the run.
        name: of the configuration.
        facts: numbers and texts that the event carries.
    """
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
