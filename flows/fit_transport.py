"""Fit: natural and restored shards go in, the transport operator between them comes out."""

import dataclasses

from prefect import flow

from flows.runs.assets import operator_before, tell_operator
from flows.runs.presence import at_work
from flows.steps.by_verb import do_steps
from flows.steps.reports import StepReport, leave, leave_table
from tasks.config import Config, Run
from tasks.fit.decision import decision_facts
from tasks.fit.operators import FittedRun, fitted, read_operator


@flow(name="fit-transport", flow_run_name="fit {config.name}")
@at_work
def fit_transport(config: Config) -> list[StepReport]:
    """Select images, measure their latent patches, keep the operator or solve another.

    Returns:
        what each step did.
    """
    run = Run.of(config)
    former = operator_before(run)
    reports = do_steps(run, "fit")
    found = fitted(run)
    _leave_operator(found)
    leave_table(reports, "measured-patches")
    tell_operator(found, former)
    return reports


def _leave_operator(run: FittedRun) -> None:
    """Show what is known of the operator in an artifact of the flow run."""
    name = run.operator.name
    operator, _, provenance = read_operator(run.workspace, run.config.restored_name, name)
    facts = {"operator": name, **provenance, **dataclasses.asdict(operator.diagnostics)}
    facts |= decision_facts(run)
    rows = [{"fact": fact, "value": str(value)} for fact, value in facts.items()]
    leave(rows, "transport-operator", f"Transport operator {name} of {run.config.name}")
