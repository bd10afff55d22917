"""What a report was made with: versions, when, on which devices, in which tiles, which weights."""

import math
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tasks.config import Config, Run
from tasks.io.artifacts.more_metrics import distance_of, metrics_of_plug_ins, metrics_of_pyiqa
from tasks.io.errors import ConfigurationError, DotpipeError, WeightsMissing
from tasks.io.ledger import VERSIONS
from tasks.io.networks.digests import weights_in_words
from tasks.io.networks.features.extractors import FIRST
from tasks.io.networks.features.judges import digests_of, judge_title
from tasks.io.networks.plug_ins.loading import plug_in_in_words
from tasks.io.networks.plug_ins.restorer import PlugInRestorer
from tasks.io.networks.residual_transport.section import ResidualTransport
from tasks.io.networks.restorers import WithWeights, restorer_identity
from tasks.io.networks.weights import Weights
from tasks.report.pages import Fact, counted
from tasks.train.plan import trained_map

_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "pyarrow", "pillow", "prefect", "diffusers")
"""The packages that can change numbers or pictures, or that ran the job."""


def made_with(records: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Versions and commit of this software, when and where the images were made.

    Args:
        records: bodies of the records of the enhanced shards.

    Returns:
        ``enhanced`` has the first and the last time (ISO 8601) that a shard was finished, and
        ``devices`` how many shards each device has made; records of older versions name none.
    """
    finished, devices = list[str](), Counter[str]()
    for facts in records:
        finished += [facts[name] for name in ("first_finished", "finished") if name in facts]
        devices += Counter(devices_of(facts))
    return {
        "reported": datetime.now(UTC).isoformat(timespec="seconds"),
        "enhanced": [min(finished), max(finished)] if finished else [],
        "devices": dict(sorted(devices.items())),
        "dot-pipeline": _version("dot-pipeline"),
        "commit": commit(),
        "versions": dict(VERSIONS),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def devices_of(body: Mapping[str, Any]) -> dict[str, int]:
    """Return how many shards each device has made, as the record of one shard says.

    Those that were merged count one by one; records of older versions name no device.
    """
    device = body.get("device")
    return dict(body.get("devices", {})) if device is None else {device: 1}


def made_with_lines(known: Mapping[str, Any]) -> list[Fact]:
    """The same as lines of the page."""
    commit_of = f", commit {known['commit']}" if known["commit"] else ""
    packages = {"python": known["python"], **known["packages"]}
    devices = ", ".join(f"{name} ({count} shards)" for name, count in known["devices"].items())
    lines = [
        Fact("reported", known["reported"]),
        Fact(
            "enhanced", " to ".join(dict.fromkeys(known["enhanced"])), "when shards were finished"
        ),
        Fact("devices", devices, "that enhanced them"),
        Fact("dot-pipeline", f"{known['dot-pipeline']}{commit_of}"),
        Fact("packages", ", ".join(f"{name} {found}" for name, found in packages.items())),
    ]
    return [line for line in lines if line.value]


@lru_cache(maxsize=1)
def commit() -> str | None:
    """The commit of the checkout that this software runs from, ``-dirty`` if it was changed.

    None where it runs from no checkout, or where git is not there.
    """
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty"]
    command += ["--exclude=*"]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command
            command, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def seams_in_words(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a reader must know of images that the codec decoded in blended tiles.

    Args:
        records: bodies of the records of the enhanced shards.

    Returns:
        one sentence; none where no image was larger than a tile, or tiles change nothing.
    """
    found = [record["seams"] for record in records if "seams" in record]
    count = sum(seams["count"] for seams in found)
    if not count:
        return []
    rms = math.sqrt(sum(seams["rms"] ** 2 * seams["count"] for seams in found) / count)
    largest = max(seams["largest"] for seams in found)
    return [
        "The codec saw large images in tiles that were blended where they overlap: there they "
        f"differed by {rms:.1f} of 255 levels (root mean square), and by {largest:.0f} at most. "
        "A larger compute.tile makes fewer seams."
    ]


def weights_of(config: Config, facts: Mapping[str, str]) -> dict[str, dict[str, str] | None]:
    """The networks of the metrics and the digests of their weights; None where there are none.

    Of metrics that other packages compute there is the version of these in place of digests.

    Args:
        config: says which networks.
        facts: of the summary, with the digests of the weights that made its numbers.
    """
    networks: dict[str, str | None] = {FIRST: None, **config.evaluate.networks}
    asked: dict[str, tuple[str, str | None]] = {"lpips": ("net", config.evaluate.lpips)}
    asked |= {name: ("network", network) for name, network in networks.items()}
    asked |= {name: ("judge", name) for name in config.judges}
    made = {each.column: {"pyiqa": each.version} for each in metrics_of_pyiqa(facts)}
    made |= {
        each.column: {"package": each.package, "version": each.version}
        for each in metrics_of_plug_ins(facts)
    }
    return {
        metric: {name: network, **known}
        if network is not None and (known := digests_of(metric, facts) or made.get(metric))
        else None
        for metric, (name, network) in asked.items()
    }


def network_facts(config: Config, facts: Mapping[str, str]) -> list[Fact]:
    """The networks of restored images and metrics as lines of the page, with their weights."""
    weights, found = weights_of(config, facts), _restorer_facts(config)
    if lpips := weights["lpips"]:
        value = f"{lpips['net']}, weights with sha256 {lpips['sha256']}"
        found.append(Fact("LPIPS", value, "network of the perceptual distance"))
    for name, network in config.evaluate.networks.items():
        if features := weights[name]:
            end = "" if name == FIRST else distance_of(network).column.removeprefix("frechet")
            size = f", {facts[n]} features" if (n := f"dimension{end}") in facts else ""
            value = f"{network}{size}, weights with sha256 {features['sha256']}"
            kin = facts[f"frechet{end}_name"] + ("" if end else " and its kin")
            found.append(Fact("features", value, f"network of {kin}"))
    known = [(judge_title(name), weights[name]) for name in config.judges]
    return found + [Fact(title, _judge_in_words(made)) for title, made in known if made]


def _judge_in_words(made: Mapping[str, str | None]) -> str:
    """What a metric of single images was computed with."""
    if "sha256" in made:
        return f"weights with sha256 {made['sha256']}"
    return f"pyiqa {made['pyiqa']}" if "pyiqa" in made else f"{made['package']} {made['version']}"


def _restorer_facts(config: Config) -> list[Fact]:
    """The checkpoint or package of the restorer, if it has one, also where it is not there now."""
    if isinstance(config.restore, ResidualTransport):
        return [_trained_fact(Run.of(config, still=True))]
    spec = config.restore
    if not isinstance(spec, WithWeights | PlugInRestorer):
        return []
    try:
        identity = restorer_identity(spec, Weights.of(config.weights))
    except (WeightsMissing, ConfigurationError, OSError):
        gone = "package" if isinstance(spec, PlugInRestorer) else "checkpoint"
        known = f"{spec.kind}, {gone} no longer there"
    else:
        known = (
            plug_in_in_words(spec, identity)
            if isinstance(spec, PlugInRestorer)
            else f"{spec.kind}, {weights_in_words(identity)}"
        )
    return [Fact("restorer", known, "network of the restored images")]


def _trained_fact(run: Run) -> Fact:
    """How the restorer was trained that the run has trained itself."""
    try:
        trained = trained_map(run)
        facts = run.workspace.ledger.facts(run.workspace.ledger.records(trained.artifact)[-1])
    except (DotpipeError, OSError):
        return Fact("restorer", "residual-transport, no longer there")
    told = f"residual-transport, trained for {counted(facts['steps'], 'step')}"
    if facts["psnr"] is not None:
        told += f" to {facts['psnr']:.2f} dB of held-out crops, from {facts['degraded_psnr']:.2f}"
    return Fact("restorer", told, f"network of the restored images, weights {trained.digest}")
