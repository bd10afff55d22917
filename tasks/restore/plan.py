"""The plan of the restoration: which shards of restored images are missing, or out of date."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from tasks.config import Run
from tasks.io.catalogue import by_shard, disjoint_samples, sample
from tasks.io.networks.plug_ins.restorer import pinned_restorer
from tasks.io.networks.residual_transport.restorer import TrainedMap
from tasks.io.networks.residual_transport.section import ResidualTransport
from tasks.io.networks.restorers import RestorerSpec, SpandrelCheckpoint, restorer_identity
from tasks.io.workspace import dataset_folder
from tasks.jobs import Planned, Recipe, finished_digest
from tasks.restore.restore import RestoreJob
from tasks.train.plan import trained_map


def plan_restoration(run: Run, origin: str, dataset: str) -> list[Planned]:
    """Return a unit for every shard to restore; done ones have no job.

    For the data set that is to be enhanced these are all shards of the origin; for one that is
    only fitted on, those with images that the fit will select.

    Args:
        run: the configuration and its workspace.
        origin: name of the data set of degraded images, or of clean ones.
        dataset: name of that of restored images.

    Raises:
        StepMissing: the data set of the origin is not finished, or the restorer not trained.
        WeightsMissing: the restorer's checkpoint is not at hand.
    """
    config, ledger = run.config, run.workspace.ledger
    if config.restore is None:
        return []
    trained = trained_map(run) if isinstance(config.restore, ResidualTransport) else None
    survey, origins = (ledger.survey(dataset_folder(each)) for each in (dataset, origin))
    job_of = _job_of(run, config.restore, origin, dataset, trained)
    recipe = Recipe("restore", _inputs(run, config.restore, trained))
    earlier = _restored_before(run, dataset)
    kind = "clean" if config.degrade else "degraded"
    planned = []
    for shard, (images, chosen) in _wanted(run, origin, dataset).items():
        digest = finished_digest(origins, f"{dataset_folder(origin)}/{shard}")
        own, artifact = {"chosen": chosen, kind: digest}, f"{dataset_folder(dataset)}/{shard}"
        target = recipe.aim(survey, artifact, **own)
        alike = {"recipe": recipe.mark(**{kind: digest}), "earlier": earlier.get(shard, ())}
        job = None if target is None else job_of(target=target, shard=shard, chosen=chosen, **alike)
        planned.append(Planned(shard, images, job, (artifact,), recipe.mark(**own)))
    return planned


def _job_of(
    run: Run, restorer: RestorerSpec, origin: str, dataset: str, trained: TrainedMap | None
) -> Callable[..., RestoreJob]:
    """Return what makes the job of a shard from what only that shard has."""
    config = run.config
    return partial(
        RestoreJob,
        workspace=run.workspace.url,
        origin=origin,
        dataset=dataset,
        degrade=config.degrade,
        restorer=pinned_restorer(restorer),
        limits=config.shards.limits(),
        compute=config.compute,
        weights=config.weights,
        trained=trained,
    )


def _restored_before(run: Run, dataset: str) -> Mapping[str, tuple[str, ...]]:
    """Return by shard where images of it may lie that were restored for the fit before.

    There are none of the data set to enhance, all of whose images are restored at once.
    """
    found = dict[str, tuple[str, ...]]()
    if dataset == run.config.restored_name:
        return found
    for artifact in sorted(record.artifact for record in run.records_of("datasets", dataset)):
        shard = artifact.rpartition("/")[2]
        found[shard] = (*found.get(shard, ()), artifact)
    return found


def _inputs(run: Run, restorer: RestorerSpec, trained: TrainedMap | None) -> dict[str, Any]:
    """Return the inputs of the fingerprint that all shards share."""
    config = run.config
    if isinstance(restorer, ResidualTransport):
        identity = {"kind": restorer.kind, "weights": None if trained is None else trained.digest}
    else:
        identity = restorer_identity(restorer, run.weights)
    inputs: dict[str, Any] = {
        "degradations": repr(config.undone),
        "restorer": identity,
    }
    if not config.degrade:  # of which restored images can be larger
        inputs["limits"] = config.shards.max_pixels
    if isinstance(restorer, SpandrelCheckpoint):
        inputs |= {"precision": config.compute.precision, "tile": config.compute.tile}
    if isinstance(restorer, ResidualTransport):
        inputs["tile"] = config.compute.tile
    return inputs


def _wanted(run: Run, origin: str, dataset: str) -> dict[str, tuple[int, tuple[str, ...] | None]]:
    """Return for every shard how many images to restore, and their keys if not all of them."""
    if dataset == run.config.restored_name:
        return {shard: (images, None) for shard, images in run.workspace.shards(origin).items()}
    images, seed = run.config.fit.images, run.config.fit.seed
    if run.config.pairing == "unpaired":  # natural images that the other side does not use
        first, second = run.workspace.keys(origin), run.workspace.keys(origin)
        places, _ = disjoint_samples(first, second, images, seed)
    else:
        places = sample(run.workspace.keys(origin), images, seed)
    return {shard: (len(keys), tuple(keys)) for shard, keys in by_shard(places).items()}
