"""Metrics of the package pyiqa as judges of images, where somebody has installed it.

It is no dependency, as its licence rules out commercial use. It has about a hundred metrics of
single images and fetches their weights itself, into torch's hub folder.
"""

import io
import math
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Annotated, Any

import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from tasks.io.artifacts.more_metrics import OfPyiqa, pyiqa_column
from tasks.io.errors import ConfigurationError, WeightsMissing
from tasks.io.networks.batches import is_for_want_of_memory
from tasks.io.networks.plug_ins.whole_images import OfWholeImages

LICENCE = "PolyForm Noncommercial 1.0.0, in parts NTU S-Lab 1.0: no commercial use"
"""That of pyiqa, as its version 0.1.16 states it."""

_SMALL = 384
"""Pixels a side below which an image may be too small for a metric, which then is null; where pyiqa
fails on larger ones, something else is wrong."""

_ALONE = threading.Lock()
"""Held while pyiqa looks at an image: random numbers are those of the whole process."""


def _listed(value: object) -> object:
    """One name as a list of one; several must differ."""
    names = (value,) if isinstance(value, str) else value
    if isinstance(names, list | tuple) and len({str(name) for name in names}) < len(names):
        raise ValueError(f"metrics of pyiqa must differ, got {', '.join(map(str, names))}")
    return names


PyiqaNames = Annotated[
    tuple[Annotated[str, Field(pattern=r"^\w[\w.+-]*$")], ...], BeforeValidator(_listed)
]
"""Metrics by the names that pyiqa has for them."""


def pyiqa_version() -> str | None:
    """Return the version of pyiqa; None where it is not installed. It is not imported for this."""
    try:
        return version("pyiqa")
    except PackageNotFoundError:
        return None if find_spec("pyiqa") is None else str(_pyiqa().__version__)


def pyiqa_identity(name: str) -> dict[str, str] | None:
    """Return what a metric is computed with; None where pyiqa is not installed."""
    found = pyiqa_version()
    return None if found is None else {"judge": pyiqa_column(name), "pyiqa": found}


def require_pyiqa(names: Iterable[str], *, has_reference: bool) -> None:
    """Check that pyiqa is there and has metrics of these names that can be computed.

    Raises:
        ConfigurationError: it has not, or a metric needs a reference and there is none.
    """
    if not (asked := list(names)):
        return
    if pyiqa_version() is None:
        raise ConfigurationError(
            f"pyiqa must be installed for its metrics, got {', '.join(asked)} without it; `pip "
            f"install pyiqa` beside dotpipe if its licence allows your use ({LICENCE}), or leave "
            "evaluate.pyiqa empty"
        )
    known, against = set(_pyiqa().list_models()), set(_pyiqa().list_models("FR"))
    for name in asked:
        if name not in known or "fid" in name or name == "inception_score":
            likely = ", ".join(get_close_matches(name, known, cutoff=0.4)) or "no other like it"
            raise ConfigurationError(
                "a metric of pyiqa must be one of single images that `pyiqa.list_models()` names, "
                f"got {name!r}; version {pyiqa_version()} has {likely}"
            )
        if name in against and not has_reference:
            raise ConfigurationError(
                "a metric of pyiqa must need no reference where there is none, got "
                f"{name!r}; give corpora.reference, or take it out of evaluate.pyiqa"
            )


@dataclass(frozen=True, slots=True)
class PyiqaMetric(OfWholeImages):
    """A metric of pyiqa on its device, of images as they are seen on white."""

    metric: Any
    """The module of the package pyiqa."""
    described: OfPyiqa
    device: str

    def of(self, *images: Tensor) -> float | None:
        """Return the metric of one image (1, 3, h, w), and its reference if it needs one.

        Global random numbers begin anew, as some metrics look at parts of an image by chance.

        Raises:
            WeightsMissing: pyiqa fails on an image that is not small.
        """
        devices = [self.device] if self.device.startswith("cuda") else []
        try:
            with _ALONE, torch.inference_mode(), torch.random.fork_rng(devices):
                torch.manual_seed(0)
                value = float(self.metric(*(image.to(self.device) for image in images)))
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as error:
            if is_for_want_of_memory(error):
                raise  # the batch is cut in two
            height, width = images[0].shape[2:]
            if min(height, width) < _SMALL:
                return None
            raise WeightsMissing(
                f"pyiqa's {self.described.name} must give a number for an image of {width} × "
                f"{height} pixels, got {type(error).__name__} ({error}); take it out of "
                "evaluate.pyiqa, or try it with pyiqa alone"
            ) from error
        return value if math.isfinite(value) else None


def load_pyiqa(name: str, device: str) -> PyiqaMetric:
    """Return a metric of pyiqa on a device.

    Raises:
        ConfigurationError: pyiqa is not installed, or has no such metric of single images.
        WeightsMissing: pyiqa cannot make it, as where it cannot fetch its weights.
    """
    require_pyiqa([name], has_reference=True)
    try:
        with _quiet():
            metric = _pyiqa().create_metric(name, device=device)
    except Exception as error:
        raise WeightsMissing(
            f"pyiqa must be able to make {name}, whose weights it fetches itself, got "
            f'{type(error).__name__} ({error}); run `python -c "import pyiqa; '
            f"pyiqa.create_metric('{name}')\"` where there is internet and copy torch's hub folder "
            "(TORCH_HOME), or take it out of evaluate.pyiqa"
        ) from error
    described = OfPyiqa(
        name=name,
        more_is_better=not metric.lower_better,
        needs_reference=metric.metric_mode == "FR",
        version=pyiqa_version() or "",
    )
    return PyiqaMetric(metric, described, device)


def _pyiqa() -> Any:
    """Return the package, which takes seconds to import."""
    with _quiet():
        return import_module("pyiqa")


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing that pyiqa prints or warns of is told while a block runs."""
    nowhere = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(nowhere), redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        yield
