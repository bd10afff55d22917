"""Windows of pictures, pairs of a picture and its ground truth, and what became of them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dot_kernels import GaussianMoments, SeamError
from tasks.io.images import Form, Pixels, Raster, complaint
from tasks.io.networks.features.extractors import SeenBy
from tasks.io.shards.loader import Picture, equal_sizes
from tasks.io.workspace import Signal

NOT_FINITE = "network output is not finite: use float32, or check the codec's weights"


Marks = dict[str, float | None]
"""What networks say of an image, by the columns of the metrics: LPIPS, NIQE and their like."""


class Window(NamedTuple):
    """Pictures that are in memory together, and what belongs to them."""

    pictures: list[Picture]
    references: dict[str, Picture]
    """Ground truth by key, refused ones included."""
    written: Mapping[Signal, Mapping[str, Pixels]]
    """The images of signals that were written before, by key; empty where none are read."""


class Pair(NamedTuple):
    """A decoded picture with its usable ground truth, or with the reason why there is none."""

    picture: Picture
    reference: Picture | None
    unscored: str | None
    """Why the picture cannot be scored; None where there is a reference."""

    @property
    def raster(self) -> Raster:
        """The picture's image."""
        assert self.picture.raster is not None  # noqa: S101 - only decoded pictures are in pairs
        return self.picture.raster

    @property
    def reference_depth(self) -> str:
        """Type of the numbers of the reference's pixels; empty without a reference."""
        found = None if self.reference is None else self.reference.pixels
        return "" if found is None else found.dtype.str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What the networks made of one picture: images to write, and what was measured of them."""

    picture: Picture
    images: dict[Signal, Pixels] = field(default_factory=dict)
    """Of every signal, as they are written; empty where there is a ``reason``."""
    reference: Pixels | None = None
    """The ground truth."""
    marks: dict[Signal, Marks] = field(default_factory=dict)
    features: dict[Signal, SeenBy] = field(default_factory=dict)
    curve: dict[Signal, dict[str, float | None]] = field(default_factory=dict)
    """Metrics by column, for each point of the curve."""
    reason: str | None = None
    """Why the picture is refused; None if it is not."""
    unscored: str | None = None
    """Why there is no reference; None if there is one."""


@dataclass(slots=True, kw_only=True)
class Gathered:
    """What a pass over a shard sums up: the one value here that changes, with every batch."""

    moments: dict[Signal, tuple[GaussianMoments, ...]]
    """Of the patches of the latents that ``latents_of`` names, for every scored signal that has
    some: ``no_moments`` at first, by groups of images or of all images."""
    redone: Counter[str] = field(default_factory=Counter)
    """How many pictures were rendered a second time, by the remark that says how."""
    seams: SeamError = field(default_factory=SeamError)
    """Of tiles that were blended."""

    def hear(self, seams: SeamError) -> None:
        """Add the error at the seams of another image."""
        self.seams += seams


def without_unwritable(pictures: Sequence[Picture], form: Form) -> list[Picture]:
    """Return the pictures; those that cannot be written have a reason instead of pixels."""
    return [_checked(picture, form) for picture in pictures]


def paired_groups(
    pictures: Sequence[Picture], references: Mapping[str, Picture], missing: str, batch: int
) -> Iterator[list[Pair]]:
    """Yield decoded pictures in groups of one kind, all with references of one depth or without.

    Args:
        pictures: of one window; those without pixels are left out.
        references: ground truth by key, refused ones included.
        missing: what to say of a picture whose key has no reference.
        batch: pictures in a group, at most.
    """
    for group in equal_sizes(pictures, batch):
        pairs = [_pair(picture, references.get(picture.member.key), missing) for picture in group]
        depths = sorted({pair.reference_depth for pair in pairs}, reverse=True)
        for depth in depths:
            yield [pair for pair in pairs if pair.reference_depth == depth]


def _checked(picture: Picture, form: Form) -> Picture:
    """Return a picture; one that its format cannot hold has a reason instead of pixels."""
    reason = picture.raster is not None and complaint(picture.raster, form)
    return picture.refused(reason) if reason else picture


def _pair(picture: Picture, reference: Picture | None, missing: str) -> Pair:
    """Return a picture with its reference, which must be decoded and of the same size."""
    if reference is None:
        return Pair(picture, None, missing)
    if reference.pixels is None:
        return Pair(picture, None, f"reference refused: {reference.reason}")
    if picture.pixels is not None and reference.pixels.shape != picture.pixels.shape:
        ours, theirs = (f"{s[1]}×{s[0]}" for s in (picture.pixels.shape, reference.pixels.shape))
        return Pair(picture, None, f"reference of another size: {theirs} against {ours}")
    truth, own = reference.raster, picture.raster
    if truth is not None and own is not None and _is_hidden(truth, own):
        return Pair(picture, None, "reference is transparent where the image is not")
    return Pair(picture, reference, None)


def _is_hidden(reference: Raster, picture: Raster) -> bool:
    """Whether a reference shows nothing at a pixel of a picture that is seen."""
    if reference.alpha is None:
        return False
    hidden = reference.alpha == 0
    return bool((hidden if picture.alpha is None else hidden & (picture.alpha > 0)).any())
