"""Feature networks, whose outputs Fréchet distance and its kin compare.

Axes: b images, h and w pixels, d features, t tokens.
"""

import io
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from textwrap import shorten
from typing import Literal, NamedTuple

from torch import Tensor

from tasks.io.errors import WeightsMissing
from tasks.io.networks.digests import digest
from tasks.io.networks.feature_networks import BUILDERS, Extractor
from tasks.io.networks.model_cache import LOADING, kept
from tasks.io.networks.weights import FILES, fetch, find

Network = Literal[
    "inception-v3-compat",
    "clip-rn50",
    "clip-rn101",
    "clip-rn50x4",
    "clip-rn50x16",
    "clip-rn50x64",
    "clip-vit-b-32",
    "clip-vit-b-16",
    "clip-vit-l-14",
    "clip-vit-l-14-336px",
    "dinov2-vit-s-14",
    "dinov2-vit-b-14",
    "dinov2-vit-l-14",
    "dinov2-vit-g-14",
    "squeezenet",
]
"""By the names of torch-fidelity 0.4, except for squeezenet, which is ours."""


class Seen(NamedTuple):
    """One image as the feature network sees it: features (d,), and logits (c,) if it has any."""

    features: Tensor
    logits: Tensor | None


class Names(NamedTuple):
    """How tables call the two distances."""

    frechet: str
    kernel: str


def extractor_identity(network: Network, folder: str | None = None) -> dict[str, str] | None:
    """The network and the digest of its weights, or None where they are not on disk."""
    path = find(FILES[network], folder)
    return None if path is None else {"network": network, "sha256": digest(path)}


def extractor_names(network: Network, folder: str | None = None) -> Names:
    """How tables call the Fréchet and the kernel distance.

    FID and KID are those of Inception's published weights and of no others; weights other
    than the published ones are named.
    """
    identity = extractor_identity(network, folder)
    altered = "" if identity is None else FILES[network].altered(identity["sha256"])
    if network != "inception-v3-compat":
        return Names(f"FD-{network}{altered}", f"KD-{network}{altered}")
    if altered:
        return Names(f"FD-inception{altered}", f"KD-inception{altered}")
    return Names("FID", "KID")


def feature_folder(identity: Mapping[str, str]) -> str:
    """A network and its weights as the name of a folder."""
    return f"{identity['network']}-{identity['sha256'][:12]}"


def fetch_extractor(network: Network, folder: str | None = None) -> Path:
    """See that the weights of the network are on disk; return where.

    Raises:
        WeightsMissing: they are not, and cannot be fetched.
    """
    smaller = "" if network == "squeezenet" else "to squeezenet (small, not FID) or "
    return fetch(
        FILES[network],
        folder,
        need=f"the feature network {network}",
        otherwise=f"set evaluate.features {smaller}to null",
    )


def load_extractor(network: Network, device: str, folder: str | None = None) -> Extractor:
    """The network in float32, without TF32; loaded once per process and device.

    Raises:
        WeightsMissing: its weights cannot be had, or are not those of this network.
    """
    path = fetch_extractor(network, folder)
    with LOADING:
        return _load_extractor(device, network, path, digest(path))


@kept(2)
def _load_extractor(device: str, network: Network, path: Path, _digest: str) -> Extractor:
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # torch-fidelity's use of TorchScript, as it is loaded
            extractor = BUILDERS[network.partition("-")[0]](network, path, device)
    except (RuntimeError, KeyError, ValueError, IndexError) as error:
        said = shorten(str(error), 300)  # a line for every tensor, where they are another network's
        raise WeightsMissing(f"{path} must hold the weights of {network}: {said}") from error
    return extractor


def see(extractor: Extractor, images: Tensor) -> list[Seen] | None:
    """Features of each image, uint8 (b, 3, h, w); None where they are too small for them."""
    if min(images.shape[2:]) < extractor.shortest_side:
        return None
    features, logits = extractor(images)
    return [
        Seen(row, None if logits is None else logits[index]) for index, row in enumerate(features)
    ]
