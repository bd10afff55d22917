"""The plan of an enhancement: which images and metric tables are missing, shard by shard."""

from collections.abc import Collection, Iterable, Iterator
from functools import cache, partial
from os.path import commonprefix
from typing import Any, NamedTuple

from tasks.enhance.curves.dials import band_of
from tasks.enhance.curves.seen import is_seen
from tasks.enhance.enhance import EnhanceJob
from tasks.enhance.outputs import Output, Written
from tasks.enhance.signals import signals_to_score
from tasks.fit.operators import FittedRun
from tasks.io.artifacts.metric_registry import versions_of
from tasks.io.images import pinned_format
from tasks.io.ledger import digest_of
from tasks.io.networks.codecs import tile_that_matters
from tasks.io.networks.features.extractors import FIRST, extractor_identity
from tasks.io.networks.features.judges import judge_identity
from tasks.io.networks.features.perceptual import lpips_identity
from tasks.io.networks.plug_ins.codec import pinned_codec
from tasks.io.workspace import (
    CONTROLS,
    CURVE,
    INPUT,
    Signal,
    compaction_told,
    dataset_folder,
    enhanced_folder,
    features_folder,
    matches_folder,
    metrics_folder,
)
from tasks.jobs import Planned, Recipe, finished_digest


def plan_enhancement(
    run: FittedRun,
    *,
    with_images: bool,
    shards: Collection[str] | None = None,
) -> Iterator[Planned]:
    """Yield a unit for every shard of the restored data set, with what is missing of it.

    Args:
        run: says which alphas and metrics, of which operator.
        with_images: whether enhanced images are wanted, or metrics only.
        shards: names of the only shards to plan, for which little more than their own records
            is listed; None for all.

    Raises:
        StepMissing: a shard, or what its images are matched with, is not finished.
    """
    start = commonprefix(list(shards or ()))  # noqa: RUF071 - of names, not of paths
    with compaction_told(run.workspace):
        plan = _Plan(run, with_images=with_images, start=start)
        for shard, images in run.workspace.shards(run.config.restored_name).items():
            if shards is None or shard in shards:
                yield plan.unit(shard, images)


class _Series(NamedTuple):
    """The artifacts of one signal: one for every shard, all made by the same recipe."""

    signal: Signal
    folder: str
    recipe: Recipe


