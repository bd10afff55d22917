"""The weights that a configuration needs: their names in a pulled folder, and their sources."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from tasks.config import Config
from tasks.io.networks.autoencoders.taef2 import PUBLISHED_PARTS
from tasks.io.networks.codecs import Autoencoder, CodecSpec, Pixel, locate_codec, pulled_codec
from tasks.io.networks.ddrm import Ddrm, locate_model, pulled_model
from tasks.io.networks.digests import digest
from tasks.io.networks.features.extractors import fetch_extractor
from tasks.io.networks.features.judges import fetch_judge_file, judge_files
from tasks.io.networks.features.perceptual import fetch_lpips, lpips_file
from tasks.io.networks.plug_ins.codec import PlugInCodec
from tasks.io.networks.published_weights import PUBLISHED, PublishedFile
from tasks.io.networks.restorers import SpandrelCheckpoint, locate_checkpoint, pulled_checkpoint
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights
from tasks.io.store import Store


class WantedWeights(Protocol):
    """The files of one network, which are pulled together or not at all."""

    @property
    def names(self) -> tuple[str, ...]:
        """The files' paths in the pulled folder."""

    @property
    def is_named_by_path(self) -> bool:
        """Whether names are made of a path of this machine, so that other files may have them."""

    def obtain(self) -> tuple[Path, ...]:
        """Return the files' paths on this machine's disk, in the order of ``names``.

        Files that are not there are fetched, if they are on the internet.

        Raises:
            WeightsMissing: they cannot be had.
        """

    def source(self, path: Path, sha256: str) -> str:
        """Return where a file is from: an address, a repository with its commit, or its path.

        Args:
            path: of the file, as ``obtain`` gave it.
            sha256: its digest.
        """

    def is_current(self, name: str, sha256: str) -> bool:
        """Return whether a file of the pulled folder may stay, or another is to replace it.

        Args:
            name: of the file, one of ``names``.
            sha256: its digest.
        """


def wanted_weights(config: Config, folder: str) -> list[WantedWeights]:
    """Return what the configuration's networks need; files that two networks need come once.

    Args:
        config: whose codec, restorer, LPIPS and feature networks are looked at.
        folder: URL of the folder to be filled. If the configuration names another pulled folder,
            weights are taken from there.
    """
    wanted, metrics = list[WantedWeights](), config.evaluate
    other = config.weights
    if other is not None and Store(other).address("") == Store(folder).address(""):
        other = None
    source = Weights.of(other)
    wanted += _of_codec(config.codec, source)
    if isinstance(config.restore, SpandrelCheckpoint):
        wanted.append(_Checkpoint(config.restore, source))
    if isinstance(config.restore, Ddrm):
        model = config.restore
        obtain = partial(locate_model, model, source)
        wanted.append(_ModelFiles(model.model, model.revision, pulled_model(model), obtain))
    if metrics.lpips is not None and config.reference_name is not None:
        fetch = partial(fetch_lpips, metrics.lpips, source)
        wanted.append(_PublishedWeights(lpips_file(metrics.lpips), fetch))
    for network in metrics.networks.values():
        fetch = partial(fetch_extractor, network, source)
        wanted.append(_PublishedWeights(PUBLISHED[network], fetch))
    for name in config.judges:
        for file in judge_files(name):
            fetch = partial(fetch_judge_file, name, file, source)
            wanted.append(_PublishedWeights(file, fetch))
    return list({each.names: each for each in wanted}.values())


def _of_codec(codec: CodecSpec, source: Weights) -> list[WantedWeights]:
    """Return what a codec needs: a model's folder, or the published parts of one."""
    if isinstance(codec, Pixel | PlugInCodec):
        return []
    if codec.weights is None:
        return [_PublishedWeights(part, partial(source.fetch, part)) for part in PUBLISHED_PARTS]
    revision = codec.revision if isinstance(codec, Autoencoder) else None
    obtain = partial(locate_codec, codec, source)
    return [_ModelFiles(codec.weights, revision, pulled_codec(codec), obtain)]


@dataclass(frozen=True)
class _ModelFiles:
    """The files of a model of diffusers, of a hub repository or a local folder.

    A repository's commit never changes; a local folder may.
    """

    place: str
    """The folder, or the repository."""
    revision: str | None
    """The repository's commit; None for a folder."""
    names: tuple[str, ...]
    """The files' paths in the pulled folder, which end as in their own."""
    locate: Callable[[], tuple[Path, ...]]

    @property
    def is_named_by_path(self) -> bool:
        return self.revision is None

    def obtain(self) -> tuple[Path, ...]:
        return self.locate()

    def source(self, path: Path, sha256: str) -> str:
        return str(path) if self.revision is None else f"{self.place}@{self.revision}"

    def is_current(self, name: str, sha256: str) -> bool:
        if self.revision is not None:
            return True
        within = name.split("/", 2)[2]  # after the shelf and the folder's name
        return _is_gone_or_same(Path(self.place) / within, sha256)


@dataclass(frozen=True)
class _Checkpoint:
    """The checkpoint of a restorer, a local file that may change."""

    spec: SpandrelCheckpoint
    weights: Weights
    is_named_by_path: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        return (pulled_checkpoint(self.spec),)

    def obtain(self) -> tuple[Path, ...]:
        return (locate_checkpoint(self.spec, self.weights),)

    def source(self, path: Path, sha256: str) -> str:
        return str(path)

    def is_current(self, name: str, sha256: str) -> bool:
        return _is_gone_or_same(Path(self.spec.checkpoint), sha256)


@dataclass(frozen=True)
class _PublishedWeights:
    """The weights of a metric's network; altered ones may stay until others are at hand."""

    file: PublishedFile
    fetch: Callable[[], Path]
    is_named_by_path: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return (self.file.pulled_name,)

    def obtain(self) -> tuple[Path, ...]:
        return (self.fetch(),)

    def source(self, path: Path, sha256: str) -> str:
        return self.file.address if self.file.is_published(sha256) else str(path)

    def is_current(self, name: str, sha256: str) -> bool:
        if self.file.is_published(sha256):
            return True
        here = FROM_THIS_MACHINE.find(self.file)
        return here is None or _is_gone_or_same(here, sha256)


def _is_gone_or_same(path: Path, sha256: str) -> bool:
    """Return whether there is no such file, or it has the digest."""
    return not path.is_file() or digest(path) == sha256
