"""The plan of an enhancement: which tars and metrics of which shards are missing."""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache, cached_property, partial
from os.path import commonprefix
from typing import Any

from tasks.enhance.enhance import EnhanceJob
from tasks.enhance.outputs import Output
from tasks.enhance.signals import signals_to_score
from tasks.fit.operators import FittedRun
from tasks.io.artifacts.metric_registry import versions_of
from tasks.io.networks.extractors import extractor_identity
from tasks.io.networks.perceptual import lpips_identity
from tasks.io.workspace import (
    CONTROLS,
    CURVE,
    Signal,
    dataset_folder,
    enhanced_folder,
    matches_folder,
    metrics_folder,
)
from tasks.jobs import Planned, Recipe, finished_digest


def plan_enhancement(
    run: FittedRun,
    *,
    tars: bool,
    shards: Collection[str] | None = None,
) -> Iterator[Planned]:
    """A unit for every shard of the restored data set, with what is missing of it.

    Args:
        run: says which alphas and metrics, of which operator.
        tars: whether enhanced images are wanted, or metrics only.
        shards: only these, if any are named; little more than their records is listed then.
    """
    dataset = run.config.restored_name
    start = commonprefix(list(shards or ()))  # noqa: RUF071 - of names, not of paths
    plan = _Plan(run, start)
    wanted = [Signal("enhanced", alpha) for alpha in run.config.enhance.alphas] if tars else []
    scored = signals_to_score(run.config)
    folders = [enhanced_folder(dataset, run.operator.name, signal) for signal in wanted]
    folders += [metrics_folder(dataset, run.operator.name, signal) for signal in scored]
    for shard, images in run.workspace.shards(dataset).items():
        if shards is not None and shard not in shards:
            continue
        own = plan.inputs_of(shard)
        missing_tars = [plan.tar(shard, signal, own) for signal in wanted]
        missing_tables = [plan.table(shard, signal, own) for signal in scored]
        artifacts = tuple(f"{folder}/{shard}" for folder in folders)
        if not any(missing_tars) and not any(missing_tables):
            yield Planned(shard, images, None, artifacts, own["shard"] or "")
            continue
        job = plan.job(shard, missing_tars, missing_tables)
        yield Planned(shard, images, job, artifacts, own["shard"] or "")


class _Plan:
    """The targets of one run, against one survey of the ledger, taken folder by folder."""

    def __init__(self, run: FittedRun, start: str) -> None:
        dataset, reference = run.config.restored_name, run.config.reference_name
        self._survey = cache(partial(run.workspace.ledger.survey, start=start))
        self._config, self._operator, self._workspace = run.config, run.operator, run.workspace.url
        self._dataset = dataset_folder(dataset)
        self._truths = matches_folder(dataset, reference) if reference else ""
        net, network = run.config.evaluate.lpips, run.config.evaluate.features
        net = net if reference is not None else None
        self._lpips = None if net is None else lpips_identity(net, run.weights)
        self._seen_by = None if network is None else extractor_identity(network, run.weights)
        self._identities = {"lpips": self._lpips, "features": self._seen_by}
        self._lpips_net = net if self._lpips else None
        self._network = network if self._seen_by else None
        self._on_curve = (
            run.config.evaluate.curve is not None and run.config.evaluate.curve.networks
        )

    def inputs_of(self, shard: str) -> dict[str, str | None]:
        """The digests of a shard's own images, and of what they are matched with."""
        match = None
        if self._truths:
            matches = self._survey(self._truths)
            match = finished_digest(matches, f"{self._truths}/{shard}", "enhance")
        shards = self._survey(self._dataset)
        return {"shard": finished_digest(shards, f"{self._dataset}/{shard}"), "match": match}

    def job(
        self, shard: str, tars: Sequence[Output | None], tables: Sequence[Output | None]
    ) -> EnhanceJob:
        """The job that makes what is missing of a shard."""
        config = self._config
        return EnhanceJob(
            workspace=self._workspace,
            dataset=config.restored_name,
            reference=config.reference_name,
            shard=shard,
            operator=self._operator.name,
            tars=tuple(filter(None, tars)),
            tables=tuple(filter(None, tables)),
            codec=config.codec,
            options=config.enhance,
            fold=config.patches.fold,
            lpips=self._lpips_net,
            network=self._network,
            weights=config.weights,
            identities=self._identities,
            curve=config.curve_alphas,
            curve_networks=self._on_curve,
            compute=config.compute,
            limits=config.shards.limits(),
        )

    def tar(self, shard: str, signal: Signal, own: dict[str, str | None]) -> Output | None:
        """The enhanced shard at one alpha, if it is missing."""
        folder, recipe = self._tars[signal]
        target = recipe.aim(self._survey(folder), f"{folder}/{shard}", shard=own["shard"])
        return None if target is None else Output(signal, target)

    def table(self, shard: str, signal: Signal, own: dict[str, str | None]) -> Output | None:
        """The metrics of a shard for one signal, if they are missing."""
        folder, recipe = self._tables[signal]
        target = recipe.aim(self._survey(folder), f"{folder}/{shard}", **own)
        return None if target is None else Output(signal, target)

    @cached_property
    def _tars(self) -> "_Recipes":
        """Folder and recipe of the enhanced shards at each alpha."""
        dataset, operator = self._config.restored_name, self._operator.name
        shape = {"format": self._config.enhance.format}
        return _Recipes(
            lambda signal: (
                enhanced_folder(dataset, operator, signal),
                Recipe("enhance", self._inputs(signal) | shape),
            )
        )

    @cached_property
    def _tables(self) -> "_Recipes":
        """Folder and recipe of the metrics of each signal."""
        dataset, operator = self._config.restored_name, self._operator.name
        return _Recipes(
            lambda signal: (
                metrics_folder(dataset, operator, signal),
                Recipe("score", self._inputs(signal) | self._seen(signal)),
            )
        )

    def _seen(self, signal: Signal) -> dict[str, Any]:
        """What looks at the images of a signal."""
        alphas = {"alphas": self._config.curve_alphas} if signal == CURVE else {}
        networks = self._identities if signal != CURVE or self._on_curve else {}
        return alphas | networks | versions_of("image")

    def _inputs(self, signal: Signal) -> dict[str, Any]:
        """What the images of a signal are made from, in every shard."""
        inputs = {"operator": self._operator.digest, "signal": list(signal)}
        if signal in CONTROLS:
            return inputs
        options = self._config.enhance
        return inputs | {
            "decoding": options.decoding,
            "interpolation": options.interpolation,
            "fold": self._config.patches.fold,
            "seed": options.seed if self._operator.is_stochastic else None,
        }


class _Recipes(dict[Signal, tuple[str, Recipe]]):
    """Folder and recipe of each signal, made when they are first asked for."""

    def __init__(self, make: Callable[[Signal], tuple[str, Recipe]]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, signal: Signal) -> tuple[str, Recipe]:
        self[signal] = self._make(signal)
        return self[signal]
