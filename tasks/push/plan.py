"""The plan of a push: what of a run is not in the repository yet, and what is there too much."""

from collections.abc import Sequence
from functools import cached_property, partial
from typing import NamedTuple

from tasks.config import Config
from tasks.fit.operators import FittedRun
from tasks.io.errors import ConfigurationError, StepMissing
from tasks.io.hub import Change, NotTaken, Repository
from tasks.io.hub.files import blob_of
from tasks.io.ledger import Record, digest_of
from tasks.io.machine.threads import side_by_side
from tasks.jobs import Planned, Target
from tasks.push.card import CARD, card_of, configs_of
from tasks.push.contents import File, Part, artifact_on_hub, files_of, parts_of
from tasks.push.manifest import MANIFEST, Pushed, PushedArtifact
from tasks.push.sent import forget_sent, read_small, recipe_of, records_folder, sent_of
from tasks.push.there import There
from tasks.push.upload import SendJob


def alphas_to_push(config: Config, alphas: Sequence[float]) -> tuple[float, ...]:
    """Return the alphas that are asked for; all that are written where none is.

    Raises:
        ConfigurationError: one of them is not written.
    """
    written = config.enhance.alphas
    for alpha in alphas:
        if alpha not in written:
            listed = ", ".join(f"{each:g}" for each in written)
            raise ConfigurationError(
                f"--alpha must be one of enhance.alphas, got {alpha:g} of {listed}; add it there, "
                "and run again"
            )
    return tuple(each for each in written if not alphas or each in alphas)


class Size(NamedTuple):
    """How much a push changes."""

    files: int
    """That the repository lacks, card and manifest aside."""
    bytes: int
    removed: int
    """Files that do not belong to the run any more."""


