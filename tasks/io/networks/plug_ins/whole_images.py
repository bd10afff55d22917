"""Judges that are given one whole image after the other, as those of other packages are.

Axes: b images, h and w height and width of an image, y and x of a part of it.
"""

from abc import ABC, abstractmethod

from torch import Tensor

from dot_kernels.local_activations import Reader
from tasks.io.artifacts.more_metrics import OfPlugIn, OfPyiqa

LARGEST = 1 << 24
"""Pixels of the largest image that is judged, as it goes in one piece."""


class OfWholeImages(ABC):
    """A metric that another package computes of one image, and of its reference if it needs one."""

    __slots__ = ()

    described: OfPyiqa | OfPlugIn
    """What is known of the metric."""

    @property
    def column(self) -> str:
        """The metric's column in the tables."""
        return self.described.column

    @abstractmethod
    def of(self, *images: Tensor) -> float | None:
        """Return the metric of one image (1, 3, h, w), and its reference if it needs one."""

    def __call__(
        self, images: Tensor, references: Tensor | None, opacity: Tensor | None
    ) -> list[float | None]:
        """Return the metric of each image (b, 3, h, w) in [0, 1]; None where it has none.

        Each is given alone, so that no number depends on others of the batch.

        Args:
            images: as readers see them.
            references: ground truth of the same shape; without any no image has a metric that
                compares.
            opacity: not looked at.
        """
        if not self.described.needs_reference:
            return [self.of(image[None]) for image in images]
        if references is None:
            return [None] * len(images)
        pairs = zip(images, references, strict=True)
        return [self.of(image[None], reference[None]) for image, reference in pairs]

    def in_tiles(
        self, image: Reader, reference: Reader | None, size: tuple[int, int], opacity: Tensor | None
    ) -> float | None:
        """Return the metric of a large image; None above 16 megapixels, as it goes in one piece.

        Args:
            image: gives rows and columns of it, (1, 3, y, x) in [0, 1].
            reference: gives those of the ground truth; None without any.
            size: height and width.
            opacity: not looked at.
        """
        if size[0] * size[1] > LARGEST or (self.described.needs_reference and reference is None):
            return None
        whole = range(size[0]), range(size[1])
        if reference is None or not self.described.needs_reference:
            return self.of(image(*whole))
        return self.of(image(*whole), reference(*whole))
