"""Metrics with networks, for a few images in memory: LPIPS, and features for Fréchet distances."""

import torch
from torch import Tensor

from tasks.config import Config
from tasks.io.errors import WeightsMissing
from tasks.io.images import Pixels
from tasks.io.images.pixels import to_tensor
from tasks.io.machine.devices import pick_device
from tasks.io.networks.features.extractors import extractor_names, load_extractor, see
from tasks.io.networks.features.feature_networks import Extractor
from tasks.io.networks.features.perceptual import (
    LPIPS_SHORTEST_SIDE,
    Perceptual,
    load_lpips,
    lpips_name,
)
from tasks.io.networks.weights import Weights


class Judges:
    """The networks of metrics that a configuration names, as far as they can be had."""

    def __init__(self, config: Config) -> None:
        self.missing: list[str] = []
        """Sentences on networks whose weights cannot be had; their metrics are left out."""
        self.lpips_name, self.frechet_name = "LPIPS", "FD"
        self._device, weights = pick_device(config.compute.device), Weights.of(config.weights)
        self._lpips: Perceptual | None = None
        self._extractor: Extractor | None = None
        net, network = config.evaluate.lpips, config.evaluate.network
        try:
            if net is not None and config.reference_name is not None:
                self._lpips = load_lpips(net, self._device, weights)
                self.lpips_name = lpips_name(net, weights)
        except WeightsMissing as error:
            self.missing.append(str(error))
        try:
            if network is not None:
                self._extractor = load_extractor(network, self._device, weights)
                self.frechet_name = extractor_names(network, weights).frechet
        except WeightsMissing as error:
            self.missing.append(str(error))

    def lpips(self, ours: Pixels, theirs: Pixels) -> list[float]:
        """Return the LPIPS of two 8-bit images (h, w, 3), alone in a list; empty without."""
        if self._lpips is None or min(ours.shape[:2]) < LPIPS_SHORTEST_SIDE:
            return []
        with torch.inference_mode():
            first, second = (to_tensor([each], self._device) for each in (ours, theirs))
            return [float(self._lpips(second)(first)[0])]

    def features(self, pixels: Pixels) -> list[Tensor]:
        """Return the features (d,) of an image (h, w, 3), alone in a list; empty without."""
        if self._extractor is None:
            return []
        levels = (to_tensor([pixels], self._device) * 255).round().byte()
        with torch.inference_mode():
            return [one.features.detach().cpu() for one in see(self._extractor, levels) or ()]
