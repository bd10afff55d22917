"""The section of a configuration that trains a restorer by residual-conditioned transport."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, model_validator

from dot_kernels.degradations import Degradation
from dot_kernels.residual_networks import Passes
from dot_kernels.residual_transport import Penalty, Power, TransportLoss
from dot_kernels.sampling import degradable_sides, sides_before, total_downscaling
from tasks.io.networks.undoing import Undoing
from tasks.io.section import Section

_LOSS = TransportLoss()

_Count = Annotated[int, Field(ge=1)]
_Rate = Annotated[FiniteFloat, Field(gt=0)]
_Weight = Annotated[FiniteFloat, Field(ge=0)]


class Training(Section):
    """How the map from degraded to restored images is trained, and on which crops."""

    steps: _Count = 20_000
    """Steps of the training, a multiple of ``segment``. More of them go on where fewer ended."""
    segment: _Count = 500
    """Steps after which a checkpoint is written: what a kill costs at most."""
    keep_every: _Count = 10
    """Which checkpoints stay when a later one is there: every so many-th, and the last."""
    batch: _Count = 8
    """Crops of a step."""
    crop: Annotated[int, Field(ge=16)] = 128
    """Height and width of a crop of a clean image, in pixels; smaller images are left out."""
    width: _Count = 32
    """Channels of both networks at the full resolution; memory and time follow it."""
    passes: Passes = 2
    """How often the map runs: 2, the second time under the residual of the first, or 1."""
    rate: _Rate = 5e-4
    """Rate of Adam for the map."""
    potential_rate: _Rate | None = None
    """Rate of Adam for the potential; null for 0.1 of the map's."""
    map_steps: _Count = 1
    """Steps of the map for each one of the potential."""
    pairing: Literal["auto", "paired", "unpaired"] = "auto"
    """paired: each degraded crop comes with its clean one. unpaired: degraded and clean crops are
    of different images. auto: paired where ``degrade`` makes the degraded images."""
    distance: _Weight = _LOSS.distance
    """Weight of the mean squared difference between a degraded image and its restored one."""
    gamma: _Weight = _LOSS.gamma
    """Weight of the spectrum of that difference."""
    power: Power = _LOSS.power
    """Power of that spectrum: 2 for noise, 1 for what few frequencies hold, as rain or haze."""
    paired: _Weight = 100.0
    """Weight of the mean squared error to the clean image; no effect on unpaired training."""
    penalty: Penalty | None = None
    """wgan adds the gradient penalty of the authors' code, which moves the optimum; null none."""
    average: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.999
    """Decay of the averages of the map's weights, which are what restores; less in the first
    steps. 0 for none."""
    validation: Annotated[int, Field(ge=0, le=10_000)] = 32
    """Clean images that are held out of the training for its PSNR after every segment, at most a
    fifth of them."""
    seed: int = 0
    """Another seed draws other weights, other crops and other noise."""
    processes: _Count = 1
    """Processes of this machine that share a batch, each on a GPU of its own where there are as
    many; changes results by rounding only."""

    @model_validator(mode="after")
    def _segments_are_whole(self) -> "Training":
        if self.steps % self.segment:
            whole = max(self.steps // self.segment, 1) * self.segment
            raise ValueError(
                f"steps must be a multiple of segment, got {self.steps} steps in segments of "
                f"{self.segment}; write steps: {whole}, or another segment"
            )
        if self.batch % self.processes:
            raise ValueError(
                f"batch must be a multiple of processes, got {self.batch} crops for "
                f"{self.processes} processes"
            )
        self.loss(is_paired=True)  # has the other rules
        return self

    @property
    def rate_of_potential(self) -> float:
        """``potential_rate``, or what null stands for."""
        return 0.1 * self.rate if self.potential_rate is None else self.potential_rate

    def loss(self, *, is_paired: bool) -> TransportLoss:
        """What both networks are trained by, as the kernel takes it."""
        return TransportLoss(
            distance=self.distance,
            gamma=self.gamma,
            power=self.power,
            paired=self.paired if is_paired else 0.0,
            penalty=self.penalty,
        )


class ResidualTransport(Undoing):
    """A network that a run trains itself (Tang et al. 2024), on shards of its workspace."""

    kind: Literal["residual-transport"]
    train: Training = Training()

    def require_fitting(self, degradations: Sequence[Degradation], *, makes_them: bool) -> None:
        """Check that crops can be degraded, or that degraded crops have clean counterparts.

        Args:
            degradations: what the images go through, or went through.
            makes_them: whether the training degrades clean crops itself.

        Raises:
            ValueError: they cannot.
        """
        crop = self.train.crop
        wanted = degradable_sides(degradations, (crop, crop))[0]
        if wanted != crop:
            raise ValueError(
                f"restore.train.crop must be a side that degradations leave whole pixels of, got "
                f"{crop}; write {wanted}"
            )
        factor = total_downscaling(degradations)
        if not makes_them and sides_before(degradations, (1, 1)) != (factor, factor):
            raise ValueError(
                "restore by residual-transport does not bring back borders: a gaussian-blur in "
                "undoes must have an odd size, got an even one"
            )
