"""Feature networks, whose outputs Fréchet distance and its kin compare.

Axes: b images, h and w pixels, d features, t tokens.
"""

import io
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from textwrap import shorten
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import BeforeValidator
from torch import Tensor

from tasks.io.errors import WeightsMissing
from tasks.io.networks.digests import digest
from tasks.io.networks.features.feature_networks import BUILDERS, Extractor
from tasks.io.networks.model_cache import LOADING, cached_per_device
from tasks.io.networks.published_weights import PUBLISHED
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights

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
"""Names of feature networks: those of torch-fidelity 0.4, and squeezenet, which it lacks."""

FIRST = "features"
"""What plans and tables call the first of several networks; others go by their own names."""


def _named(given: object) -> object:
    """One network as its name, several as a tuple; anything else is pydantic's to refuse."""
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list | tuple):
        return given
    known = get_args(Network)
    if not names or (strangers := [name for name in names if name not in known]):
        found = repr(strangers[0]) if names else "an empty list"
        raise ValueError(
            f"a feature network must be one of {', '.join(map(repr, known))}, got {found}"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"feature networks must differ, got {', '.join(names)}")
    return names[0] if len(names) == 1 else tuple(names)


FeatureNetworks = Annotated[Network | tuple[Network, ...], BeforeValidator(_named)]
"""One feature network, or several, the first of which has most to say."""


def networks_by_name(networks: FeatureNetworks | None) -> dict[str, Network]:
    """Return feature networks by what plans and tables call them: the first by ``FIRST``."""
    listed = (networks,) if isinstance(networks, str) else networks or ()
    return {name if place else FIRST: name for place, name in enumerate(listed)}


class Seen(NamedTuple):
    """What a feature network says of one image: features (d,), and logits (c,) if it has any."""

    features: Tensor
    logits: Tensor | None


SeenBy = dict[str, Seen]
"""What feature networks say of one image, by what plans call them; without those that the image is
too small for."""


class Names(NamedTuple):
    """The names of distances in tables and reports."""

    frechet: str
    kernel: str
    cmmd: str
    mind: str


def extractor_identity(
    network: Network, weights: Weights = FROM_THIS_MACHINE
) -> dict[str, str] | None:
    """Return the network and the digest of its weights, or None where they are not on disk."""
    path = weights.find(PUBLISHED[network])
    return None if path is None else {"network": network, "sha256": digest(path)}


def extractor_names(network: Network, weights: Weights = FROM_THIS_MACHINE) -> Names:
    """Return the names of the distances of a network's features.

    They are FID, KID and MIND only for Inception's published weights, and CMMD only for those of
    its authors' CLIP. A network's other weights make the names end with the beginning of their
    digest.
    """
    identity = extractor_identity(network, weights)
    altered = "" if identity is None else PUBLISHED[network].altered_suffix(identity["sha256"])
    if network == "inception-v3-compat" and not altered:
        return Names("FID", "KID", "CMMD", "MIND")
    plain = "inception" if network == "inception-v3-compat" else network
    ending = f"-{plain}{altered}"
    cmmd = "" if network == "clip-vit-l-14-336px" and not altered else ending
    return Names(f"FD{ending}", f"KD{ending}", f"CMMD{cmmd}", f"MIND{ending}")


def feature_folder(identity: Mapping[str, str]) -> str:
    """Return the name of the folder of features that a network with these weights makes.

    Args:
        identity: of the network, from ``extractor_identity``.
    """
    return f"{identity['network']}-{identity['sha256'][:12]}"


def fetch_extractor(network: Network, weights: Weights = FROM_THIS_MACHINE) -> Path:
    """Return the path of the network's weights, which are downloaded if they are not on disk.

    Raises:
        WeightsMissing: they are not on disk and cannot be downloaded.
    """
    smaller = "" if network == "squeezenet" else "to squeezenet (small, not FID) or "
    return weights.fetch(
        PUBLISHED[network],
        need=f"the feature network {network}",
        otherwise=f"set evaluate.features {smaller}to null",
    )


def load_extractor(
    network: Network, device: str, weights: Weights = FROM_THIS_MACHINE
) -> Extractor:
    """Return the network in float32, without TF32; it is loaded once per process and device.

    Raises:
        WeightsMissing: its weights cannot be had, or are not those of this network.
    """
    path = fetch_extractor(network, weights)
    with LOADING:
        return _load_extractor(device, network, path, digest(path))


@cached_per_device(4)
def _load_extractor(device: str, network: Network, path: Path, _digest: str) -> Extractor:
    """Build the network; its digest is an argument so that a changed file is read."""
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # torch-fidelity's use of TorchScript, as it is loaded
            extractor = BUILDERS[network.partition("-")[0]](network, path, device)
    except (RuntimeError, KeyError, ValueError, IndexError) as error:
        said = shorten(str(error), 300)  # a line for every tensor, where they are another network's
        raise WeightsMissing(f"{path} must hold the weights of {network}: {said}") from error
    return extractor


def see(extractor: Extractor, images: Tensor) -> list[Seen] | None:
    """Return what the network says of each image, or None where all are too small for it.

    Args:
        extractor: the network.
        images: uint8 (b, 3, h, w).
    """
    if min(images.shape[2:]) < extractor.shortest_side:
        return None
    features, logits = extractor(images)
    return [
        Seen(row, None if logits is None else logits[index]) for index, row in enumerate(features)
    ]
