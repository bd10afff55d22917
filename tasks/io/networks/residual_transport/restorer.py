"""A trained map on its device: its file, and what it is as a restorer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from dot_kernels import SeamError
from dot_kernels.degradations import Degradation
from dot_kernels.image_networks import AllowedSizes, ImageNetwork
from dot_kernels.residual_networks import Passes, ResidualMap
from dot_kernels.restorers import bicubic
from dot_kernels.sampling import sides_before
from tasks.io.artifacts.tensors import load_tensors, save_tensors
from tasks.io.machine.devices import pick_device
from tasks.io.networks.model_cache import cached_per_device
from tasks.io.shards.sides import SideKind
from tasks.io.store import Store

_KIND = "residual map"

_MULTIPLE = 4
"""What sides of tiles begin at, as the map halves images twice."""


class TrainedMap(BaseModel):
    """A map that was trained, as a job names it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    artifact: str
    """Its path in the workspace, without its ending."""
    digest: str
    """Of its weights."""


def save_map(weights: Mapping[str, Tensor], path: Path, *, width: int, passes: Passes) -> None:
    """Write the weights of a map to a local file; equal arguments give equal bytes."""
    save_tensors(weights, path, _KIND, width=width, passes=passes)


@dataclass(frozen=True, eq=False)
class ResidualTransportRestorer:
    """A trained map on its device, which restores images of equal size together."""

    device: str
    network: ResidualMap
    tile: int = 512
    """Side of a square with as many pixels as a tile of a larger image has, at most."""
    takes_batches: bool = True
    scale: int | None = None

    def require_fitting(self, degradations: Sequence[Degradation]) -> None:
        """Do nothing: it was trained on what the configuration says, which was checked then."""

    @torch.inference_mode()
    def restore(
        self,
        degraded: Tensor,
        degradations: Sequence[Degradation],
        keys: Sequence[str],
        hear: Callable[[SeamError], None],
        sides: Sequence[Mapping[SideKind, bytes]] = (),
    ) -> Tensor:
        """Return restored images, of small ones those enlarged first; see ``LoadedRestorer``."""
        images = enlarged(degraded, degradations).to(self.device)
        network = ImageNetwork(whole=self.network, sizes=AllowedSizes(multiple=_MULTIPLE))
        return network.tiled(images, self.tile, hear).clamp(0, 1)


def enlarged(degraded: Tensor, degradations: Sequence[Degradation]) -> Tensor:
    """Return degraded images (b, 3, h, w) as large as before; of equal size, they stay as they are.

    The map takes them so: small ones by ``bicubic``, which clips them to [0, 1].
    """
    sides = degraded.shape[2], degraded.shape[3]
    if sides_before(degradations, sides) == sides:
        return degraded
    return torch.stack([bicubic(image, degradations) for image in degraded])


def load_trained_map(
    trained: TrainedMap, store: Store, device: str, tile: int = 512
) -> ResidualTransportRestorer:
    """Return a trained map on its device; a process loads it once for each device.

    Args:
        trained: which.
        store: of the workspace.
        device: cpu, cuda, cuda:1, or auto.
        tile: see ``ResidualTransportRestorer``.

    Raises:
        ArtifactDamaged: its file does not hold what was written.
    """
    known = trained.artifact, trained.digest
    return replace(_loaded(pick_device(device), store, *known), tile=tile)


@cached_per_device(2)
def _loaded(device: str, store: Store, artifact: str, _digest: str) -> ResidualTransportRestorer:
    path = f"{artifact}.safetensors"
    with store.fetched(path) as file:
        weights, facts = load_tensors(file, _KIND, path)
    network = ResidualMap(width=facts["width"], passes=facts["passes"])
    network.load_state_dict(weights)
    return ResidualTransportRestorer(device, network.eval().requires_grad_(False).to(device))
