"""Check the networks of a configuration: whether they can be had, and do what they are for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Literal, NamedTuple

from tasks.config import Config
from tasks.io.artifacts.more_metrics import pyiqa_column
from tasks.io.errors import DotpipeError, WeightsMissing
from tasks.io.machine.devices import pick_device
from tasks.io.networks.codecs import (
    Pixel,
    codec_identity,
    load_codec,
    locate_codec,
    precision_warning,
)
from tasks.io.networks.codecs import WithWeights as CodecWithWeights
from tasks.io.networks.features.extractors import Network, fetch_extractor
from tasks.io.networks.features.judges import (
    fetch_judge,
    judge_files,
    judge_title,
    load_judge,
)
from tasks.io.networks.features.perceptual import fetch_lpips
from tasks.io.networks.features.pyiqa_metrics import pyiqa_version, require_pyiqa
from tasks.io.networks.patch_prior.section import PatchPrior
from tasks.io.networks.plug_ins.codec import PlugInCodec
from tasks.io.networks.plug_ins.metric import described, load_metric, require_metrics
from tasks.io.networks.plug_ins.restorer import PlugInRestorer
from tasks.io.networks.residual_transport.section import ResidualTransport
from tasks.io.networks.restorers import (
    SpandrelCheckpoint,
    WithWeights,
    load_restorer,
    locate_checkpoint,
    restorer_identity,
)
from tasks.io.networks.weights import Weights
from tasks.jobs.progress import at

State = Literal["good", "poor", "bad"]


class Checked(NamedTuple):
    """What was tried out, and what came of it."""

    what: str
    """What was looked at, as in 'weights of the codec'."""
    state: State
    """``poor``: a run goes on, but its results lack something or take long. ``bad``: it fails."""
    said: str
    """What was found; where it is not good, a sentence with the remedy."""


def check_networks(config: Config, loads: bool) -> Iterator[Checked]:
    """Yield whether the networks can be had; codec and restorer must, the metrics' need not.

    Args:
        config: says which.
        loads: whether codec and restorer are loaded on the device, and not only looked for.
    """
    weights, codec, restorer = Weights.of(config.weights), config.codec, config.restore
    if isinstance(codec, PlugInCodec):
        yield _tried("codec", "bad", lambda: _plug_in_codec(codec, config, loads))
    elif not isinstance(codec, Pixel):
        yield _tried("weights of the codec", "bad", lambda: _codec(codec, config, weights, loads))
    if isinstance(restorer, WithWeights):
        yield _tried(
            "weights of the restorer", "bad", lambda: _restorer(restorer, config, weights, loads)
        )
    if isinstance(restorer, PlugInRestorer):
        yield _tried("restorer", "bad", lambda: _plug_in(restorer, config, loads))
    if isinstance(restorer, PatchPrior):
        yield _tried("reference of the restorer", "bad", lambda: _reference(restorer))
    yield from _metrics(config, weights, loads)


def _metrics(config: Config, weights: Weights, loads: bool) -> Iterator[Checked]:
    """Yield whether the networks of the metrics can be had."""
    metrics = config.evaluate
    lpips = metrics.lpips
    if lpips is not None and config.reference_name is not None:
        yield _tried("weights of LPIPS", "poor", lambda: str(fetch_lpips(lpips, weights)))
    for network in metrics.networks.values():
        yield _tried(f"weights of {network}", "poor", partial(_features, network, weights))
    for judge in config.judges:
        if judge_files(judge):
            yield _tried(
                f"weights of {judge_title(judge)}", "poor", partial(_judge, judge, weights)
            )
    if metrics.pyiqa:
        yield _tried("metrics of pyiqa", "bad", partial(_pyiqa, config, loads))
    if metrics.plug_ins:
        yield _tried("metrics of plug-ins", "bad", partial(_plug_in_metrics, config, loads))


def _pyiqa(config: Config, loads: bool) -> str:
    """Load the metrics of pyiqa, or look for them.

    Raises:
        DotpipeError: they cannot be computed.
    """
    names = config.evaluate.pyiqa
    require_pyiqa(names, has_reference=config.reference_name is not None)
    for name in names if loads else ():
        load_judge(pyiqa_column(name), pick_device(config.compute.device))
    return f"pyiqa {pyiqa_version()}"


def _features(network: Network, weights: Weights) -> str:
    return str(fetch_extractor(network, weights))


def _judge(name: str, weights: Weights) -> str:
    return ", ".join(map(str, fetch_judge(name, weights)))


def _codec(codec: CodecWithWeights, config: Config, weights: Weights, loads: bool) -> str:
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
    """Load the restorer and try it out, or look for its file.

    Raises:
        DotpipeError: it cannot be had, is no restorer, or does not fit what is to be undone.
    """
    if not loads:
        return str(locate_checkpoint(restorer, weights))
    loaded = load_restorer(restorer, config.compute.device, weights, config.compute.precision)
    loaded.require_fitting(config.undone)
    return "loaded, and tried out" if isinstance(restorer, SpandrelCheckpoint) else "loaded"


def _plug_in_metrics(config: Config, loads: bool) -> str:
    """Load metrics of plug-ins and try them out, or look for their packages.

    Raises:
        DotpipeError: one cannot be had, or does not give a number.
    """
    names = config.evaluate.plug_ins
    require_metrics(names, has_reference=config.reference_name is not None)
    for name in names if loads else ():
        load_metric(name, pick_device(config.compute.device)).try_out()
    packages = (f"{each.package} {each.version}" for each in map(described, names))
    return ", ".join(dict.fromkeys(packages)) + ", loaded and tried out" * loads


def _plug_in_codec(codec: PlugInCodec, config: Config, loads: bool) -> str:
    """Load the plug-in, which is tried out, or look for its package and files.

    Raises:
        DotpipeError: it cannot be had, or is no codec.
    """
    found = codec_identity(codec)
    if loads:
        load_codec(codec, config.compute.device, "float32")
    return _package(found, loads)


def _package(identity: Mapping[str, Any], loads: bool) -> str:
    """Return which package a plug-in is of, and whether it was loaded."""
    told = f"{identity['package']} {identity['version']}"
    return f"{told}, loaded and tried out" if loads else told


def _plug_in(restorer: PlugInRestorer, config: Config, loads: bool) -> str:
    """Load the plug-in and try it out, or look for its package and files.

    Raises:
        DotpipeError: it cannot be had, or does not do what it is for.
    """
    found = restorer_identity(restorer)
    if loads:
        load_restorer(restorer, config.compute.device).require_fitting(config.undone)
    return _package(found, loads)


def _reference(restorer: PatchPrior) -> str:
    """Look for the references of a patch prior; one for all is read.

    Raises:
        DotpipeError: there is none, or one that cannot be used.
    """
    restorer_identity(restorer)
    load_restorer(restorer, "cpu")
    return restorer.reference


def enlargement(config: Config, dataset: str, loads: bool) -> int | None:
    """Return how many times as large as in a data set its images are when they are enhanced.

    Args:
        config: says how they are restored.
        dataset: given images.
        loads: whether a restorer may be loaded to find out.

    Returns:
        None where it cannot be told.
    """
    known, restorer = config.enlargement(dataset), config.restore
    if known is not None or not loads or isinstance(restorer, ResidualTransport | None):
        return known
    with suppress(DotpipeError, OSError):  # which was told before
        weights, compute = Weights.of(config.weights), config.compute
        return load_restorer(restorer, compute.device, weights, compute.precision).scale
    return None


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
