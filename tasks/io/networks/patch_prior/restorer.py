"""The patch prior on its device: images restored one after the other, each by its key."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dot_kernels import SeamError
from dot_kernels.degradations import Degradation
from dot_kernels.patch_prior import PatchPriorOptions, require_patches
from dot_kernels.restorers import noise_level, restore_by_patch_prior
from dot_kernels.sampling import sides_before
from tasks.io.draws import generator_of
from tasks.io.errors import ConfigurationError, ImageRefused
from tasks.io.machine.devices import pick_device
from tasks.io.networks.patch_prior.references import References
from tasks.io.networks.patch_prior.section import PatchPrior
from tasks.io.networks.undoing import require_linear
from tasks.io.shards.sides import SideKind


@dataclass(frozen=True, eq=False)
class PatchPriorRestorer:
    """A patch prior on its device; one image alone keeps it busy, so batches go one by one."""

    device: str
    references: References
    options: PatchPriorOptions
    seed: int
    takes_batches: bool = True
    scale: int | None = None

    def require_fitting(self, degradations: Sequence[Degradation]) -> None:
        """Check that the degradations are linear, with noise at their end."""
        require_linear("patch-prior", degradations)

    @torch.inference_mode()
    def restore(
        self,
        degraded: Tensor,
        degradations: Sequence[Degradation],
        keys: Sequence[str],
        hear: Callable[[SeamError], None] = lambda _: None,
        sides: Sequence[Mapping[SideKind, bytes]] = (),
    ) -> Tensor:
        """Return restored images, which are never made in tiles; see ``LoadedRestorer``."""
        try:  # with all of them before the first is restored
            beside = zip(degraded, keys, sides or [{}] * len(keys), strict=True)
            references = [self._reference(degradations, *each) for each in beside]
        except ImageRefused as refusal:
            if len(keys) > 1:  # of which the others may be restored, one by one
                raise ValueError(str(refusal)) from refusal
            raise
        made = [
            restore_by_patch_prior(
                image.to(self.device),
                degradations,
                reference=reference.to(self.device),
                options=self.options,
                generator=generator_of("restore", self.seed, key),
            ).cpu()
            for image, reference, key in zip(degraded, references, keys, strict=True)
        ]
        return torch.stack(made)

    def _reference(
        self,
        degradations: Sequence[Degradation],
        degraded: Tensor,
        key: str,
        sides: Mapping[SideKind, bytes],
    ) -> Tensor:
        """Return the reference of a degraded image (3, h, w).

        Raises:
            ImageRefused: there is none, one of both is smaller than a patch, or only the
                reference is grey.
        """
        reference = self.references.of(key, sides)
        size = sides_before(degradations, (degraded.shape[1], degraded.shape[2]))
        try:
            image = torch.empty(3, *size, device="meta")
            require_patches(image, reference, self.options.cost.patch_size)
        except ValueError as error:
            raise ImageRefused(str(error)) from error
        noise = noise_level(degradations)  # which leaves two thirds of its variance as colour
        if _colour(reference) <= 1 / 255 and _colour(degraded) > math.hypot(4 / 255, noise):
            raise ImageRefused(
                "reference must be in colour as the image is, got a grey one; name one in colour, "
                "or make the images grey"
            )
        return reference


def _colour(image: Tensor) -> float:
    """How far channels of an image are from their mean: root mean square over pixels."""
    return float((image - image.mean(dim=0)).square().mean().sqrt())


def load_patch_prior(spec: PatchPrior, device: str) -> PatchPriorRestorer:
    """Return the restorer on its device; one reference for all is read and tried out.

    Args:
        spec: what the configuration says.
        device: cpu, cuda, cuda:1, or auto.

    Raises:
        ConfigurationError: the reference is not there, is no image, or smaller than a patch.
    """
    references = References(spec.reference)
    restorer = PatchPriorRestorer(pick_device(device), references, spec.options, spec.seed)
    if references.is_one:
        try:
            require_patches(references.only, references.only, spec.patch_size)
        except ValueError as error:
            raise ConfigurationError(f"restore.reference {spec.reference!r}: {error}") from error
    return restorer
