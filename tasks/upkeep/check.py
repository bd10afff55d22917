"""Check: a configuration goes in; what a run needs is tried out, and what stands in its way said.

Nothing is made. All that fails is told at once, before the first shard, and not one a run.
"""

import uuid
from collections.abc import Iterator
from contextlib import suppress
from shutil import disk_usage

from dot_kernels.sampling import total_downscaling
from tasks.config import Config, Run
from tasks.fit.latent_size import large_patches
from tasks.io.errors import ConfigurationError, DotpipeError
from tasks.io.images import missing_library
from tasks.io.networks.residual_transport.section import ResidualTransport
from tasks.io.workspace import LOGS, Workspace, dataset_folder
from tasks.jobs.progress import at
from tasks.pipeline import Verb, is_finished
from tasks.shard.corpus import require_sources
from tasks.train.plan import pairing_of
from tasks.upkeep.check_corpora import (
    Look,
    complaints_of,
    differing_sizes,
    few_patches,
    look_at,
    shared_keys,
)
from tasks.upkeep.check_networks import Checked, check_networks, enlargement
from tasks.upkeep.forecasts.room import in_bytes, room_needed


def check(
    config: Config, *, only_what_is_new: bool = False, runs_networks: bool = True
) -> Iterator[Checked]:
    """Yield everything that was tried out, in the order of a run's needs, each when it is known.

    Weights that are not on this machine are fetched, as a run would do. Of a corpus the first
    thousand names are looked at, and a few images are opened.

    Args:
        config: what is wanted.
        only_what_is_new: whether networks that have nothing left to do are left out, and so are
            corpora that were sharded before, whose listing alone may take minutes.
        runs_networks: whether this process may run codec and restorer, so that they are loaded
            on the device; otherwise their files are looked for.
    """
    run, loads = Run.of(config, still=True), runs_networks and _is_here(config)
    if not only_what_is_new or not _is_enhanced(config):
        yield from check_networks(config, loads)
        yield from _patches(config)  # known once the codec's files are there
    yield from _options(config)
    looks = dict[str, Look]()
    for dataset, corpus in config.given_datasets().items():
        at(f"the images of {dataset}")
        try:
            if only_what_is_new and _is_sharded(run, dataset):
                require_sources({dataset: corpus})
                continue
            look = look_at(config, dataset, corpus)
        except (DotpipeError, OSError) as error:
            yield Checked(f"images of {dataset}", "bad", str(error))
            continue
        looks[dataset] = look
        found = [*complaints_of(look), *few_patches(look)]
        yield from (Checked(f"images of {dataset}", state, said) for state, said in found)
        if not found:
            yield Checked(f"images of {dataset}", "good", look.told())
    yield from _pairs(config, looks, loads)
    yield from _training(config, looks)
    yield from _workspace(config, looks)


def _is_here(config: Config) -> bool:
    """Return whether the tasks run in this process."""
    return config.compute.runner.kind == "threads"


def _patches(config: Config) -> Iterator[Checked]:
    """Yield that the codec does not have such levels, or that patches are very large."""
    try:
        if said := large_patches(config):
            yield Checked("size of patches", "poor", said)
    except ConfigurationError as error:
        yield Checked("levels", "bad", str(error))


def _options(config: Config) -> Iterator[Checked]:
    """Yield what cannot be written here, and alphas outside of [0, 1], which are seldom meant."""
    if said := missing_library(config.enhance.form):
        yield Checked("format", "bad", said)
    odd = ", ".join(f"{alpha:g}" for alpha in config.enhance.alphas if not 0 <= alpha <= 1)
    if odd:
        said = (
            f"enhance.alphas has {odd}, outside of 0 (the full transport) to 1 (the image as it "
            "came): beyond 1 images are moved away from natural ones, below 0 further than to "
            "them; write others, unless you mean it"
        )
        yield Checked("alphas", "poor", said)


def _is_enhanced(config: Config) -> bool:
    """Return whether no step that runs a network on images is left to do."""
    try:
        return all(is_finished(config, verb) for verb in _RUN_NETWORKS)
    except (DotpipeError, OSError):  # such as a corpus that is not there, which is told later
        return False


_RUN_NETWORKS: tuple[Verb, ...] = ("shard", "train", "restore", "fit", "enhance")
"""The commands up to the last that runs a network on images which are not enhanced."""


def _is_sharded(run: Run, dataset: str) -> bool:
    folder = dataset_folder(dataset)
    return bool(run.workspace.ledger.survey(folder).records(f"{folder}/index"))


