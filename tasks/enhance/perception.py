"""Metrics of a batch: LPIPS and features by networks, distortions along the curve.

Axes: b images, h and w their height and width.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor

from dot_kernels import Transported
from dot_kernels.metrics import (
    IN_EIGHT_BITS,
    Written,
    mean_squared_error_along,
    peak_signal_to_noise_ratio,
    root_in_levels,
    squared_change_along,
    structural_similarity_along,
)
from tasks.enhance.pairs import Marks
from tasks.io.images.pixels import to_bytes
from tasks.io.ledger import digest_of
from tasks.io.networks.digests import require_identity
from tasks.io.networks.features.extractors import (
    Network,
    SeenBy,
    extractor_identity,
    load_extractor,
    see,
)
from tasks.io.networks.features.feature_networks import Extractor
from tasks.io.networks.features.judges import Judge, judge_identity, load_judge
from tasks.io.networks.features.perceptual import (
    LPIPS_SHORTEST_SIDE,
    LpipsNet,
    Perceptual,
    load_lpips,
    lpips_identity,
)
from tasks.io.networks.weights import Weights
from tasks.io.workspace import CONTROLS, Signal
from tasks.jobs.memory import shared


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The networks of the metrics, without those that are not wanted or have no weights."""

    lpips: Perceptual | None = None
    extractors: Mapping[str, Extractor] = field(default_factory=dict)
    """Feature networks, by what the plan calls them."""
    judges: Sequence[Judge] = ()
    identities: str = ""
    """What tells their weights from others, which another job may have for the same columns."""

    @property
    def names(self) -> str:
        """What tells these networks from others, of the same job or of another."""
        lpips, judges = self.lpips is not None, [each.column for each in self.judges]
        return repr((lpips, sorted(self.extractors), judges, self.identities))

    def against(self, references: Tensor | None) -> Callable[[Tensor], Tensor] | None:
        """Return a function that gives the LPIPS (b,) of images against these references.

        Args:
            references: (b, 3, h, w) in [0, 1]; None without any.

        Returns:
            None without a network or references, or where they are too small for the network.
        """
        if self.lpips is None or references is None:
            return None
        if min(references.shape[2:]) < LPIPS_SHORTEST_SIDE:
            return None
        return self.lpips(references)

    def features(self, images: Tensor) -> list[SeenBy]:
        """Return the features of each image, rounded to 8 bits as it will be written.

        Args:
            images: (b, 3, h, w) in [0, 1].
        """
        if not self.extractors:
            return [{} for _ in images]
        levels = to_bytes(images)
        found = {name: see(extractor, levels) for name, extractor in self.extractors.items()}
        return [
            {name: seen[index] for name, seen in found.items() if seen is not None}
            for index in range(len(images))
        ]


def load_networks(
    lpips: LpipsNet | None,
    networks: Mapping[str, Network],
    judges: Iterable[str],
    identities: Mapping[str, dict[str, str] | None],
    weights: Weights,
    device: str,
) -> Networks:
    """Return networks of the metrics on a device.

    Args:
        lpips: network of LPIPS; None for none.
        networks: whose features are wanted, by what the plan calls them.
        judges: names of judges.
        identities: by ``lpips`` and the names of networks and judges, those that the plan names.
        weights: where they are looked for.
        device: that they are put on.

    Raises:
        WeightsMissing: weights cannot be had, or are not those of the plan.
    """
    metric = None if lpips is None else load_lpips(lpips, device, weights)
    if lpips is not None:
        require_identity(lpips_identity(lpips, weights), identities["lpips"])
    extractors = dict[str, Extractor]()
    for name, network in networks.items():
        extractors[name] = load_extractor(network, device, weights)
        require_identity(extractor_identity(network, weights), identities[name])
    loaded = []
    for name in judges:
        loaded.append(load_judge(name, device, weights))
        require_identity(judge_identity(name, weights), identities[name])
    told = digest_of({"lpips": lpips, "known": dict(identities)})
    return Networks(lpips=metric, extractors=extractors, judges=tuple(loaded), identities=told)


def perceive(
    networks: Networks,
    images: Iterable[tuple[Signal, Tensor]],
    references: Tensor | None,
    opacity: Tensor | None,
) -> tuple[dict[Signal, list[Marks]], dict[Signal, list[SeenBy]]]:
    """Return what networks say of each image, and its features, by signal.

    Args:
        networks: of the metrics.
        images: of each signal, (b, 3, h, w) in [0, 1] as readers of the written ones see them;
            they are taken one after the other.
        references: (b, 3, h, w) in [0, 1]; None without any.
        opacity: of the pictures (b, h, w); None where they are opaque.
    """
    marks, features = dict[Signal, list[Marks]](), dict[Signal, list[SeenBy]]()
    compare = networks.against(references)

    def perceived(shown: Tensor) -> tuple[list[Marks], list[SeenBy]]:
        columns = {} if compare is None else {"lpips": compare(shown).tolist()}
        columns |= {each.column: each(shown, references, opacity) for each in networks.judges}
        rows = [{name: values[i] for name, values in columns.items()} for i in range(len(shown))]
        return rows, networks.features(shown)

    for signal, shown in images:
        if signal in CONTROLS:  # which are the same for every operator
            seen = partial(perceived, shown)
            marks[signal], features[signal] = shared(
                networks.names, (shown, references, opacity), seen
            )
        else:
            marks[signal], features[signal] = perceived(shown)
    return marks, features


def distortions_along(
    transported: Transported,
    references: Tensor | None,
    signals: Sequence[Signal],
    written: Written = IN_EIGHT_BITS,
) -> list[dict[Signal, dict[str, float | None]]]:
    """Return for each image its metrics at every point of the curve, as it would be written.

    Args:
        transported: the batch; with latent interpolation no image has such metrics.
        references: ground truth (b, 3, h, w), without which there are those that need none.
        signals: points of the curve.
        written: to which levels images are rounded, and how much their pixels count.

    Returns:
        Metrics by column for each point: ``indrmse`` in levels of 8 bits, and with references
        ``mse``, ``psnr`` in dB, and ``ssim``, which is None for images that are smaller than its
        window.
    """
    direction = transported.direction()
    if direction is None or not signals:
        return [{} for _ in transported.images]
    points = [1 - signal.alpha for signal in signals if signal.alpha is not None]
    changes = squared_change_along(transported.images, direction, points, written).T.tolist()
    found: list[list[dict[str, float | None]]] = [
        [{"indrmse": root_in_levels(change)} for change in image] for image in changes
    ]
    if references is not None:
        line = transported.images, direction, references
        errors = mean_squared_error_along(*line, points, written).T.tolist()
        scores = structural_similarity_along(*line, points, written)
        similar = [[None] * len(points)] * len(errors) if scores is None else scores.T.tolist()
        for metrics, image_errors, image_scores in zip(found, errors, similar, strict=True):
            for each, mse, ssim in zip(metrics, image_errors, image_scores, strict=True):
                each |= {"mse": mse, "psnr": peak_signal_to_noise_ratio(mse)}
                each |= {"ssim": _defined(ssim)}
    return [dict(zip(signals, metrics, strict=True)) for metrics in found]


def _defined(similarity: float | None) -> float | None:
    """Return SSIM, or None where no window counts."""
    return None if similarity is None or math.isnan(similarity) else similarity
