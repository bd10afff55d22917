"""The progress of a step on the dashboard, and the warning that it refuses many images."""

import time
from typing import cast
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from flows.runs.prefect_api import patiently
from flows.steps.reports import StepReport, StepRun, artifact_key
from tasks.jobs.events import tell_run

_SECONDS_BETWEEN_UPDATES = 2.0
_SECONDS_WITHOUT_SERVER = 60.0
"""Seconds without updates after one has failed, because each failure takes Prefect a minute."""

_ENOUGH_IMAGES = 100
"""Images after which the share of refused ones is judged before the step has ended."""


class StepWatch:
    """Shows a step's progress as an artifact of the flow run, updated every few seconds.

    Args:
        step: the step.
        total: the number of its images, if it is known.
    """

    def __init__(self, step: StepRun, total: int | None) -> None:
        self._step, self._total = step, total
        key = artifact_key(step.name)
        created = patiently(lambda: create_progress_artifact(0.0, key=key, description=step.name))
        self._artifact = cast(UUID, created)  # awaited by Prefect itself in a synchronous flow
        self._begun = self._shown = time.monotonic()
        self._has_warned = False

    def show(self, report: StepReport) -> None:
        """Update the artifact, unless that was done a moment ago."""
        now = time.monotonic()
        report.elapsed_s = now - self._begun
        if report.fresh >= _ENOUGH_IMAGES:
            self._warn_of_refused(report)
        if now - self._shown < _SECONDS_BETWEEN_UPDATES:
            return
        share = 100 * report.images / self._total if self._total else 0.0
        of_all = f" of {self._total}" if self._total else ""
        description = (
            f"{report.step}: {report.images}{of_all} images, {report.made} shards made, "
            f"{report.rate:.1f} images per second, {report.refused.total()} refused"
        )
        self._update(min(share, 99.0), description)

    def finish(self, report: StepReport) -> None:
        """Update the artifact for the last time."""
        report.elapsed_s = time.monotonic() - self._begun
        self._warn_of_refused(report)
        made = len(report.units) - len(report.failures)
        share = 100 * made / len(report.units) if report.units else 100.0
        speed = f", {report.rate:.1f} images per second" if report.fresh else ""
        description = f"{report.step}: {report.images} images, {report.note}{speed}"
        self._update(share, description)

    def _update(self, percent: float, description: str) -> None:
        """Update the artifact; a server that is away does not stop the step."""
        try:
            update_progress_artifact(self._artifact, percent, description=description)
        except httpx.HTTPError as error:
            get_run_logger().warning("the progress of the step cannot be shown: %s", error)
            self._shown = time.monotonic() + _SECONDS_WITHOUT_SERVER
        else:
            self._shown = time.monotonic()

    def _warn_of_refused(self, report: StepReport) -> None:
        """Send one event when more than half the share that may be refused is refused.

        A person can then look into it before the step is over the limit and fails.
        """
        refused, limit = report.refused.total(), self._step.max_bad_fraction
        if self._has_warned or refused <= limit / 2 * report.fresh:
            return
        self._has_warned = True
        facts = {
            "step": report.step,
            "images": report.fresh,
            "refused": dict(report.refused),
            "share": round(refused / report.fresh, 4),
            "max_bad_fraction": limit,
        }
        tell_run("refusing", self._step.run, facts)
