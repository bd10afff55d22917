"""The plan of an enhancement: which tars and metrics of which shards are missing."""

from collections.abc import Iterator
from typing import Any

from tasks.config import Config
from tasks.enhance import EnhanceJob
from tasks.io.extractors import extractor_identity
from tasks.io.perceptual import lpips_identity
from tasks.io.workspace import (
    CONTROLS,
    CURVE,
    Signal,
    Workspace,
    dataset_folder,
    enhanced_folder,
    matches_folder,
    metrics_folder,
)
from tasks.jobs import Planned, aim
from tasks.outputs import Output
from tasks.reduce import OperatorRef
from tasks.shard import finished_digest
from tasks.signals import signals_to_score


def plan_enhancement(
    config: Config, operator: OperatorRef, workspace: Workspace, *, tars: bool
) -> Iterator[Planned]:
    """A unit for every shard of the restored data set, with what is missing of it.

    Args:
        config: says which alphas and metrics.
        operator: the fitted one.
        workspace: where to look.
        tars: whether enhanced images are wanted, or metrics only.
    """
    dataset = config.restored_name
    plan = _Plan(config, operator, workspace)
    for shard, images in workspace.shards(dataset).items():
        wanted = [Signal("enhanced", alpha) for alpha in config.enhance.alphas] if tars else []
        missing_tars = [plan.tar(shard, signal) for signal in wanted]
        missing_tables = [plan.table(shard, signal) for signal in signals_to_score(config)]
        if not any(missing_tars) and not any(missing_tables):
            yield Planned(shard, images, None)
            continue
        job = EnhanceJob(
            workspace=workspace.url,
            dataset=dataset,
            reference=config.reference_name,
            shard=shard,
            operator=operator.name,
            tars=tuple(filter(None, missing_tars)),
            tables=tuple(filter(None, missing_tables)),
            codec=config.codec,
            options=config.enhance,
            fold=config.patches.fold,
            lpips=plan.lpips_net,
            network=plan.network,
            weights=config.weights,
            identities=plan.identities,
            curve=config.curve_alphas,
            curve_networks=plan.on_curve,
            compute=config.compute,
            limits=config.shards.limits(),
        )
        yield Planned(shard, images, job)


class _Plan:
    """The targets of one run, against one survey of the ledger."""

    def __init__(self, config: Config, operator: OperatorRef, workspace: Workspace) -> None:
        dataset, reference = config.restored_name, config.reference_name
        survey = workspace.ledger.survey
        self._config, self._operator = config, operator
        self._shards = survey(dataset_folder(dataset))
        self._matches = survey(matches_folder(dataset, reference)) if reference else None
        self._enhanced = survey(f"enhanced/{dataset}/{operator.name}")
        self._metrics = survey(metrics_folder(dataset, operator.name))
        net, network = config.evaluate.lpips, config.evaluate.features
        net = net if reference is not None else None
        self._lpips = None if net is None else lpips_identity(net, config.weights)
        self._seen_by = None if network is None else extractor_identity(network, config.weights)
        self.identities = {"lpips": self._lpips, "features": self._seen_by}
        self.lpips_net = net if self._lpips else None
        self.network = network if self._seen_by else None
        self.on_curve = config.evaluate.curve is not None and config.evaluate.curve.networks

    def tar(self, shard: str, signal: Signal) -> Output | None:
        """The enhanced shard at one alpha, if it is missing."""
        folder = enhanced_folder(self._config.restored_name, self._operator.name, signal)
        inputs = {**self._inputs(shard, signal), "format": self._config.enhance.format}
        target = aim(self._enhanced, f"{folder}/{shard}", "enhance", inputs)
        return None if target is None else Output(signal, target)

    def table(self, shard: str, signal: Signal) -> Output | None:
        """The metrics of a shard for one signal, if they are missing."""
        folder = metrics_folder(self._config.restored_name, self._operator.name, signal)
        match = None
        if self._matches is not None and self._config.reference_name is not None:
            matches = matches_folder(self._config.restored_name, self._config.reference_name)
            match = finished_digest(self._matches, f"{matches}/{shard}", "enhance")
        inputs = {**self._inputs(shard, signal), "match": match}
        if signal == CURVE:
            inputs["alphas"] = self._config.curve_alphas
        if signal != CURVE or self.on_curve:
            inputs |= self.identities
        target = aim(self._metrics, f"{folder}/{shard}", "score", inputs)
        return None if target is None else Output(signal, target)

    def _inputs(self, shard: str, signal: Signal) -> dict[str, Any]:
        """What the images of a signal are made from."""
        own = finished_digest(self._shards, f"{dataset_folder(self._config.restored_name)}/{shard}")
        inputs = {"shard": own, "operator": self._operator.digest, "signal": list(signal)}
        if signal in CONTROLS:
            return inputs
        options = self._config.enhance
        return inputs | {
            "decoding": options.decoding,
            "interpolation": options.interpolation,
            "fold": self._config.patches.fold,
            "seed": options.seed if self._operator.is_stochastic else None,
        }