class Push:
    """What a run has for a repository, against what is there.

    Args:
        run: the configuration, with its operator.
        repository: of the Hub.
        alphas: of the images that are asked for; those that pushes brought before stay.

    Raises:
        StepMissing: the run is not finished.
        ConfigurationError: the repository holds another run, or files that no push put there are
            in the way.
    """

    def __init__(self, run: FittedRun, repository: Repository, alphas: Sequence[float]) -> None:
        self._run, self._repository = run, repository
        config = run.config
        self._mark = digest_of({"workspace": config.workspace, "dataset": config.restored_name})
        self._there = There.of(repository, self._mark)
        self.alphas = tuple(
            each
            for each in config.enhance.alphas
            if each in alphas or self._there.has_below(f"enhanced/alpha={each:+.2f}/")
        )
        self._parts = list(parts_of(run, self.alphas))
        self._lacking: dict[Record, list[File]] = {}
        self._artifacts = self._compared()
        for file in self._files.values():
            self._there.require_ours(file.path)
        self._texts = self._written()

    @property
    def is_done(self) -> bool:
        """Whether the repository holds all of it, and nothing of former pushes beside it."""
        return not (self._lacking or self._removed or self._texts)

    def size(self) -> Size:
        """Return how much is to be sent, and removed."""
        return Size(len(self._files), sum(f.size for f in self._files.values()), len(self._removed))

    def require_private(self) -> None:
        """Check that nobody but its owners sees the repository, if it is there.

        Raises:
            ConfigurationError: everybody does.
        """
        self._there.require_private()

    def create(self, *, private: bool) -> None:
        """Make the repository where there is none, with nothing to see in it yet."""
        if self._there.state.head is None:
            self._repository.create(private=private)

    def units(self) -> list[Planned]:
        """Return a unit for each shard, with a job where files of it were not sent yet."""
        folder = records_folder(self._repository)
        survey = self._run.workspace.ledger.survey(folder)
        recipe = recipe_of(self._repository)
        planned = list[Planned]()
        for part in self._parts:
            lacking = [record for record in part.records if record in self._lacking]
            marks = [(record.artifact, record.digest) for record in lacking]
            target = recipe.aim(survey, f"{folder}/{part.name}", parts=marks) if lacking else None
            job = None if target is None else self._job(part, lacking, target)
            planned.append(Planned(part.name, part.images, job))
        return planned

    def finish(self) -> str | None:
        """Make all of it visible with one commit, and return it; None if there is nothing to do.

        Raises:
            StepMissing: a file that is needed was not sent, or another run changes it.
            StoreRefused: the Hub does not take it. What was sent is forgotten if it may have been
                thrown away there, so that the next push looks after it again.
        """
        head = self._there.state.head
        if self.is_done:
            return None
        if head is None:
            raise StepMissing(f"{self._repository.address} must be there; run `dotpipe push` again")
        try:
            commit = self._repository.commit(self._change(), head)
        except NotTaken:
            forget_sent(self._run.workspace.ledger, self._repository)
            raise
        forget_sent(self._run.workspace.ledger, self._repository)
        return commit

    def _compared(self) -> dict[str, PushedArtifact]:
        """Return all artifacts by their names in the repository; note what it lacks of them."""
        records = [record for part in self._parts for record in part.records]
        described = side_by_side(self._described, records)
        return dict(zip(map(_name, records), described, strict=True))

    def _described(self, record: Record) -> PushedArtifact:
        known = self._there.pushed.artifacts.get(_name(record))
        if known is not None and known.digest == record.digest and self._has_all(known):
            return known
        files = files_of(self._run.workspace.ledger, record)
        lacking = [file for file in files if not self._there.has(file.path, file)]
        if lacking:
            self._lacking[record] = lacking
        described = {file.path: self._there.described(file) for file in files}
        return PushedArtifact(digest=record.digest, files=described)

    def _has_all(self, known: PushedArtifact) -> bool:
        return all(self._there.has(path, file) for path, file in known.files.items())

    @cached_property
    def _files(self) -> dict[str, File]:
        """Files that the repository lacks, by their paths there."""
        return {file.path: file for files in self._lacking.values() for file in files}

    @cached_property
    def _removed(self) -> list[str]:
        wanted = {path for each in self._artifacts.values() for path in each.files}
        return self._there.too_much(wanted)

    def _written(self) -> dict[str, bytes]:
        """Return card and manifest, so far as they change."""
        there, images = self._there, sum(part.images for part in self._parts)
        name, former = self._repository.name, there.pushed.configs
        card = card_of(self._run, name, self.alphas, images, there.card, former)
        texts = {} if card == there.card else {CARD: card.encode()}
        if self._pushed != there.pushed or MANIFEST not in there.state.files:
            texts[MANIFEST] = self._pushed.text()
        return texts

    @cached_property
    def _pushed(self) -> Pushed:
        """What pushes have put there then, without what Git calls small files that are lacking."""
        configs = tuple(configs_of(self._run.config))
        return Pushed(run=self._mark, configs=configs, artifacts=self._artifacts)

    def _job(self, part: Part, lacking: Sequence[Record], target: Target) -> SendJob:
        return SendJob(
            workspace=self._run.config.workspace,
            target=target,
            address=self._repository.address,
            dataset=self._run.config.restored_name,
            shard=part.name,
            images=part.images,
            lines=tuple((each.artifact, each.fingerprint, each.digest) for each in lacking),
        )

    def _change(self) -> Change:
        """Return what the commit does, now that all files are sent.

        Raises:
            StepMissing: one was not, or is another now.
        """
        workspace = self._run.workspace
        sent = sent_of(workspace.ledger, self._repository, self._files)
        small = {path: file for path, file in self._files.items() if sent[path].mode == "regular"}
        read = side_by_side(partial(read_small, workspace.store), small.values())
        contents = dict(zip(small, read, strict=True))
        blobs = {path: blob_of(data) for path, data in contents.items()}
        if MANIFEST in self._texts:
            contents[MANIFEST] = self._pushed.with_blobs(blobs).text()
        named = ", ".join(f"{alpha:g}" for alpha in self.alphas)
        return Change(
            message=f"Push {self._run.config.name} at alpha {named}",
            sent={path: sent[path] for path in self._files if path not in small},
            contents=self._texts | contents,
            removed=self._removed,
        )


def _name(record: Record) -> str:
    return artifact_on_hub(record.artifact)
