"""A run: a configuration together with the workspace that it names."""

from dataclasses import dataclass
from functools import cached_property

from tasks.config.config import Config
from tasks.io.ledger import Record
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

    def records_of(self, kind: str, dataset: str) -> list[Record]:
        """Return the records of all that a folder of artifacts has of a data set.

        Of one that was restored for the fit alone, with those of the data sets that were for
        fits on other images: what was made of an image for one of them may serve another.

        Args:
            kind: of the artifacts, as ``moments``; the folder.
            dataset: its name.
        """
        config, ledger = self.config, self.workspace.ledger
        if dataset in (config.natural_name, config.restored_name):
            return list(ledger.survey(f"{kind}/{dataset}").all())
        family = f"{config.restored_name}.source"
        return [
            record
            for record in ledger.survey(kind, family).all()
            if record.artifact.startswith(f"{kind}/{family}")
        ]
