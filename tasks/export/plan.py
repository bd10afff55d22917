"""The plan of an export: which shards are missing at the destination, and what is too much."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial

from tasks.config import Config
from tasks.enhance.enhance import EnhanceJob
from tasks.enhance.plan import plan_enhancement
from tasks.export.destination import require_outside
from tasks.export.export import ExportJob, size_at
from tasks.export.images import Image, images_of
from tasks.export.manifest import MANIFEST, ExportedFile, Manifest
from tasks.fit.operators import FittedRun
from tasks.io.errors import ConfigurationError, StepMissing
from tasks.io.images import Form, Format, extension_of, known_format
from tasks.io.ledger import Survey, digest_of
from tasks.io.machine.threads import side_by_side
from tasks.io.store import Store
from tasks.io.workspace import Signal, dataset_folder, enhanced_folder
from tasks.jobs import Planned


def claim_of(destination: str) -> str:
    """Return the name of the claim on a destination that an export holds while it lasts."""
    return f"exports/{digest_of(destination)[:12]}"


def alpha_to_export(config: Config, alpha: float | None) -> float:
    """Return the alpha to export: the one that is asked for, or the only one that is written.

    Raises:
        ConfigurationError: it is not written, or there are several to choose from.
    """
    written = config.enhance.alphas
    listed = ", ".join(f"{each:g}" for each in written)
    if alpha is None and len(written) > 1:
        raise ConfigurationError(
            f"one alpha must be exported, got none of {listed}; give --alpha (`dotpipe choose "
            "CONFIG` helps to decide)"
        )
    wanted = written[0] if alpha is None else alpha
    if wanted not in written:
        raise ConfigurationError(
            f"--alpha must be one of enhance.alphas, got {wanted:g} of {listed}; add it there, and "
            "run again"
        )
    return wanted


def format_of(name: str) -> Format:
    """Return a format by its name.

    Raises:
        ConfigurationError: there is none of this name.
    """
    try:
        return known_format(name)
    except ValueError as error:
        raise ConfigurationError(f"--{error}") from error


def form_to_export(config: Config, file_format: Format | None) -> Form | None:
    """Return how images are to be written; None for their files as they are in the shards.

    Raises:
        ConfigurationError: another format than theirs is asked for, and theirs is lossy.
    """
    written = config.enhance.form
    if file_format in (None, written.format):
        return None
    if not written.is_lossless:
        own = ", or its package alone reads it" if written.format.startswith("plug-in:") else ""
        raise ConfigurationError(
            f"--format must be enhance.format where that may lose something{own}, got "
            f"{file_format} of {written.format}; set enhance.format, and run again"
        )
    return replace(written, format=file_format)


class Export:
    """The enhanced images of a run at one alpha, and what of them is at a destination.

    Args:
        run: the configuration, with its operator.
        destination: folder or URL, absolute.
        alpha: one of ``enhance.alphas``.
        form: how images are written; None for their files as they are.

    Raises:
        ConfigurationError: the destination is among the corpora or in the workspace, or holds
            what another workspace has exported.
    """

    def __init__(
        self, run: FittedRun, destination: str, alpha: float, form: Form | None = None
    ) -> None:
        require_outside(destination, run.config)
        self._form = form
        self._run, self._destination, self._alpha = run, destination, alpha
        self._store = Store(destination)
        self._manifest = Manifest(self._store)
        self._signal = Signal("enhanced", alpha)
        dataset = run.config.restored_name
        self._enhanced = enhanced_folder(dataset, run.results, self._signal)
        self._named_by = run.config.made_datasets().get(dataset, dataset)
        self._require_own()

    def units(self) -> list[Planned]:
        """Return a unit for every shard; those that are at the destination have no job.

        Raises:
            StepMissing: a shard is not enhanced, or not with these options and images.
        """
        return [self._unit(unit) for unit in plan_enhancement(self._run, with_images=True)]

    def is_done(self, units: Sequence[Planned]) -> bool:
        """Whether all files of these units are at the destination, and no others of an export."""
        names = sorted(unit.unit for unit in units)
        return all(unit.job is None for unit in units) and names == self._manifest.shards()

    def prepare(self, units: Iterable[Planned]) -> None:
        """Begin: say whose the destination is, and remove what is not part of it any more.

        All removals come before the first file is written, and no shard's record names what was
        removed, so that a file that has moved from one shard to another is not lost, nor removed
        later, should its new shard be written and the former one not.
        """
        self._manifest.describe(self._about)
        jobs = {unit.unit: unit.job for unit in units}
        for shard in self._manifest.shards():
            job = jobs.get(shard)
            if shard not in jobs:
                self._remove(self._manifest.files(shard))
                self._manifest.forget(shard)
            elif isinstance(job, ExportJob):
                known = self._manifest.files(shard)
                wanted = {path for image in self._images(job.shard) for path in image.paths}
                stay = {path: file for path, file in known.items() if path in wanted}
                if len(stay) < len(known):
                    self._remove({path: file for path, file in known.items() if path not in wanted})
                    self._manifest.begin(shard, stay)

    def finish(self) -> None:
        """End: say what the destination holds now, and leave nothing half-written there."""
        config = self._run.config
        form = self._form or config.enhance.form
        facts = {"configuration": config.name, "format": form.format}
        facts |= {"operator": self._run.operator.name}
        self._manifest.describe({**self._about, **facts, "alpha": self._alpha})
        self._store.clear()

    @property
    def _about(self) -> dict[str, str]:
        return {"workspace": self._run.config.workspace, "dataset": self._run.config.restored_name}

    def _require_own(self) -> None:
        """Check that nobody else has exported to the destination.

        Raises:
            ConfigurationError: another workspace has, or this one another data set.
        """
        found = self._manifest.about()
        if any(found.get(name, value) != value for name, value in self._about.items()):
            raise ConfigurationError(
                f"{self._destination!r} must not hold another export, got that of the data set "
                f"{found.get('dataset')!r} of {found.get('workspace')!r}; name another folder, or "
                f"remove {MANIFEST}/export.json in it if that is this workspace, moved"
            )

    def _unit(self, unit: Planned) -> Planned:
        """Return a unit of the enhancement as one of the export."""
        pending = unit.job
        if isinstance(pending, EnhanceJob) and any(
            output.signal == self._signal for output in pending.enhanced
        ):
            raise StepMissing(
                f"the shard {unit.unit} must be enhanced at alpha {self._alpha:g} with these "
                "options and images, but is not; run `dotpipe run CONFIG` first"
            )
        job = self._job(unit.unit)
        is_there = self._manifest.is_whole(unit.unit, job.mark)
        return Planned(unit.unit, unit.images, None if is_there else job)

    def _job(self, shard: str) -> ExportJob:
        config = self._run.config
        given = config.enhance.format
        extension = given if given == "keep" else extension_of(given)
        anew = [] if self._form is None else [self._form.inputs]
        folder = dataset_folder(self._named_by)
        images, names = self._records_of(self._enhanced, shard), self._records_of(folder, shard)
        return ExportJob(
            workspace=config.workspace,
            dataset=config.restored_name,
            named_by=self._named_by,
            shard=shard,
            enhanced=self._enhanced,
            alpha=self._alpha,
            form=self._form,
            limits=config.shards.limits(),
            destination=self._destination,
            mark=digest_of([images, names, extension, *self._side_kinds, *anew]),
        )

    def _images(self, shard: str) -> list[Image]:
        return images_of(self._run.workspace, self._named_by, self._enhanced, shard, self._form)

    def _records_of(self, folder: str, shard: str) -> list[tuple[str, str]]:
        """Return what the ledger says that a shard was made from and became."""
        records = self._surveys[folder].records(f"{folder}/{shard}")
        return [(record.fingerprint, record.digest) for record in records]

    @property
    def _side_kinds(self) -> tuple[str, ...]:
        """Kinds of files that stand beside images."""
        corpus = self._run.config.given_datasets().get(self._named_by)
        return () if corpus is None else corpus.side_kinds

    @cached_property
    def _surveys(self) -> Mapping[str, Survey]:
        ledger = self._run.workspace.ledger
        return {
            folder: ledger.survey(folder)
            for folder in (self._enhanced, dataset_folder(self._named_by))
        }

    def _remove(self, files: Mapping[str, ExportedFile]) -> None:
        for _ in side_by_side(partial(_remove, self._store), files.items()):
            pass


def _remove(store: Store, item: tuple[str, ExportedFile]) -> None:
    """Remove a file, unless somebody has put another in its place."""
    path, file = item
    size = size_at(store, path)
    if size is not None and file.size in (size, None):
        store.remove(path)
