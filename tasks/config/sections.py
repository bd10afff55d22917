"""The sections of the configuration that decide what is computed, and from which images.

Every option stands here once, with its default, its rule and its meaning. Where the work is
done is in ``tasks.config.compute``; codecs, restorers and access to stores are described
beside what they configure, in ``tasks.io``.
"""

import math
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FiniteFloat,
    ValidationInfo,
    model_validator,
)

from dot_kernels.dials import WIDEST, LowBand
from dot_kernels.enhancement import Decoding, Interpolation
from dot_kernels.transport import DEFAULT_RIDGE
from tasks.io.artifacts.more_metrics import plug_in_column, pyiqa_column
from tasks.io.images import Form, Format, Subsampling, known_format
from tasks.io.networks.features.extractors import (
    FIRST,
    FeatureNetworks,
    Network,
    networks_by_name,
)
from tasks.io.networks.features.perceptual import LpipsNet
from tasks.io.networks.features.pyiqa_metrics import PyiqaNames
from tasks.io.networks.plug_ins.metric import MetricNames
from tasks.io.section import Name, Section
from tasks.io.workspace import Outputs


class Fit(Section):
    """How the transport operator is fitted."""

    images: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """How many restored and how many natural images are used, at most; chosen by a seeded hash
    of their keys. The paper shows that 10 can be enough."""
    pairing: Literal["auto", "paired", "unpaired"] = "auto"
    """paired: restored and natural images of the same keys. unpaired: no key on both sides, as in
    the paper; each side then has at most half of the keys that they share.
    auto: paired where all natural images, or at least ten, have a restored version."""
    ridge: Annotated[float, Field(ge=0, le=1)] = DEFAULT_RIDGE
    """Added to the variance of every direction, as a share of the mean variance."""
    shrink: Literal["auto"] | Annotated[FiniteFloat, Field(ge=0, le=1)] = "auto"
    """How far the map is taken toward doing nothing: 0 is the fitted map, 1 none. auto: as far as
    maps of halves of the images disagree, where pairing is unpaired and at most 10 restored
    images are chosen, its matrix and its means apart; else 0."""
    refit_beyond: Annotated[FiniteFloat, Field(ge=0)] | None = None
    """How far the statistics of the chosen images may move before the operator is fitted again;
    null for a new fit after every change. The distance is the sum of the squared Gelbrich
    distances by which restored and natural statistics have moved since the fit, divided by that
    between the two at the fit. 0.1 suits 1000 images: two samples of n images of one kind are
    about 20/n apart (TAESD, denoising; 5/n for upscaling by 4), and a tenth of that where a
    tenth of the images is exchanged. Unpaired, the squared change of what the operator does is
    about this share; paired, a tenth of it or less."""
    seed: int = 0
    """Seeds the hash that chooses the images; has no effect where all of them are used."""
    keep_latents: bool = False
    """Whether latents of the images stay beside their moments, up to 128 MiB a shard, so that fits
    with patches of other sizes encode nothing again. Studies set it. Where levels are moved they
    stay anyway; has no effect with ``codec: pixel`` or in lower precision than float32."""


