"""Plug-ins as metrics of single images, in the tables beside LPIPS.

What an author writes is a class with attributes that describe the metric; it takes a device, and
its object is called with an image, and with the ground truth if it needs one.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from torch import Tensor

from tasks.io.artifacts.more_metrics import OfPlugIn, plug_in_column
from tasks.io.errors import ConfigurationError
from tasks.io.networks.batches import is_for_want_of_memory
from tasks.io.networks.plug_ins.loading import load_plug_in
from tasks.io.networks.plug_ins.whole_images import OfWholeImages
from tasks.io.plug_ins.installed import Installed, find, in_words
from tasks.io.plug_ins.section import EntryName, PlugIn
from tasks.io.section import Section

_FIELD = "evaluate.plug_ins"

_BEHIND = ("_error", "_change", "_change_images")
"""What stands behind the name of a metric in the columns of the fidelity table."""

_PROBE = 256
"""Side of the image that a plug-in is tried out on."""


def _listed(value: object) -> object:
    """One name as a list of one; several must differ."""
    names = (value,) if isinstance(value, str) else value
    if isinstance(names, list | tuple) and len({str(name) for name in names}) < len(names):
        raise ValueError(f"metrics of plug-ins must differ, got {', '.join(map(str, names))}")
    for name in names if isinstance(names, list | tuple) else ():
        if str(name).endswith(_BEHIND):
            raise ValueError(
                f"names of metrics must not end in {', '.join(_BEHIND)}, which are columns of "
                f"others, got {name}; ask whoever wrote it for another name"
            )
    return names


MetricNames = Annotated[tuple[EntryName, ...], BeforeValidator(_listed)]
"""Metrics by the names of their entry points."""


class _Described(Section):
    """What the class of a metric says of it."""

    title: Annotated[str, Field(pattern=r"^[^{}\x00-\x1f]{1,40}$")]
    """What tables and reports call it: at most 40 characters, no braces."""
    better: Literal["more", "less"]
    """Which values are better."""
    unit: Annotated[str, Field(pattern=r"^[^{}\x00-\x1f]{1,10}$")] = "1"
    """Its unit; 1 where it has none."""
    digits: Annotated[int, Field(ge=0, le=10)] = 3
    """Digits after the point where it is shown."""
    needs_reference: bool = False
    """Whether it compares with the ground truth."""


def metric_package(name: str) -> Installed | None:
    """Return the plug-in that is a metric of a name; None where no package or several bring it."""
    try:
        return find("metric", name, field=_FIELD)
    except ConfigurationError:
        return None


def described(name: str) -> OfPlugIn:
    """Return what a metric says of itself; its module is imported, and nothing is made.

    Raises:
        ConfigurationError: no package brings it, it cannot be imported, or it says too little.
    """
    plug_in = find("metric", name, field=_FIELD)
    kind = plug_in.load()
    told = {
        field: getattr(kind, field) for field in _Described.model_fields if hasattr(kind, field)
    }
    try:
        said = TypeAdapter(_Described).validate_python({"title": name, **told})
    except ValidationError as error:
        problem = error.errors()[0]
        found = f", got {problem['input']!r}" if problem["loc"][0] in told else ""
        raise ConfigurationError(
            f"metric {plug_in} must say what it is by attributes of its class: "
            f"{problem['loc'][0]}: {problem['msg']}{found}; ask whoever wrote it"
        ) from error
    return OfPlugIn(name, plug_in.package, plug_in.version, **said.model_dump())


def require_metrics(names: Iterable[str], *, has_reference: bool) -> None:
    """Check that metrics are installed, and can be computed.

    Raises:
        ConfigurationError: one is not, or needs a reference and there is none.
    """
    for name in names:
        if described(name).needs_reference and not has_reference:
            raise ConfigurationError(
                "a metric of a plug-in must need no reference where there is none, got "
                f"{name!r}; give corpora.reference, or take it out of {_FIELD}"
            )


@dataclass(frozen=True, slots=True)
class PlugInMetric(OfWholeImages):
    """A plug-in on its device, of images as they are seen on white."""

    function: Callable[..., Any]
    described: OfPlugIn
    device: str

    def try_out(self) -> None:
        """Measure an image of smooth waves against a darker one.

        Raises:
            ConfigurationError: the plug-in fails, or gives something else than a number.
        """
        waves = 0.5 + 0.4 * (torch.arange(3 * _PROBE**2) / 9).sin().view(1, 3, _PROBE, _PROBE)
        self.of(*[waves, 0.9 * waves][: 1 + self.described.needs_reference])

    @torch.inference_mode()
    def of(self, *images: Tensor) -> float | None:
        """Return the metric of one image (1, 3, h, w), and its reference if it needs one.

        Raises:
            ConfigurationError: the plug-in fails, or gives something else than a number.
        """
        height, width = images[0].shape[2:]
        rule = f"metric {self.described.name!r} of {self.described.package} must give a number"
        asked = f"{rule} for an image of {width} × {height} pixels"
        remedy = f"; take it out of {_FIELD}, or ask whoever wrote it"
        try:
            # copies, as it may write into them
            value = self.function(*(image[0].to(self.device, copy=True) for image in images))
        except Exception as error:
            if isinstance(error, torch.AcceleratorError) or is_for_want_of_memory(error):
                raise  # the batch is cut in two
            raise ConfigurationError(f"{asked}, got {in_words(error)}{remedy}") from error
        try:
            number = math.nan if value is None else float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigurationError(f"{asked}, got {type(value).__name__}{remedy}") from error
        return number if math.isfinite(number) else None


def load_metric(name: str, device: str) -> PlugInMetric:
    """Return a metric on a device.

    Raises:
        ConfigurationError: no package brings it, or it cannot be made.
    """
    known = described(name)
    function = load_plug_in("metric", PlugIn(entry=name), _FIELD, device)
    if not callable(function):
        raise ConfigurationError(
            f"metric {name!r} of {known.package} must make what can be called with an image, got "
            f"{type(function).__name__}; ask whoever wrote it"
        )
    return PlugInMetric(function, known, device)


def metric_identity(name: str) -> dict[str, str] | None:
    """Return what a metric is computed with; None where it is not installed."""
    found = metric_package(name)
    if found is None:
        return None
    told = {key: value for key, value in found.identity.items() if key != "entry"}
    return {"judge": plug_in_column(name), **told}
