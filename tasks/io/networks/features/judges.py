"""Judges: metrics of single images beside LPIPS, each by its name, with what it is loaded from.

Those of the package pyiqa, which fetches its weights itself, go by ``pyiqa_`` and its name,
those of plug-ins by ``plug_in_`` and the name of their entry point.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from torch import Tensor

from dot_kernels.local_activations import Reader
from tasks.io.artifacts.more_metrics import (
    facts_on_plug_ins,
    facts_on_pyiqa,
    plug_in_name,
    pyiqa_name,
)
from tasks.io.errors import ConfigurationError
from tasks.io.networks.digests import digest
from tasks.io.networks.features.clip_quality import load_clip_quality
from tasks.io.networks.features.dists import load_dists
from tasks.io.networks.features.natural_quality import load_natural_quality
from tasks.io.networks.features.pyiqa_metrics import (
    PyiqaMetric,
    load_pyiqa,
    pyiqa_identity,
    require_pyiqa,
)
from tasks.io.networks.model_cache import LOADING, cached_per_device
from tasks.io.networks.plug_ins.metric import (
    PlugInMetric,
    load_metric,
    metric_identity,
    require_metrics,
)
from tasks.io.networks.published_weights import PUBLISHED, PublishedFile
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
    """How a judge is called in words, and made from its files of weights for a device."""

    title: str
    files: tuple[str, ...]
    """Keys of ``PUBLISHED``, the judge's own before those of networks that it shares."""
    load: Callable[[Sequence[Path], str], Judge]


_KINDS = {
    "niqe": _Kind("NIQE", ("niqe",), load_natural_quality),
    "dists": _Kind("DISTS", ("dists", "vgg16"), load_dists),
    "clip_iqa": _Kind("CLIP-IQA", ("clip-rn50",), load_clip_quality),
}


def judges_named(words: str) -> tuple[str, ...]:
    """Return the judges that words with commas between them name; none for ``none``.

    Whether pyiqa has metrics of such names, or a package brings them, is not looked at.

    Raises:
        ConfigurationError: one is not known.
    """
    names = () if words == "none" else tuple(word.strip() for word in words.split(","))
    for name in names:
        if name not in _KINDS and not is_of_package(name):
            known = ", ".join((*_KINDS, "pyiqa_NAME", "plug_in_NAME"))
            raise ConfigurationError(f"judges must be none or of {known}, got {name!r}")
    return tuple(dict.fromkeys(names))


def is_of_package(name: str) -> bool:
    """Return whether a judge is of pyiqa or a plug-in, and none of this project."""
    return pyiqa_name(name) is not None or plug_in_name(name) is not None


def judge_title(name: str) -> str:
    """Return what a judge is called in sentences."""
    if (plain := pyiqa_name(name)) is not None:
        return f"pyiqa {plain}"
    plug_in = plug_in_name(name)
    return _KINDS[name].title if plug_in is None else f"plug-in {plug_in}"


def judge_files(name: str) -> tuple[PublishedFile, ...]:
    """Return the files of weights that a judge needs; none where a package has its own."""
    return tuple(PUBLISHED[file] for file in _KINDS[name].files) if name in _KINDS else ()


def judge_identity(name: str, weights: Weights = FROM_THIS_MACHINE) -> dict[str, str] | None:
    """Return the judge and the digests of its weights, or None where they are not on disk.

    Of one of a package there is its version in place of digests, or None where it is not
    installed.
    """
    if (plain := pyiqa_name(name)) is not None:
        return pyiqa_identity(plain)
    if (plug_in := plug_in_name(name)) is not None:
        return metric_identity(plug_in)
    found = {file: weights.find(PUBLISHED[file]) for file in _KINDS[name].files}
    digests = {file: digest(path) for file, path in found.items() if path is not None}
    if len(digests) < len(found):
        return None
    own, *shared = digests
    return {"judge": name, "sha256": digests[own]} | {f"{f}_sha256": digests[f] for f in shared}


def judge_facts(name: str, weights: Weights = FROM_THIS_MACHINE) -> dict[str, str]:
    """Return what tables call a judge, and the digests of its weights where they are on disk.

    Weights other than the published ones make the name end with the beginning of their digest. On
    one of a package the metric tables tell, and this nothing.
    """
    if is_of_package(name):
        return {}
    identity = judge_identity(name, weights) or {}
    digests = {f"{name}_{key}": value for key, value in identity.items() if key != "judge"}
    known = zip(judge_files(name), digests.values(), strict=False)
    altered = [suffix for file, found in known if (suffix := file.altered_suffix(found))]
    return {f"{name}_name": f"{judge_title(name)}{altered[0] if altered else ''}", **digests}


def digests_of(metric: str, facts: Mapping[str, str]) -> dict[str, str]:
    """Return the digests of a metric's weights from the metadata of a table; none if unknown."""
    start = f"{metric}_"
    return {
        name.removeprefix(start): value
        for name, value in facts.items()
        if name.startswith(start) and name.endswith("sha256")
    }


def fetch_judge_file(name: str, file: PublishedFile, weights: Weights = FROM_THIS_MACHINE) -> Path:
    """Return the path of one of a judge's files, which is downloaded if it is not on disk.

    Raises:
        WeightsMissing: it is not on disk and cannot be downloaded.
    """
    otherwise = f"set evaluate.{name}: false"
    return weights.fetch(file, need=judge_title(name), otherwise=otherwise)


def fetch_judge(name: str, weights: Weights = FROM_THIS_MACHINE) -> tuple[Path, ...]:
    """Return the paths of a judge's weights, which are downloaded if they are not on disk.

    Raises:
        WeightsMissing: they are not on disk and cannot be downloaded.
        ConfigurationError: it is of a package that is not installed or has no such metric.
    """
    if (plain := pyiqa_name(name)) is not None:
        require_pyiqa([plain], has_reference=True)
    if (plug_in := plug_in_name(name)) is not None:
        require_metrics([plug_in], has_reference=True)
    return tuple(fetch_judge_file(name, file, weights) for file in judge_files(name))


def load_judge(name: str, device: str, weights: Weights = FROM_THIS_MACHINE) -> Judge:
    """Return a judge by its name; it is loaded once per process and device.

    Raises:
        WeightsMissing: its weights cannot be had.
    """
    paths = fetch_judge(name, weights)
    with LOADING:
        return _load_judge(device, name, paths, tuple(digest(path) for path in paths))


@cached_per_device(4)
def _load_judge(
    device: str, name: str, paths: tuple[Path, ...], _digests: tuple[str, ...]
) -> Judge:
    """Build the judge; the weights' digests are an argument so that a changed file is read."""
    if (plain := pyiqa_name(name)) is not None:
        return load_pyiqa(plain, device)
    if (plug_in := plug_in_name(name)) is not None:
        return load_metric(plug_in, device)
    return _KINDS[name].load(paths, device)


def facts_on_judges(judges: Iterable[Judge]) -> dict[str, str]:
    """Return what the metadata of tables say of loaded judges that are not in the registry."""
    loaded = list(judges)
    return {
        **facts_on_pyiqa(each.described for each in loaded if isinstance(each, PyiqaMetric)),
        **facts_on_plug_ins(each.described for each in loaded if isinstance(each, PlugInMetric)),
    }
