"""A run: a configuration together with the workspace that it names."""

from dataclasses import dataclass
from functools import cached_property

from tasks.config.config import Config
from tasks.io.networks.weights import Weights
from tasks.io.workspace import Workspace


@dataclass(frozen=True)
class Run:
    """A configuration and its workspace, from which every step is planned."""

    config: Config
    workspace: Workspace

    @staticmethod
    def of(config: Config, *, still: bool = False) -> "Run":
        """Return the run of a configuration, whose workspace is opened here.

        Args:
            config: names the workspace.
            still: passed on to ``Workspace``; True for a run that only reads.
        """
        return Run(config, Workspace(config.workspace, still=still))

    @cached_property
    def weights(self) -> Weights:
        """Where the configuration's networks are looked for; a pulled manifest is read once."""
        return Weights.of(self.config.weights)
