"""An operator with its codec, applied to a caller's images as a pipeline of diffusers is."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from dot_kernels.rounds import Between
from tasks.config.places import anchored
from tasks.config.sections import Enhance
from tasks.direct.known_codecs import codec_in, codec_named
from tasks.direct.operator_file import OperatorFile
from tasks.io.draws import generator_of
from tasks.io.errors import ConfigurationError
from tasks.io.networks.codecs import CodecSpec
from tasks.io.networks.weights import Weights
from tasks.io.store import Store
from tasks.library.arrays import array_of, array_of_pillow, pillow_of, raster_of, require_images
from tasks.library.tensors import enhanced

Array = NDArray[Any]

OneImage = TypeVar("OneImage", Array, Image.Image)

DEFAULT_ALPHA = 0.25
"""What alpha is unless it is given: a quarter of the way back from the full transport."""


@dataclass(frozen=True, slots=True, eq=False)
class Enhanced:
    """What a call of ``DeepOptimalTransport`` returns."""

    images: Any
    """A list of images of the kind that went in, or a tensor (b, 3, h, w) where a tensor did."""


@dataclass(frozen=True, eq=False)
class DeepOptimalTransport:
    """A fitted operator, with its codec on a device: ``from_pretrained``, ``to``, and a call.

    pipe = DeepOptimalTransport.from_pretrained("operators/faces/0123456789abcdef.safetensors")
    enhanced = pipe(images, alpha=0.25).images
    """

    file: OperatorFile
    """The operator as the rest of this project knows it; not part of the stable face."""
    seed: int = 0
    """Seeds the noise of a stochastic operator, with the key of each image."""

    @classmethod
    def from_pretrained(
        cls,
        operator: "str | PathLike[str]",
        codec: str | Mapping[str, Any] | None = None,
        *,
        weights: str | None = None,
        device: str = "auto",
        low_share: float = 0.0,
        low_sigma: float = 1.5,
    ) -> "DeepOptimalTransport":
        """Return the operator of a file, as ``dotpipe apply`` uses it.

        Args:
            operator: a file of ``operators/<name>`` of a workspace, or a copy of one: a path, or a
                URL such as ``s3://bucket/prefix/operators/faces/0123456789abcdef.safetensors``.
            codec: a short name as ``taesd3``, a folder of weights, or a section as configurations
                have it, ``{"kind": "plug-in", "entry": …, "files": {…}}``. By default the one that
                the file names, which it does not where weights came from a folder.
            weights: folder that ``dotpipe weights pull`` filled, looked at first.
            device: cpu, cuda, cuda:1, or auto: the first GPU, or the CPU where there is none.
            low_share: share of the change that low frequencies take: 0 keeps them as they came, 1
                is as in the paper.
            low_sigma: which frequencies are low: those that a Gaussian blur of this standard
                deviation keeps, in pixels.

        Raises:
            ConfigurationError: the file is none of an operator, the codec is another than that of
                the fit, or must be given and is not.
            WeightsMissing: the codec's weights cannot be had.
            ValueError: ``low_share`` is not in [0, 1], or ``low_sigma`` not above 0.
        """
        options = Between(low_band=Enhance(low_share=low_share, low_sigma=low_sigma).low_band)
        spec = None if codec is None else _codec_meant(codec)
        pulled = None if weights is None else anchored(weights, Path.cwd(), "weights")
        with _fetched(fspath(operator)) as file:
            return cls(
                OperatorFile.load(
                    file, spec, weights=Weights.of(pulled), device=device, options=options
                )
            )

    @property
    def device(self) -> str:
        """The device that the codec is on, as torch names it."""
        return self.file.device

    @property
    def facts(self) -> dict[str, Any]:
        """What the operator's file says of its fit: pairing, images, codec, patch size, others."""
        return dict(self.file.facts)

    @property
    def is_stochastic(self) -> bool:
        """Whether the operator adds noise: one of a source with a nearly singular covariance."""
        return self.file.operator.is_stochastic

    def to(self, device: str | torch.device) -> "DeepOptimalTransport":
        """Return the same on another device: cpu, cuda, cuda:1, or auto.

        Raises:
            ConfigurationError: there is no such device.
        """
        return replace(self, file=self.file.on(str(device)))

    def enhance(self, image: OneImage, alpha: float = DEFAULT_ALPHA, key: str = "") -> OneImage:
        """Return an image enhanced, of the kind that it came in: an array, or Pillow's.

        It is what a run makes of the image. Grey stays grey, opacity and numbers keep their type,
        and what Pillow knows beside the pixels goes along. A large image is processed in bands.

        Args:
            image: an array (h, w) or (h, w, c) with 1 to 4 channels, grey or RGB with opacity or
                without, of uint8, uint16 or float32 in [0, 1]; or an image of Pillow in the mode
                L, LA, RGB, RGBA or I;16.
            alpha: 0 is the full transport, 1 the image as it came; any number is allowed.
            key: the image's name in a run, which seeds the noise of a stochastic operator.

        Raises:
            TypeError: it has numbers of another type.
            ValueError: it has another shape, mode or range, or is smaller than a patch.
        """
        draws = [generator_of("transport", self.seed, key)] if self.is_stochastic else []
        made: OneImage = self._one(image, alpha, draws)
        return made

    def __call__(
        self,
        images: "Tensor | Array | Image.Image | Sequence[Array | Image.Image]",
        alpha: float = DEFAULT_ALPHA,
        generator: torch.Generator | None = None,
    ) -> Enhanced:
        """Return images enhanced, as ``images`` of what is returned.

        Args:
            images: one that ``enhance`` takes, or a sequence of such; or a tensor (b, 3, h, w) in
                [0, 1] on any device, which is returned to it, several images being enhanced at
                once.
            alpha: see ``enhance``.
            generator: seeds the noise of a stochastic operator; by default each image has noise by
                its place, the same in every call.

        Raises:
            TypeError: as ``enhance``.
            ValueError: as ``enhance``.
        """
        if isinstance(images, Tensor):
            draws = self._generators(len(images), generator)
            return Enhanced(enhanced(self.file, images, float(alpha), draws))
        several = [images] if isinstance(images, np.ndarray | Image.Image) else images
        require_images(several)
        draws = self._generators(len(several), generator)
        places = range(len(several))
        return Enhanced([self._one(several[i], alpha, draws[i : i + 1]) for i in places])

    def _one(
        self, image: Array | Image.Image, alpha: float, draws: Sequence[torch.Generator]
    ) -> Any:
        require_images([image])
        if isinstance(image, Image.Image):
            return pillow_of(self._array(array_of_pillow(image), alpha, draws), image.info)
        return self._array(image, alpha, draws).reshape(image.shape)

    def _array(self, image: Array, alpha: float, draws: Sequence[torch.Generator]) -> Array:
        raster = raster_of(image)
        return array_of(raster, self.file.enhance_image(raster, float(alpha), draws))

    def _generators(self, count: int, generator: torch.Generator | None) -> list[torch.Generator]:
        """Return a generator for each of so many images; none where none is used."""
        if not self.is_stochastic:
            return []
        if generator is None:
            return [generator_of("transport", self.seed, str(place)) for place in range(count)]
        where = generator.device
        seeds = torch.randint(2**63 - 1, (count,), generator=generator, device=where).tolist()
        return [torch.Generator().manual_seed(seed) for seed in seeds]


def _codec_meant(codec: str | Mapping[str, Any]) -> CodecSpec:
    return codec_named(codec) if isinstance(codec, str) else codec_in(codec)


@contextmanager
def _fetched(operator: str) -> Iterator[Path]:
    """Give the block an operator's file on this machine's disk.

    Raises:
        ConfigurationError: it is not there.
    """
    folder, _, name = anchored(operator, Path.cwd(), "operator").rpartition("/")
    try:
        with Store(folder or "/").fetched(name) as file:
            yield file
    except FileNotFoundError as error:
        raise ConfigurationError(
            "an operator must be a file of `operators/<name>` of a workspace, got "
            f"{operator!r}, which is not there"
        ) from error