def require_ready(config: Config, *, runs_networks: bool = True) -> list[str]:
    """Check everything that is still needed; return what results will lack, a sentence each.

    The arguments are those of ``check``.

    Raises:
        ConfigurationError: something would make the run fail; the message says all of it.
    """
    found = list(check(config, only_what_is_new=True, runs_networks=runs_networks))
    bad = list(dict.fromkeys(each.said for each in found if each.state == "bad"))
    if len(bad) == 1:
        raise ConfigurationError(bad[0])
    if bad:
        listed = "\n".join(f"- {said}" for said in bad)
        raise ConfigurationError(f"{len(bad)} things must be mended before a run:\n{listed}")
    return list(dict.fromkeys(each.said for each in found if each.state == "poor"))


def _pairs(config: Config, looks: dict[str, Look], loads: bool) -> Iterator[Checked]:
    """Yield whether restored images have a reference, and a natural version where pairs are asked.

    Images that are degraded already stand for those that are restored from them. Of tars, and of
    images that are degraded here, the keys are not known before.
    """
    ours = config.degraded_name or config.restored_name
    words = f"{'degraded' if config.degraded_name else 'restored'} images"
    restored, reference, natural = (
        looks.get(name or "") for name in (ours, config.reference_name, config.natural_name)
    )
    if restored is not None and reference is not None:
        at(f"the keys of {words} and reference")
        yield _keys("reference", restored, reference)
        factor = enlargement(config, ours, loads)
        if factor is not None and (said := differing_sizes(restored, reference, factor)):
            yield Checked("sizes of restored images and reference", "poor", said)
    if restored is not None and natural is not None and config.pairing == "paired":
        at(f"the keys of {words} and natural images")
        yield _keys("natural", restored, natural)


def _training(config: Config, looks: dict[str, Look]) -> Iterator[Checked]:
    """Yield whether images to train on are as large as crops, and pairs where these are asked for.

    Images that were sharded before are not looked at.
    """
    if not isinstance(config.restore, ResidualTransport):
        return
    clean, degraded = (looks.get(n or "") for n in (config.clean_name, config.degraded_name))
    crop, factor = config.restore.train.crop, total_downscaling(config.undone)
    if config.degrade and config.corpora.training is None:
        yield Checked("images to train on", "poor", _seen_before(config))
    if clean is not None:
        yield from _small(clean, crop, 1)
    if degraded is not None:
        yield from _small(degraded, crop, factor)
    if clean is not None and degraded is not None and pairing_of(config) == "paired":
        at("the keys of degraded images and those to train on")
        yield _keys("training", degraded, clean)


def _seen_before(config: Config) -> str:
    """Return the sentence that a restorer is trained on what is used for something else too."""
    measured = ", and results are measured on them" * (config.clean_name == config.reference_name)
    return (
        f"the restorer is trained on the images of {config.clean_name}, of which it makes better "
        f"ones than of others: the map is fitted on them too, and learns too little{measured}; "
        "give other clean images as corpora.training"
    )


def _small(look: Look, crop: int, factor: int) -> Iterator[Checked]:
    """Yield that none of the images of a training that were opened is as large as a crop.

    Args:
        look: at clean images, or at degraded ones.
        crop: side of a crop, in pixels of a clean image.
        factor: how many times as large as those looked at the clean images are.
    """
    sides = [min(image.width, image.height) * factor for image in look.images]
    if sides and max(sides) < crop:
        said = (
            f"restore.train.crop must be at most the shorter side of images of {look.dataset}, got "
            f"{crop} pixels, and {max(sides)} of the largest that was looked at; lower it"
        )
        is_certain = look.is_all and len(sides) == len(look.files)
        yield Checked(f"crops of {look.dataset}", "bad" if is_certain else "poor", said)


def _keys(role: str, restored: Look, other: Look) -> Checked:
    doubt, said = shared_keys(role, restored, other)
    return Checked(f"keys of {role}", doubt or "good", said)


def _workspace(config: Config, looks: dict[str, Look]) -> Iterator[Checked]:
    """Yield whether the workspace can be written to, and whether its disk has the room."""
    store = Workspace(config.workspace).store
    root, path = store.local(), f"{LOGS}/.check-{uuid.uuid4().hex}"
    made = [] if root is None else [each for each in (root, *root.parents) if not each.exists()]
    at("the workspace")
    try:
        store.write(path, b"")
        store.remove(path)
    except (DotpipeError, OSError) as error:
        yield Checked("workspace", "bad", str(error))
        return
    finally:
        if root is not None:
            for folder in (root / LOGS, root / ".partial", *made):
                with suppress(OSError):  # it is not empty, or another's
                    folder.rmdir()
    yield Checked("workspace", "good", f"{store.address()} can be written to")
    if (need := room_needed(config, looks.values())) is None or root is None:
        return
    free = disk_usage(next(each for each in (root, *root.parents) if each.exists())).free
    told = f"a first run writes about {in_bytes(need)} to {root}, where {in_bytes(free)} are free"
    mend = "; make room, name another workspace, or write fewer alphas"
    yield Checked("room", "bad" if need > free else "good", told + mend * (need > free))
