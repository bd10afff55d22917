"""The sections of the configuration: every option once, with its rules and its default."""

import math
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    FiniteFloat,
    field_validator,
    model_validator,
)

from dot_kernels.enhancement import Decoding, Interpolation
from dot_kernels.patches import Fold
from dot_kernels.transport import DEFAULT_RIDGE
from tasks.io.errors import ConfigurationError
from tasks.io.images import Format, Limits
from tasks.io.networks.extractors import Network
from tasks.io.networks.perceptual import LpipsNet
from tasks.io.section import Section
from tasks.io.store import FROM_ENVIRONMENT, Access, require_location


def _location(path: str) -> str:
    try:
        return require_location(path)
    except ConfigurationError as error:
        raise ValueError(str(error)) from error


Location = Annotated[str, AfterValidator(_location)]
"""A folder, or a URL of a scheme that may be opened."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Corpus(Section):
    """A folder of images, nested as it likes, or WebDataset tars.

    Keys are paths without extension, or the tars' own.
    """

    path: Location
    """Folder or s3://bucket/prefix, or tars as in `…/{000000..000123}.tar`; a relative one
    counts from the configuration file. A tar becomes a shard."""
    access: Access = FROM_ENVIRONMENT
    """Credentials of this corpus, by name, where they are not the environment's."""
    name: Name | None = None
    """Name of the data set in the workspace; the corpus's role by default."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Use only the first so many images, in the order of their keys; not for tars, whose range
    in braces says how many."""
    resize: Annotated[int, Field(ge=8)] | None = None
    """Bring the shorter side to this many pixels first (Lanczos)."""
    crop: Annotated[int, Field(ge=8)] | None = None
    """Then keep the central square of this many pixels; a smaller image is refused."""

    @model_validator(mode="after")
    def _limit_counts_files(self) -> "Corpus":
        if self.limit is not None and self.is_tars:
            raise ValueError("limit counts image files, got tars; give a shorter range in braces")
        return self

    @property
    def is_tars(self) -> bool:
        """Whether the path names tars rather than a folder."""
        return self.path.endswith(".tar")


class Corpora(Section):
    """Which images are what; keys tie the corpora together."""

    restored: Corpus | None = None
    """What is to be enhanced; left out where ``degrade`` and ``restore`` make it."""
    natural: Corpus | None = None
    """What images should look like; the reference by default."""
    reference: Corpus | None = None
    """Ground truth of the restored images, for metrics."""


class Patches(Section):
    """Which latent patches are transported together."""

    size: Annotated[int, Field(ge=1, le=15)] = 3
    """Side in latent pixels; the paper uses 3 for Stable Diffusion's codec."""
    fold: Fold = "uniform"
    """Weights of overlapping answers: uniform, or gaussian (centre counts more)."""


class Fit(Section):
    """How the transport operator is fitted."""

    images: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """At most so many images of each side, chosen by a seeded hash of their keys; the
    paper shows that 10 can do."""
    pairing: Literal["auto", "paired", "unpaired"] = "auto"
    """paired: both sides from the same keys. auto: paired where all natural keys, or at
    least ten, have a restored version."""
    ridge: Annotated[float, Field(ge=0, le=1)] = DEFAULT_RIDGE
    """Share of the mean variance added to every direction."""
    refit_beyond: Annotated[FiniteFloat, Field(ge=0)] | None = None
    """Keep the operator until the statistics of the chosen images have moved by more than this
    since it was fitted: the squared Gelbrich distances that both sides have moved, added up,
    over that between its own two sides. By default (null) every change means a refit; 0.1 suits
    1000 images. Two samples of n images of one kind are about 20/n apart (TAESD, denoising;
    5/n for upscaling by 4), a tenth of that with a tenth of the images exchanged. Unpaired, what
    the operator does changes by about this share, in squares; paired, by a tenth of it or less."""
    seed: int = 0
    """Chooses the images."""


