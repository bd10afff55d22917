"""Export: enhanced shards go in, plain files under the names of the input come out."""

from prefect import flow

from flows.runners.choice import connected, copying
from flows.runs.presence import at_work
from flows.steps.reports import StepReport, StepRun
from flows.steps.steps import run_step
from tasks.config import Config, Run
from tasks.export.export import export_shard
from tasks.export.plan import Export, claim_of, form_to_export
from tasks.fit.operators import fitted
from tasks.io.images import Format


@flow(name="export-dataset", flow_run_name="export {config.name}")
@at_work
@connected
def export_dataset(
    config: Config, destination: str, alpha: float, file_format: Format | None = None
) -> StepReport:
    """Write the enhanced images at one alpha as files; what is there is not written again.

    Args:
        config: whose images have been enhanced.
        destination: folder or URL, absolute.
        alpha: one of ``enhance.alphas``.
        file_format: in which images are written; None for that of the shards.

    Returns:
        what was done.
    """
    run = fitted(Run.of(config))
    with run.workspace.claims.held(claim_of(destination), patient=True):
        export = Export(run, destination, alpha, form_to_export(config, file_format))
        units = export.units()
        export.prepare(units)
        step, total = StepRun.of(config, "export"), sum(unit.images for unit in units)
        report = run_step(step, export_shard, units, copying(config.compute), total)
        export.finish()
    return report
