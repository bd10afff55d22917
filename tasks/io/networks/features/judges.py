"""Judges: metrics of single images beside LPIPS, each by its name, with what it is loaded from."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from torch import Tensor

from dot_kernels.local_activations import Reader
from tasks.io.errors import ConfigurationError
from tasks.io.networks.digests import digest
from tasks.io.networks.features.natural_quality import load_natural_quality
from tasks.io.networks.model_cache import LOADING, cached_per_device
from tasks.io.networks.published_weights import PUBLISHED
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights


class Judge(Protocol):
    """A metric of single images on its device."""

    @property
    def column(self) -> str:
        """The metric's column in the tables."""

    def __call__(
        self, images: Tensor, references: Tensor | None, opacity: Tensor | None
    ) -> list[float | None]:
        """Return the metric of each image, None for one that it is not defined for.

        Args:
            images: (b, 3, h, w) in [0, 1], as readers see them on white.
            references: ground truth of the same shape; None without any.
            opacity: of the pictures (b, h, w) in [0, 1]; None where they are opaque.
        """

    def in_tiles(
        self, image: Reader, reference: Reader | None, size: tuple[int, int], opacity: Tensor | None
    ) -> float | None:
        """Return the metric of a large image that is read in parts; None where it has none.

        Args:
            image: gives rows and columns of it, (1, 3, y, x) in [0, 1].
            reference: gives those of the ground truth; None without any.
            size: height and width.
            opacity: of the picture (h, w), 0 where nothing is seen; None where it is opaque.
        """


class _Kind(NamedTuple):
    """How a judge is called in words, and made from its file of weights for a device."""

    title: str
    option: str
    load: Callable[[Path, str], Judge]


_KINDS = {"niqe": _Kind("NIQE", "evaluate.niqe: false", load_natural_quality)}


def judges_named(words: str) -> tuple[str, ...]:
    """Return the judges that words with commas between them name; none for ``none``.

    Raises:
        ConfigurationError: one is not known.
    """
    names = () if words == "none" else tuple(word.strip() for word in words.split(","))
    for name in names:
        if name not in _KINDS:
            known = ", ".join(_KINDS)
            raise ConfigurationError(f"judges must be none or of {known}, got {name!r}")
    return tuple(dict.fromkeys(names))


def judge_title(name: str) -> str:
    """Return what a judge is called in sentences."""
    return _KINDS[name].title


def judge_identity(name: str, weights: Weights = FROM_THIS_MACHINE) -> dict[str, str] | None:
    """Return the judge and the digest of its weights, or None where they are not on disk."""
    path = weights.find(PUBLISHED[name])
    return None if path is None else {"judge": name, "sha256": digest(path)}


def judge_facts(name: str, weights: Weights = FROM_THIS_MACHINE) -> dict[str, str]:
    """Return the digest of a judge's weights by what tables call it; none without the weights."""
    identity = judge_identity(name, weights)
    return {} if identity is None else {f"{name}_sha256": identity["sha256"]}


def fetch_judge(name: str, weights: Weights = FROM_THIS_MACHINE) -> Path:
    """Return the path of a judge's weights, which are downloaded if they are not on disk.

    Raises:
        WeightsMissing: they are not on disk and cannot be downloaded.
    """
    kind = _KINDS[name]
    return weights.fetch(PUBLISHED[name], need=kind.title, otherwise=f"set {kind.option}")


def load_judge(name: str, device: str, weights: Weights = FROM_THIS_MACHINE) -> Judge:
    """Return a judge by its name; it is loaded once per process and device.

    Raises:
        WeightsMissing: its weights cannot be had.
    """
    path = fetch_judge(name, weights)
    with LOADING:
        return _load_judge(device, name, path, digest(path))


@cached_per_device(4)
def _load_judge(device: str, name: str, path: Path, _digest: str) -> Judge:
    """Build the judge; the weights' digest is an argument so that a changed file is read."""
    return _KINDS[name].load(path, device)
