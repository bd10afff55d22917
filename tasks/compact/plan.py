"""What must be made so that merged shards count as done: the pipeline's plans say it themselves.

Each plan is asked over the workspace as it is to be. What it calls missing of a merged shard is
made of the small ones; whatever else it calls missing says that the workspace is not finished.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tasks.compact.artifacts import Merge
from tasks.compact.layout import Layout, Regrouped
from tasks.config import Config, Run
from tasks.config.corpora import Corpus
from tasks.enhance.enhance import EnhanceJob
from tasks.enhance.match import plan_matches
from tasks.enhance.plan import plan_enhancement
from tasks.evaluate.extract import plan_extraction
from tasks.fit.measurement_plan import chosen_by_dataset, measure_of, measured_shards
from tasks.fit.operators import FittedRun, find_operator
from tasks.fit.select import Selection, chosen_images
from tasks.io.catalogue import Place, by_shard
from tasks.io.errors import StepMissing
from tasks.io.workspace import Workspace, dataset_folder
from tasks.jobs import Planned, Target
from tasks.restore.plan import plan_restoration
from tasks.restore.restore import RestoreJob
from tasks.shard.shard import ShardJob, mark_of_files, plan_shards

Fingerprints = dict[str, dict[str, str]]
"""Those of the shards of data sets, by the names of both."""


class MergePlan:
    """What is missing of the merged shards of some data sets.

    Args:
        workspace: as it is.
        layouts: of its data sets as they are to be.
    """

    def __init__(self, workspace: Workspace, layouts: Mapping[str, Layout]) -> None:
        self._workspace, self._layouts = workspace, layouts
        self._regrouped = Regrouped(workspace.url, layouts=layouts)

    def images(self, config: Config, fingerprints: Fingerprints) -> Iterator[Merge]:
        """Yield the shards of images; those of restored ones must be planned when theirs are made.

        Args:
            config: whose data sets these are.
            fingerprints: takes those of all shards of these data sets.

        Raises:
            StepMissing: a shard that stays is not finished.
        """
        run = Run(config, self._regrouped)
        for dataset, corpus in config.given_datasets().items():
            if dataset in self._layouts and dataset not in fingerprints:
                units = list(plan_shards(run, corpus, dataset))
                self._require_unchanged(config, dataset, corpus, units)
                yield from self._shards(dataset, units, fingerprints)
        for dataset, origin in config.made_datasets().items():
            if dataset in self._layouts and dataset not in fingerprints:
                planned = plan_restoration(run, origin, dataset)
                yield from self._shards(dataset, planned, fingerprints)

    def _require_unchanged(
        self, config: Config, dataset: str, corpus: Corpus, units: Iterable[Planned]
    ) -> None:
        """Check that the small shards are of the files that the merged ones are planned over.

        Raises:
            StepMissing: a file has changed, come or gone.
        """
        catalogue = self._workspace.catalogue(dataset)
        entries = {entry.shard: entry for entry in catalogue.shards}
        survey = self._workspace.ledger.survey(dataset_folder(dataset))
        listed = {unit.unit: unit.job.files for unit in units if isinstance(unit.job, ShardJob)}
        for group in self._layouts[dataset].groups:
            for shard in group.merged if group.shard in listed else ():
                sources = set(catalogue.table(entries[shard], ("source",))["source"].to_pylist())
                own = [file for file in listed[group.shard] if file.path in sources]
                mark = mark_of_files(config, corpus, own)
                if survey.digest(f"{dataset_folder(dataset)}/{shard}", mark) is None:
                    raise StepMissing(
                        f"the images of {dataset}/{shard} must stay while shards are merged, but a "
                        "file of them has changed, or is gone; run `dotpipe run CONFIG` first"
                    )

    def _shards(
        self, dataset: str, units: Iterable[Planned], fingerprints: Fingerprints
    ) -> Iterator[Merge]:
        """Yield what is missing of one data set's own shards."""
        known = fingerprints.setdefault(dataset, {})
        for unit in units:
            known[unit.unit] = unit.fingerprint
            if unit.job is not None:
                job = unit.job
                facts = {"recipe": job.recipe} if isinstance(job, RestoreJob) else {}
                for target in job.targets():
                    yield self._merge(dataset, target, facts)

    def fit(self, config: Config) -> Iterator[Merge]:
        """Yield the moments of the images that are chosen for the fit.

        Raises:
            StepMissing: a shard that stays is not finished.
        """
        run, measure = Run(config, self._workspace), measure_of(config)
        before = chosen_by_dataset(config, chosen_images(run))
        for dataset, chosen in chosen_by_dataset(config, self.selection(config)).items():
            for each in measured_shards(run, dataset, chosen, measure):
                if each.digest is None:
                    small = self._small(dataset, each.target)
                    own = {s: keys for s, keys in before[dataset].items() if s in small}
                    parts = measured_shards(run, dataset, dict(sorted(own.items())), measure)
                    sources = tuple(part.artifact for part in parts)
                    yield Merge(each.target, sources, {}, tuple(chosen[each.shard]))

    def selection(self, config: Config) -> Selection:
        """Return the images that are chosen for the fit, by the shards that they are to be in."""
        *_, selection = self.selections(config)
        return selection

    def selections(self, config: Config) -> Iterator[Selection]:
        """Yield the same while one index names merged shards and the other does not yet, and then.

        Indexes change one after the other, and a run may come between.
        """
        before = chosen_images(Run(config, self._workspace))
        source = self._moved(config.source_name, before.source)
        target = self._moved(config.natural_name, before.target)
        yield before.model_copy(update={"source": source})
        yield before.model_copy(update={"target": target})
        yield before.model_copy(update={"source": source, "target": target})

    def _moved(self, dataset: str, chosen: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """Return the keys of chosen images by the shards that they are to be in."""
        layout = self._layouts.get(dataset)
        groups = () if layout is None else layout.groups
        new = {small: group.shard for group in groups for small in group.merged}
        places = (Place(k, new.get(shard, shard)) for shard, keys in chosen.items() for k in keys)
        return by_shard(sorted(places))

    def results(self, config: Config) -> Iterator[Merge]:
        """Yield matches, enhanced images, metrics and features, whose fingerprints need all before.

        Raises:
            StepMissing: a shard that stays is not finished.
        """
        run = Run(config, self._regrouped)
        if (job := plan_matches(run)) is not None:
            for target in job.by_shard.values():
                yield self._merge(job.dataset, target)
        operator = find_operator(Run(config, self._workspace))
        fitted = FittedRun(config, self._regrouped, operator)
        for unit in plan_enhancement(fitted, with_images=True):
            if isinstance(unit.job, EnhanceJob):
                for output in (*unit.job.enhanced, *unit.job.tables):
                    facts = {"latents": output.latents} if output.latents else {}
                    yield self._merge(unit.job.dataset, output.target, facts)
        for unit in plan_extraction(run):
            for target in () if unit.job is None else unit.job.targets():
                yield self._merge(target.artifact.split("/")[1], target)

    def _merge(self, dataset: str, target: Target, facts: Mapping[str, Any] | None = None) -> Merge:
        folder = target.artifact.rpartition("/")[0]
        small = self._small(dataset, target)
        return Merge(target, tuple(f"{folder}/{shard}" for shard in small), facts or {})

    def _small(self, dataset: str, target: Target) -> tuple[str, ...]:
        """Return the small shards of which an artifact is to be made.

        Raises:
            StepMissing: it is of a shard that is not merged.
        """
        shard, layout = target.artifact.rpartition("/")[2], self._layouts.get(dataset)
        small = () if layout is None else layout.merged_into(shard)
        if not small:
            raise StepMissing(
                f"all must be done before shards are merged, but {target.artifact} is not; run "
                "`dotpipe run CONFIG` first"
            )
        return small
