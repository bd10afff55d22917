"""Two sets of images compared without a transport: image by image, and as two distributions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from dot_kernels import GaussianMoments, gelbrich_distance
from dot_kernels.metrics import (
    distortion_of_written,
    peak_signal_to_noise_ratio,
)
from tasks.io.errors import CorpusError, ImageRefused, WeightsMissing
from tasks.io.images import Limits, Pixels
from tasks.io.images.decoder_pool import decode
from tasks.io.images.pixels import as_levels, to_tensor
from tasks.io.machine.devices import pick_device
from tasks.io.networks.features.extractors import Network, extractor_names, load_extractor, see
from tasks.io.networks.features.feature_networks import Extractor
from tasks.io.networks.features.judges import (
    Judge,
    facts_on_judges,
    judge_facts,
    load_judge,
)
from tasks.io.networks.features.perceptual import (
    LPIPS_SHORTEST_SIDE,
    LpipsNet,
    Perceptual,
    load_lpips,
    lpips_name,
)
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights
from tasks.io.shards.keys import stripped
from tasks.io.store import Store
from tasks.shard.image_files import SourceFile, list_images
from tasks.shard.suffixes import ending_between

T = TypeVar("T")

_AT_ONCE = 128
"""Features that are held before they become moments."""

_ABSENT = ("no image of this key in A", "no image of this key in B")
"""Why an image that only the second set has, or only the first, has no metrics."""


class Score(NamedTuple):
    """The metrics of one image against its counterpart; None for one that it has not."""

    key: str
    width: int | None = None
    height: int | None = None
    metrics: Mapping[str, float | None] = MappingProxyType({})
    """By their columns in the registry; empty where it has none. PSNR is in dB, infinite where the
    two are equal."""
    reason: str | None = None
    """Why it has no metrics: refused, of another size, or without a counterpart."""


class Scorer:
    """Scores images against their counterparts, by networks that are loaded once.

    Args:
        lpips: network of LPIPS; None for none.
        features: network whose features the two sets are compared by; None for none.
        limits: larger images are refused.
        judges: names of further metrics of single images, of the first folder's.
        weights: where the networks' weights are looked for.
        device: cpu, cuda, cuda:1, or auto.
    """

    def __init__(
        self,
        lpips: LpipsNet | None,
        features: Network | None,
        limits: Limits,
        *,
        judges: Sequence[str] = (),
        weights: Weights = FROM_THIS_MACHINE,
        device: str = "auto",
    ) -> None:
        self.missing: list[str] = []
        """Sentences on networks whose weights cannot be had; their metrics are left out."""
        self._device, self._limits = pick_device(device), limits
        self._lpips: Perceptual | None = None
        self._extractor: Extractor | None = None
        self._judges: list[Judge] = []
        self.names = {"lpips_name": "LPIPS", "frechet_name": "FD"}
        """What tables call the metrics, by the networks that compute them."""
        if lpips is not None:
            self._lpips = self._had(partial(load_lpips, lpips, self._device, weights))
            self.names["lpips_name"] = lpips_name(lpips, weights)
        if features is not None:
            self._extractor = self._had(partial(load_extractor, features, self._device, weights))
            self.names["frechet_name"] = extractor_names(features, weights).frechet
        for name in judges:
            judge = self._had(partial(load_judge, name, self._device, weights))
            self._judges += [] if judge is None else [judge]
            self.names |= judge_facts(name, weights)
        self.names |= facts_on_judges(self._judges)
        self._sets = _Features(), _Features()

    def scores(self, ours: str, theirs: str, strip: str | None = None) -> Iterator[Score]:
        """Yield the score of every image of two folders, in the order of keys.

        Args:
            ours: folder or URL of the images.
            theirs: of their counterparts, which have the same keys.
            strip: end of names, or a pattern of one, that keys are without where a name has it.

        Raises:
            CorpusError: a folder is not there.
        """
        key_of = None if strip is None else partial(stripped, end=strip)
        stores = Store(ours), Store(theirs)
        for key, first, second in _paired(*(list_images(store, None, key_of) for store in stores)):
            pixels = [
                absent if file is None else self._pixels(store, file, features)
                for store, file, features, absent in zip(
                    stores, (first, second), self._sets, _ABSENT, strict=True
                )
            ]
            yield self._score(key, *pixels)

    def frechet(self) -> float | None:
        """Return the Fréchet distance of all images that were seen; None without features."""
        ours, theirs = (features.moments() for features in self._sets)
        if ours is None or theirs is None or min(ours.count, theirs.count) < 2:
            return None
        return float(gelbrich_distance(ours, theirs))

    def _had(self, load: Callable[[], T]) -> T | None:
        try:
            return load()
        except WeightsMissing as error:
            self.missing.append(str(error))
            return None

    def _pixels(self, store: Store, file: SourceFile, features: "_Features") -> Pixels | str:
        """Return the pixels of an image, or why there are none; its features are taken."""
        try:
            if file.refusal:
                raise ImageRefused(file.refusal)
            pixels = decode(store.read(file.path), self._limits).pixels
        except ImageRefused as refusal:
            return str(refusal)
        if self._extractor is not None:
            seen = see(self._extractor, (to_tensor([pixels], self._device) * 255).round().byte())
            for one in seen or ():
                features.add(one.features)
        return pixels

    def _score(self, key: str, ours: Pixels | str, theirs: Pixels | str) -> Score:
        if isinstance(ours, str) or isinstance(theirs, str):
            reasons = [each for each in (ours, theirs) if isinstance(each, str)]
            return Score(
                key, reason=next((why for why in reasons if why not in _ABSENT), reasons[0])
            )
        height, width, _ = ours.shape
        if ours.shape != theirs.shape:
            size = f"{theirs.shape[1]}×{theirs.shape[0]}"
            return Score(key, width, height, reason=f"of another size: {width}×{height}, {size}")
        mse, ssim = distortion_of_written(as_levels(ours), as_levels(theirs))
        found = {"psnr": peak_signal_to_noise_ratio(mse), "ssim": ssim}
        return Score(key, width, height, found | self._seen(ours, theirs))

    @torch.inference_mode()
    def _seen(self, ours: Pixels, theirs: Pixels) -> dict[str, float | None]:
        """Return what networks and judges say of an image, by column."""
        found = dict[str, float | None]()
        if self._lpips is None and not self._judges:
            return found
        first, second = (to_tensor([each], self._device) for each in (ours, theirs))
        if self._lpips is not None and min(ours.shape[:2]) >= LPIPS_SHORTEST_SIDE:
            found["lpips"] = float(self._lpips(second)(first)[0])
        for judge in self._judges:
            (found[judge.column],) = judge(first, second, None)
        return found


@dataclass
class _Features:
    """The features of one set, which become moments a few at a time."""

    held: list[Tensor] = field(default_factory=list)
    known: GaussianMoments | None = None

    def add(self, features: Tensor) -> None:
        self.held.append(features.detach().cpu())
        if len(self.held) == _AT_ONCE:
            self.moments()

    def moments(self) -> GaussianMoments | None:
        if self.held:
            fresh = GaussianMoments.of(torch.stack(self.held))
            self.known = fresh if self.known is None else self.known + fresh
            self.held = []
        return self.known


def require_pairs(scores: list[Score], ours: str, theirs: str) -> None:
    """Check that something was compared.

    Raises:
        CorpusError: no image has a counterpart of its size.
    """
    if not any(score.metrics for score in scores):
        first = scores[0] if scores else Score("", reason="there is no image")
        alone = [[each.key for each in scores if each.reason == absent] for absent in _ABSENT]
        ending = ending_between(alone[1], alone[0])
        remedy = f". Without {ending.text!r} they agree: --strip {ending.text}" if ending else ""
        raise CorpusError(
            f"{ours!r} and {theirs!r} must share keys (paths without extension), got no two images "
            f"to compare; the first is {first.key!r}: {first.reason}{remedy}"
        )


def _paired(
    ours: Iterator[SourceFile], theirs: Iterator[SourceFile]
) -> Iterator[tuple[str, SourceFile | None, SourceFile | None]]:
    """Yield the files of two listings by key, in order; None where one has no such key.

    Files that are refused come alone, when they are met: the names of some are in no order.
    """
    first, second = next(ours, None), next(theirs, None)
    while first is not None or second is not None:
        files = [file for file in (first, second) if file is not None]
        refused = [file for file in files if file.refusal][:1]
        key = min(file.key for file in refused or files)
        met = [file for file in refused or files if file.key == key]
        pair = [file if any(file is each for each in met) else None for file in (first, second)]
        yield key, pair[0], pair[1]
        first = next(ours, None) if pair[0] is not None else first
        second = next(theirs, None) if pair[1] is not None else second
