"""The section of a configuration that restores by a patch prior, and what identifies it."""

from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, model_validator

from dot_kernels.patch_levels import PatchCost, PriorMarginal
from dot_kernels.patch_prior import PatchPriorOptions
from tasks.io.errors import ConfigurationError
from tasks.io.networks.patch_prior.references import References
from tasks.io.networks.undoing import Undoing
from tasks.io.store import require_location

_COST = PatchCost()
_OPTIONS = PatchPriorOptions()

_Positive = Annotated[FiniteFloat, Field(gt=0)]
_Count = Annotated[int, Field(ge=1)]


class PatchPrior(Undoing):
    """Images whose patches are cheap to move to those of a reference (Mignon et al. 2023).

    Undoes all degradations but JPEG, noise last.
    """

    kind: Literal["patch-prior"]
    reference: str
    """Image whose patches the restored ones should have, as a path or s3://bucket/key; a relative
    path counts from the folder of the configuration file. ``{key}`` in it stands for the key of
    the image that is restored, any other name in braces for that field of the JSON beside it."""
    marginal: PriorMarginal = _COST.marginal
    """Which transport is to be cheap: semi lets parts of the reference go unused, balanced uses
    all of it alike, unbalanced lets patches of the image have no counterpart either, and wpp is
    balanced without ``eps``."""
    eps: _Positive = _COST.eps
    """Entropic regularisation, in units of the squared distance of two patches, summed over them;
    has no effect if marginal is wpp."""
    rho: _Positive = _COST.rho
    """How strongly a marginal that may give is held, in the same units; has no effect if marginal
    is balanced or wpp."""
    patch_size: _Count = _COST.patch_size
    """Height and width of a patch, in pixels."""
    stride: _Count = _COST.stride
    """Pixels between patches of the image; those of the reference are one apart."""
    levels: _Count = _OPTIONS.levels
    """Levels of the pyramid, each half as large as the one before and no smaller than a patch."""
    samples: _Count = _COST.samples
    """Patches of the reference that are drawn anew in each step, at most; of wpp, once."""
    alternations: _Count = _COST.alternations
    """Alternations of the transport in a step."""
    steps: _Count = _OPTIONS.steps
    """Steps of the descent, at most: it ends where nothing but noise is left of its progress."""
    rate: _Positive = _OPTIONS.rate
    """How far a pixel goes in a step at first, on the [0, 1] scale."""
    weight: _Positive | None = None
    """Weight of the degraded image against the prior; null for the one that leaves a residual as
    strong as the noise."""
    tolerance: _Positive = _OPTIONS.tolerance
    """Relative change of the misfit over twenty steps that counts as none."""
    seed: int = 0
    """Another seed draws other patches; they are drawn by the image's key, too."""

    def complaint(self) -> str | None:
        """Return what else ``undoes`` must say; None if it says enough."""
        return None if self.undoes else "must say what the images went through"

    @model_validator(mode="after")
    def _the_reference_may_be_opened(self) -> "PatchPrior":
        try:
            require_location(self.reference)
            References(self.reference).require_pattern()
        except ConfigurationError as error:
            raise ValueError(f"reference: {error}") from error
        return self

    @property
    def options(self) -> PatchPriorOptions:
        """How images are restored, as the kernel takes it."""
        cost = PatchCost(
            marginal=self.marginal,
            eps=self.eps,
            rho=self.rho,
            patch_size=self.patch_size,
            stride=self.stride,
            samples=self.samples,
            alternations=self.alternations,
        )
        return PatchPriorOptions(
            cost=cost,
            levels=self.levels,
            steps=self.steps,
            rate=self.rate,
            weight=self.weight,
            tolerance=self.tolerance,
        )


def identity_of_patch_prior(spec: PatchPrior) -> dict[str, Any]:
    """Return what makes two restorers of this kind the same, for fingerprints.

    Raises:
        ConfigurationError: there is no reference.
    """
    options = spec.making("reference")
    references = References(spec.reference)
    told = {} if references.is_one else {"reference": references.pattern_name}
    return options | told | {"sha256": references.digest()}
