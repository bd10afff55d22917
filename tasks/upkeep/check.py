"""Check: a configuration goes in; what a run needs is tried out, and what stands in its way said.

Nothing is made. All that fails is told at once, before the first shard, and not one a run.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from shutil import disk_usage
from typing import Literal, NamedTuple

from tasks.config import Config, Run
from tasks.fit.latent_size import large_patches
from tasks.io.errors import ConfigurationError, DotpipeError, WeightsMissing
from tasks.io.images import missing_library
from tasks.io.networks.codecs import Autoencoder, load_codec, locate_codec, precision_warning
from tasks.io.networks.features.extractors import fetch_extractor
from tasks.io.networks.features.perceptual import fetch_lpips
from tasks.io.networks.restorers import WithWeights, load_restorer, locate_checkpoint
from tasks.io.networks.weights import Weights
from tasks.io.workspace import LOGS, Workspace, dataset_folder
from tasks.jobs.progress import at
from tasks.pipeline import is_finished
from tasks.shard.corpus import require_sources
from tasks.upkeep.check_corpora import (
    Look,
    complaints_of,
    differing_sizes,
    few_patches,
    look_at,
    shared_keys,
)
from tasks.upkeep.forecast import in_bytes, room_needed

State = Literal["good", "poor", "bad"]


class Checked(NamedTuple):
    """What was tried out, and what came of it."""

    what: str
    """What was looked at, as in 'weights of the codec'."""
    state: State
    """``poor``: a run goes on, but its results lack something or take long. ``bad``: it fails."""
    said: str
    """What was found; where it is not good, a sentence with the remedy."""


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
    run = Run.of(config, still=True)
    if not only_what_is_new or not _is_enhanced(config):
        yield from _weights(config, runs_networks and config.compute.runner.kind == "threads")
        if said := large_patches(config):  # known once the codec's files are there
            yield Checked("size of patches", "poor", said)
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
    yield from _pairs(config, looks)
    yield from _workspace(config, looks)


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
        return all(is_finished(config, verb) for verb in ("shard", "fit", "enhance"))
    except (DotpipeError, OSError):  # such as a corpus that is not there, which is told later
        return False


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


def _weights(config: Config, loads: bool) -> Iterator[Checked]:
    """Yield whether the networks can be had; codec and restorer must, the metrics' need not.

    Args:
        config: says which.
        loads: whether codec and restorer are loaded on the device, and not only looked for.
    """
    weights, metrics, codec, restorer = (
        Weights.of(config.weights),
        config.evaluate,
        config.codec,
        config.restore,
    )
    if isinstance(codec, Autoencoder):
        yield _tried("weights of the codec", "bad", lambda: _codec(codec, config, weights, loads))
    if isinstance(restorer, WithWeights):
        yield _tried(
            "weights of the restorer", "bad", lambda: _restorer(restorer, config, weights, loads)
        )
    lpips, features = metrics.lpips, metrics.features
    if lpips is not None and config.reference_name is not None:
        yield _tried("weights of LPIPS", "poor", lambda: str(fetch_lpips(lpips, weights)))
    if features is not None:
        yield _tried(
            f"weights of {features}", "poor", lambda: str(fetch_extractor(features, weights))
        )


def _codec(codec: Autoencoder, config: Config, weights: Weights, loads: bool) -> str:
    """Load the codec, or look for its files.

    Raises:
        DotpipeError: it cannot be had, or is another kind of network, or the device is not there.
    """
    compute = config.compute
    if not loads:
        return str(locate_codec(codec, weights)[1])
    load_codec(codec, compute.device, compute.precision, weights)
    return precision_warning(codec, compute.device, compute.precision) or "loaded"


def _restorer(restorer: WithWeights, config: Config, weights: Weights, loads: bool) -> str:
    """Do the same with the restorer."""
    if not loads:
        return str(locate_checkpoint(restorer, weights))
    load_restorer(restorer, config.compute.device, weights)
    return "loaded"


def _tried(what: str, otherwise: State, attempt: Callable[[], str]) -> Checked:
    """Return what came of an attempt.

    Args:
        what: is tried.
        otherwise: the state if weights are missing; anything else that fails is bad.
        attempt: says what was found.
    """
    at(what)
    try:
        return Checked(what, "good", attempt())
    except WeightsMissing as error:
        return Checked(what, otherwise, str(error))
    except (DotpipeError, OSError) as error:
        return Checked(what, "bad", str(error))


def _pairs(config: Config, looks: dict[str, Look]) -> Iterator[Checked]:
    """Yield whether restored images have a reference, and a natural version where pairs are asked.

    Of tars, and of images that are made from others, the keys are not known before.
    """
    restored, reference, natural = (
        looks.get(name or "")
        for name in (config.restored_name, config.reference_name, config.natural_name)
    )
    if restored is not None and reference is not None:
        at("the keys of restored images and reference")
        yield _keys("reference", restored, reference)
        if said := differing_sizes(restored, reference):
            yield Checked("sizes of restored images and reference", "poor", said)
    if restored is not None and natural is not None and config.pairing == "paired":
        at("the keys of restored and natural images")
        yield _keys("natural", restored, natural)


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
