"""A run: a configuration and the workspace that it names, opened once."""

from dataclasses import dataclass
from functools import cached_property

from tasks.config.config import Config
from tasks.io.networks.weights import Weights
from tasks.io.workspace import Workspace


@dataclass(frozen=True)
class Run:
    """What every plan starts from: what is wanted, and where it lies."""

    config: Config
    workspace: Workspace

    @staticmethod
    def of(config: Config, *, still: bool = False) -> "Run":
        """The run of a configuration in its workspace.

        Args:
            config: what is wanted.
            still: see ``Workspace``; for those who only look.
        """
        return Run(config, Workspace(config.workspace, still=still))

    @cached_property
    def weights(self) -> Weights:
        """Where the configuration's networks are looked for; a pulled manifest is read once."""
        return Weights.of(self.config.weights)
