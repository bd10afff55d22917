"""The progress of a backfill in blocks, shown on the dashboard and by ``dotpipe backfill``."""

import time
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from flows.runs.pool import RunRequest
from flows.runs.prefect_api import patiently
from tasks.config import Config
from tasks.config.step_names import enhancement_step
from tasks.io.workspace import Workspace
from tasks.jobs.events import tell_run

_SECONDS_BETWEEN_UPDATES = 2.0


class BlockWatch:
    """Shows how many images are done, as a progress artifact of the conductor's run.

    The conductor is the run of ``backfill-in-blocks``, which has workers do the blocks.
    """

    def __init__(self, config: Config) -> None:
        self._name = config.name
        self._step = enhancement_step(config)
        self._total = sum(Workspace(config.workspace).shards(config.restored_name).values())
        self._patience_s = config.blocks.patience_s
        self._images = self._blocks = 0
        self._started = self._shown = time.monotonic()
        self._told = 0
        created = patiently(
            lambda: create_progress_artifact(0.0, key="enhance-in-blocks", description=self._step)
        )
        self._artifact = cast(UUID, created)  # awaited by Prefect itself in a synchronous flow

    def begin(self) -> None:
        """Count from 0 again, because all shards are about to be looked at (again)."""
        self._images = 0

    def pass_by(self, images: int) -> None:
        """Count images that need no run, because they were done before."""
        self._images += images

    def count(self, request: RunRequest) -> None:
        """Count the images of a block whose run has ended well."""
        self._images += request.images
        self._blocks += 1
        if time.monotonic() - self._shown > _SECONDS_BETWEEN_UPDATES:
            self._show()

    def wait(self, seconds: float) -> None:
        """Warn that no block has ended for so many seconds.

        Warns when the seconds pass a further multiple of ``blocks.patience_s``.
        """
        multiples = int(seconds / self._patience_s)
        if multiples > self._told:
            get_run_logger().warning("%s: no block has ended for %d s", self._step, seconds)
            tell_run("stalled", self._name, {"step": self._step, "seconds": round(seconds)})
        self._told = multiples

    def finish(self) -> None:
        """Show the final count."""
        self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        share = 100 * self._images / self._total if self._total else 100.0
        description = f"{self._step}: {self._images} of {self._total} images"
        description += f", {self._blocks} blocks in {self._shown - self._started:.0f} s"
        percent = min(share, 100.0)
        patiently(
            lambda: update_progress_artifact(self._artifact, percent, description=description)
        )