class Enhance(Section):
    """What is made of every restored image."""

    alphas: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)] = (0.0, 0.25, 0.5, 0.75)
    """One data set for each; 0 is the full transport, 1 the image as it came."""
    decoding: Decoding = "residual"
    """residual keeps the codec's error out; direct is the paper's."""
    interpolation: Interpolation = "image"
    """Where alpha acts; latent decodes once per alpha."""
    format: Format = "webp"
    """webp and png are lossless, jpeg has quality 95."""
    seed: int = 0
    """Noise of a stochastic operator, together with each image's key; else no effect."""

    @field_validator("alphas")
    @classmethod
    def _alphas_name_folders(cls, alphas: tuple[float, ...]) -> tuple[float, ...]:
        rounded = tuple(round(alpha, 2) + 0.0 for alpha in alphas)  # -0.0 + 0.0 is 0.0
        if rounded != alphas or len(set(rounded)) < len(alphas):
            raise ValueError(
                f"alphas name folders by two decimals and must differ in them, got {alphas}"
            )
        return rounded


class Curve(Section):
    """The alphas of the perception-distortion curve; no images are written for them."""

    start: FiniteFloat = -1.0
    """First alpha."""
    stop: FiniteFloat = 2.0
    """Last alpha; [0, 1] is the range of the theory."""
    step: Annotated[FiniteFloat, Field(ge=0.01)] = 0.1
    """From one alpha to the next."""
    networks: bool = False
    """Also LPIPS and features at each of these alphas, which costs one pass of both networks
    for each. Mean squared error and SSIM follow in closed form."""

    @property
    def alphas(self) -> tuple[float, ...]:
        """The grid, on two decimals."""
        steps = math.floor((self.stop - self.start) / self.step + 1e-6)
        return tuple(round(self.start + i * self.step, 2) + 0.0 for i in range(steps + 1))

    @model_validator(mode="after")
    def _the_grid_is_one(self) -> "Curve":
        numbers = (self.start, self.stop, self.step)
        short = 0 <= self.stop - self.start <= 1000 * self.step * (1 + 1e-9)
        if not short or any(abs(number - round(number, 2)) > 1e-9 for number in numbers):
            raise ValueError(
                "curve must go up from start to stop in at most 1000 steps, all of them with two "
                f"decimals at most, got {self.start:g} to {self.stop:g} by {self.step:g}"
            )
        return self


class Evaluate(Section):
    """What is measured; distortions and LPIPS need ``reference``."""

    lpips: LpipsNet | None = "alex"
    """Network of LPIPS: alex, vgg, squeeze, or null for none; where its weights cannot be had,
    the report shows the gap."""
    features: Network | None = "inception-v3-compat"
    """Network of FID, KID, Inception Score, precision and recall: one of torch-fidelity's,
    squeezenet (small, reported as FD-squeezenet), or null for none."""
    against: Literal["reference", "natural"] | None = None
    """Whose features they are compared with; the reference's where there is one."""
    sample: Annotated[int, Field(ge=100, le=50_000)] = 5000
    """KID, precision and recall use the features of at most so many images, chosen by a hash of
    their keys."""
    controls: bool = True
    """Also score x*, D(E(x)) and D(E(x*)); costs another pass of the codec."""
    curve: Curve | None = Curve()
    """The perception-distortion curve, or null for none; has no effect without ``reference``, or
    where ``interpolation`` is latent, which needs a decode for each alpha."""


class Shards(Section):
    """How corpora are cut, and what is refused."""

    images: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Images in a new shard; one task does one shard, so make it minutes of work. Images that
    are in a shard stay there; tars become one shard each."""
    max_pixels: Annotated[int, Field(ge=64, le=178_956_970)] = 1 << 24
    """Refuse images with more pixels; Pillow opens none with more than the highest value.
    Enhancing one on the CPU takes 0.4 kB a pixel, with a tiny auto-encoder 0.9 kB."""
    max_bytes: Annotated[int, Field(ge=64)] = 1 << 28
    """Refuse files with more bytes."""
    max_bad_fraction: Annotated[float, Field(ge=0, le=1)] = 0.05
    """The run fails when a larger share of a corpus is refused."""

    def limits(self) -> Limits:
        """What one image may ask of this machine."""
        return Limits(max_pixels=self.max_pixels, max_bytes=self.max_bytes)