class _Plan:
    """What is missing of a run, as its ledger says; each folder is listed once, when needed."""

    def __init__(self, run: FittedRun, *, with_images: bool, start: str) -> None:
        """Prepare the recipes of all signals.

        Args:
            run: says which alphas and metrics, of which operator.
            with_images: whether enhanced images are wanted, or metrics only.
            start: what the names of all shards to plan begin with.
        """
        config, dataset, reference = run.config, run.config.restored_name, run.config.reference_name
        self._survey = cache(partial(run.workspace.ledger.survey, start=start))
        self._config, self._operator, self._results = config, run.operator, run.results
        self._workspace = run.workspace.url
        self._dataset = dataset_folder(dataset)
        self._truths = matches_folder(dataset, reference) if reference else ""
        net, networks = config.evaluate.lpips, config.evaluate.networks
        net = net if reference is not None else None
        self._identities = {
            "lpips": None if net is None else lpips_identity(net, run.weights),
            FIRST: None,
            **{name: extractor_identity(each, run.weights) for name, each in networks.items()},
        }
        judges = {name: judge_identity(name, run.weights) for name in config.judges}
        self._identities |= judges
        self._judges = tuple(name for name, identity in judges.items() if identity)
        self._lpips = net if self._identities["lpips"] else None
        self._networks = {n: each for n, each in networks.items() if self._identities[n]}
        alphas = [Signal("enhanced", alpha) for alpha in config.enhance.alphas]
        self._images = {signal: self._enhanced_at(signal) for signal in alphas}
        self._enhanced = list(self._images.values()) if with_images else []
        measured = {s: self._inputs(s) | self._format for s in (*alphas, INPUT)}
        self._latents = {s: Recipe("latents", inputs) for s, inputs in measured.items()}
        self._tables = [self._tables_of(signal) for signal in signals_to_score(config)]

    def unit(self, shard: str, images: int) -> Planned:
        """Return a shard with so many images as a unit, with a job if anything is missing."""
        own = self._inputs_of(shard)
        enhanced = self._missing(self._enhanced, shard, shard=own["shard"])
        tables = self._missing(self._tables, shard, **own)
        tables = tuple(self._of_images(table, shard, own["shard"]) for table in tables)
        job = self._job(shard, enhanced, tables) if enhanced or tables else None
        artifacts = tuple(f"{series.folder}/{shard}" for series in (*self._enhanced, *self._tables))
        return Planned(shard, images, job, artifacts, own["shard"] or "")

    def _missing(
        self, series: Iterable[_Series], name: str, **own: str | None
    ) -> tuple[Output, ...]:
        """Return the artifacts of a named shard that were not made from these inputs of its own."""
        found = []
        for signal, folder, recipe in series:
            target = recipe.aim(self._survey(folder), f"{folder}/{name}", **own)
            found += [] if target is None else [Output(signal, target)]
        return tuple(found)

    def _of_images(self, table: Output, shard: str, digest: str | None) -> Output:
        """Return a metric table with where its images lie without loss, if they do.

        Args:
            table: of one signal.
            shard: name of the restored shard.
            digest: of its images.
        """
        signal = table.signal
        if signal not in self._latents:
            return table
        table = table._replace(latents=self._latents[signal].mark(shard=digest))
        if not table.target.replaces:  # then no moments lie beside it
            return table
        if signal == INPUT:
            folder = self._dataset
            (*_, record) = self._survey(folder).records(f"{folder}/{shard}")
            mark = record.fingerprint
        else:
            _, folder, recipe = self._images[signal]
            mark = recipe.mark(shard=digest)
            is_made = self._survey(folder).digest(f"{folder}/{shard}", mark) is not None
            # ``keep`` is no form without loss: whoever plans has not seen whether all images are of
            # lossless formats.
            if not is_made or not self._config.enhance.form.is_lossless:
                return table
        beside = features_folder(self._config.restored_name, self._results, signal)
        written = Written(f"{folder}/{shard}", mark, f"{beside}/{shard}.safetensors")
        return table._replace(written=written)

    def _inputs_of(self, shard: str) -> dict[str, str | None]:
        """Return the digests of a shard's images, and of what they are matched with.

        Raises:
            StepMissing: one of the two is not finished.
        """
        match = None
        if self._truths:
            matches = self._survey(self._truths)
            match = finished_digest(matches, f"{self._truths}/{shard}", "enhance")
        shards = self._survey(self._dataset)
        return {"shard": finished_digest(shards, f"{self._dataset}/{shard}"), "match": match}

    def _job(
        self, shard: str, enhanced: tuple[Output, ...], tables: tuple[Output, ...]
    ) -> EnhanceJob:
        """Return the job that makes what is missing of a shard."""
        config = self._config
        return EnhanceJob(
            workspace=self._workspace,
            dataset=config.restored_name,
            reference=config.reference_name,
            shard=shard,
            operator=self._operator.name,
            results=self._results,
            transport=digest_of({"operator": self._operator.digest, **self._moved}),
            enhanced=enhanced,
            tables=tables,
            codec=pinned_codec(config.codec),
            options=config.enhance.model_copy(
                update={"format": pinned_format(config.enhance.format)}
            ),
            fold=config.patches.fold,
            lpips=self._lpips,
            networks=self._networks,
            judges=self._judges,
            weights=config.weights,
            identities=self._identities,
            curve=config.curve_alphas,
            curve_networks=is_seen(config, CURVE),
            compute=config.compute,
            limits=config.shards.limits(),
        )

    def _enhanced_at(self, signal: Signal) -> _Series:
        """Return the enhanced shards at one alpha."""
        folder = enhanced_folder(self._config.restored_name, self._results, signal)
        options = self._config.enhance
        inputs = self._inputs(signal) | options.form.inputs
        inputs |= {} if options.outputs == "tars" else {"outputs": options.outputs}
        return _Series(signal, folder, Recipe("enhance", inputs))

    def _tables_of(self, signal: Signal) -> _Series:
        """Return the metric tables of one signal."""
        folder = metrics_folder(self._config.restored_name, self._results, signal)
        inputs = self._inputs(signal) | self._format | self._seen(signal)
        return _Series(signal, folder, Recipe("score", inputs))

    @property
    def _format(self) -> dict[str, Any]:
        """The format, which decides at what depth images are measured, and which are refused."""
        return self._config.enhance.form.holding

    def _seen(self, signal: Signal) -> dict[str, Any]:
        """Return what computes the metrics of a signal: alphas, networks, versions of metrics."""
        alphas = {"alphas": self._config.curve_alphas} if signal.has_points else {}
        networks = self._identities if is_seen(self._config, signal) else {}
        return alphas | networks | versions_of("image")

    def _inputs(self, signal: Signal) -> dict[str, Any]:
        """Return what the images of a signal are made from, in every shard alike."""
        tile = tile_that_matters(self._config.codec, self._config.compute.tile)
        inputs = {"operator": self._operator.digest, "signal": [signal.name, signal.alpha], **tile}
        if signal in CONTROLS:
            return inputs
        options = self._config.enhance
        band = band_of(options, signal)
        inputs |= {} if band is None else {"low_share": band.share, "low_sigma": band.sigma}
        return inputs | self._moved

    @property
    def _moved(self) -> dict[str, Any]:
        """Return how images are moved by the operator, however far and whatever is made of it."""
        options = self._config.enhance
        return {
            "decoding": options.decoding,
            "interpolation": options.interpolation,
            "fold": self._config.patches.fold,
            "seed": options.seed if self._operator.is_stochastic else None,
        }