def _naming_folders(numbers: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
    rounded = tuple(round(number, 2) + 0.0 for number in numbers)  # -0.0 + 0.0 is 0.0
    if rounded == numbers and len(set(rounded)) == len(numbers):
        return rounded
    rule = "name folders by two decimals and must differ in them"
    raise ValueError(f"{info.field_name} {rule}, got {numbers}")


_Alphas = Annotated[tuple[FiniteFloat, ...], Field(min_length=1), AfterValidator(_naming_folders)]
_Share = Annotated[FiniteFloat, Field(ge=0, le=1)]


class Enhance(Section):
    """The enhanced images that are written for every restored one."""

    name: Name | None = None
    """Of these results, so that others of the same operator lie beside them, as those of another
    configuration with another ``low_share``; null for those that bear the operator's name alone."""
    alphas: _Alphas = (0.0, 0.25, 0.5, 0.75)
    """One enhanced data set is written for each: 0 is the full transport, 1 the restored image
    unchanged. They must differ by 0.01 at least, and have two decimals at most."""
    decoding: Decoding = "residual"
    """residual adds the decoded change to the restored image, so that the codec's own error
    cancels; direct decodes the transported latents, as the paper does."""
    interpolation: Interpolation = "image"
    """What alpha mixes: decoded images (image), or latents (latent), which costs a decoding for
    every alpha and rules out ``evaluate.curve``."""
    low_share: _Share | None = None
    """How much of the change low frequencies take: 0 none, so that colours and coarse structure
    stay as they came; 1 all of it, as high ones do and as in the paper. null for 0, which measured
    best, or for 1 with ``interpolation: latent``, which has one dial."""
    low_sigma: Annotated[FiniteFloat, Field(gt=0, le=WIDEST)] = 1.5
    """Which frequencies are low: those that a Gaussian blur of this standard deviation keeps, in
    pixels; has no effect where ``low_share`` is 1."""
    format: Annotated[Format, AfterValidator(known_format)] = "webp"
    """File format of the enhanced images. webp (of 8 bits), png (up to 16), tiff and jxl (floating
    point too) are lossless; jpeg (8) and avif (up to 12) are not. keep writes each image in the
    format that it came in, plug-in:NAME in that of an installed package."""
    quality: Annotated[int, Field(ge=1, le=100)] = 95
    """Of lossy formats, 100 being the best; has no effect on lossless ones."""
    subsampling: Subsampling = "4:4:4"
    """At which resolution lossy formats keep colours: in full (4:4:4), half across (4:2:2), or
    half both ways (4:2:0); has no effect on lossless ones."""
    outputs: Outputs = "tars"
    """How enhanced images are laid down: in tars, the shards of a data set that is read as one
    stream, or as files under their keys, in the folders that these name."""
    seed: int = 0
    """Seeds, with each image's key, the noise of the operator if it is a stochastic one."""

    @property
    def form(self) -> Form:
        """How the images are written."""
        return Form(self.format, self.quality, self.subsampling)

    @property
    def low_band(self) -> LowBand | None:
        """What low frequencies do; None where they move as high ones do."""
        share = self.share_of_low_frequencies
        return None if share == 1 else LowBand(share=share, sigma=self.low_sigma)

    @property
    def share_of_low_frequencies(self) -> float:
        """``low_share``, or what null stands for."""
        return float(self.interpolation != "image") if self.low_share is None else self.low_share

    @model_validator(mode="after")
    def _two_dials_are_of_images(self) -> "Enhance":
        if self.low_share not in {None, 1} and self.interpolation != "image":
            raise ValueError(
                f"low_share must be 1 with interpolation: latent, got {self.low_share:g}; "
                "interpolation: image has two dials"
            )
        return self


class Curve(Section):
    """The alphas of the perception-distortion curve; no images are written for them."""

    start: FiniteFloat = -1.0
    """First alpha, with two decimals at most."""
    stop: FiniteFloat = 2.0
    """Last alpha, with two decimals at most; the theory covers [0, 1]."""
    step: Annotated[FiniteFloat, Field(ge=0.01)] = 0.1
    """Distance between neighbouring alphas, with two decimals at most."""
    networks: bool = False
    """Whether LPIPS and features are computed at each of these alphas too, at the cost of a pass
    of both networks for each; mean squared error, PSNR, SSIM and IndRMSE are measured anyway."""
    low_shares: Annotated[tuple[_Share, ...], AfterValidator(_naming_folders)] = ()
    """Values of ``enhance.low_share``, for each of which there is a curve more, seen by networks:
    a map of two dials. ``low_sigma`` is that of ``enhance``, whose own share has no effect here."""

    @property
    def alphas(self) -> tuple[float, ...]:
        """The alphas from ``start`` to ``stop``, rounded to two decimals."""
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


Compared = Literal["reference", "natural"]
"""A corpus that the enhanced images can be compared with."""


def _listed(value: object) -> object:
    """One corpus as a list of one."""
    return (value,) if isinstance(value, str) else value


class Evaluate(Section):
    """What is measured; mean squared error, PSNR, SSIM and LPIPS need ``corpora.reference``."""

    lpips: LpipsNet | None = "alex"
    """Network of LPIPS: alex, vgg, squeeze, or null for none. Has no effect without
    ``corpora.reference``; the report says so where the weights cannot be had."""
    niqe: bool | None = None
    """Whether NIQE, which needs no reference, is computed: about 6 ms a block of 96 × 96 pixels
    and image on a core. Null for where there is no ``corpora.reference``."""
    dists: bool = False
    """Whether DISTS is computed, which needs VGG and ``corpora.reference``."""
    clip_iqa: bool = False
    """Whether CLIP-IQA, which needs no reference, is computed: it runs CLIP's ResNet-50 on images
    in their own size."""
    pyiqa: PyiqaNames = ()
    """Metrics of single images by the package pyiqa, if you have installed it, by the names that it
    has for them, as [musiq, maniqa]. Its licence rules out commercial use."""
    plug_ins: MetricNames = ()
    """Metrics of single images that installed packages bring, by names of their entry points."""
    features: FeatureNetworks | None = "inception-v3-compat"
    """Network of FID, KID, Inception Score, precision and recall: one of torch-fidelity's,
    squeezenet (small; its distance is reported as FD-squeezenet), or null for none. Of a list of
    them the first is that one; of the others there is the Fréchet distance beside it."""
    against: (
        Annotated[tuple[Compared, ...], Field(min_length=1), BeforeValidator(_listed)] | None
    ) = None
    """Images with whose features the enhanced ones' are compared: reference, natural, or a list
    of both, whose second is in columns of its own; null for the reference where there is one,
    else natural. Has no effect where ``features`` is null."""
    sample: Annotated[int, Field(ge=100, le=50_000)] = 5000
    """Images that KID, precision and recall use, at most, chosen by a hash of their keys; has no
    effect where ``features`` is null."""
    leave_out_fitted: bool = True
    """Whether numbers leave out the images that the operator was fitted on where 100 others
    remain, of features as many as are left out too. The report says what was done."""
    controls: bool = True
    """Whether the restored image x*, the coded reference D(E(x)) and the coded restored image
    D(E(x*)) are scored too, at the cost of another pass of the codec."""
    curve: Curve | None = Curve()
    """The perception-distortion curve, or null for none. Without ``corpora.reference`` it has
    the distance to the input; it has no effect where ``enhance.interpolation`` is latent."""

    @property
    def networks(self) -> dict[str, Network]:
        """The networks of features by what plans and tables call them: the first by ``FIRST``."""
        return networks_by_name(self.features)

    @property
    def network(self) -> Network | None:
        """The first of them; None without any."""
        return self.networks.get(FIRST)

    def judges(self, *, has_reference: bool) -> tuple[str, ...]:
        """The names of metrics of single images beside LPIPS."""
        asked = {
            "niqe": not has_reference if self.niqe is None else self.niqe,
            "dists": self.dists and has_reference,
            "clip_iqa": self.clip_iqa,
        }
        named = (name for name, is_wanted in asked.items() if is_wanted)
        return (*named, *map(pyiqa_column, self.pyiqa), *map(plug_in_column, self.plug_ins))
