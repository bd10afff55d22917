"""Rows of the metric tables and files of images, made from rendered images by a pool."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from dot_kernels.metrics import (
    distortion_of_written,
    peak_signal_to_noise_ratio,
    root_in_levels,
    squared_error_of_written,
)
from tasks.enhance.outputs import Finished, Output
from tasks.enhance.pairs import Rendered
from tasks.io.images import Form, Pixels, Raster, encode, extension_of
from tasks.io.images.pixels import as_levels
from tasks.io.machine.scratch import let_go, return_freed_memory
from tasks.io.shards.loader import LARGEST_IN_MEMORY, Picture
from tasks.io.workspace import CODEC, INPUT, Signal
from tasks.jobs.stopwatch import Stopwatch


def score(rendered: Rendered, signal: Signal, fingerprint: str) -> list[dict[str, Any]]:
    """Return the rows of one signal of one picture: its metrics, or why there are none.

    A curve has a row for each of its points; any other signal has one row. Where there is no
    reference, rows have the metrics that need none.

    Args:
        rendered: the picture.
        signal: a control, the enhanced images at an alpha, or a curve.
        fingerprint: of the table that the rows belong to.
    """
    row = _identity(rendered, signal, fingerprint)
    if rendered.reference is None:
        row |= {"status": "unscored", "reason": rendered.unscored}
    if signal.has_points:
        return [
            {**row, "alpha": point.alpha, **metrics, **rendered.marks.get(point, {})}
            for point, metrics in rendered.curve.items()
            if point._replace(alpha=None) == signal
        ]
    if rendered.reason is not None:
        return [row | {"status": "refused", "reason": rendered.reason}]
    if (pixels := rendered.images.get(signal)) is None:
        return [row]
    metrics = _change(rendered, signal, pixels) | _distortion(rendered, pixels)
    let_go(pixels)
    return [row | metrics | rendered.marks.get(signal, {})]


def _distortion(rendered: Rendered, pixels: Pixels) -> dict[str, float | None]:
    """Return by column what compares a picture's image with its reference; empty without one."""
    truth = rendered.reference
    if truth is None:
        return {}
    mse, ssim = distortion_of_written(
        as_levels(pixels), as_levels(truth), _weights(rendered.picture)
    )
    let_go(truth)
    return {"mse": mse, "psnr": peak_signal_to_noise_ratio(mse), "ssim": ssim}


def _change(rendered: Rendered, signal: Signal, pixels: Pixels) -> dict[str, float]:
    """Return by column how far an image is from the picture as it came.

    The control ``codec`` is made of the reference, so it has no such distance.
    """
    came = rendered.picture.pixels
    if came is None or signal == CODEC:
        return {}
    if signal == INPUT:
        return {"indrmse": 0.0}
    sides = as_levels(pixels), as_levels(came)
    mse = squared_error_of_written(*sides, _weights(rendered.picture))
    let_go(came)
    return {"indrmse": root_in_levels(mse)}


def _weights(picture: Picture) -> Tensor | None:
    """Return how much each pixel of a picture counts: its alpha; None where all count alike."""
    alpha = None if picture.raster is None else picture.raster.alpha
    return None if alpha is None else as_levels(alpha)


def _identity(rendered: Rendered, signal: Signal, fingerprint: str) -> dict[str, Any]:
    """Return the columns that say which picture and signal a row is about."""
    member = rendered.picture.member
    return {
        "key": member.key,
        "shard": member.file.rpartition("/")[2].removesuffix(".tar"),
        "signal": signal.name,
        "alpha": signal.alpha,
        "low_share": signal.low_share,
        "width": member.width,
        "height": member.height,
        "status": "ok",
        "fingerprint": fingerprint,
    }


class Pending(NamedTuple):
    """A picture whose rows and files are being made by the threads of a pool."""

    rendered: Rendered
    rows: Future[dict[Signal, list[dict[str, Any]]]]
    files: Future[Mapping[Signal, bytes]]
    extension: str
    """Of the names of the files, without the dot."""


@dataclass(frozen=True, kw_only=True)
class Finisher:
    """Has the threads of a pool score and encode pictures."""

    tables: Sequence[Output]
    enhanced: Sequence[Output]
    form: Form
    pool: Executor

    def begin(self, rendered: Iterable[Rendered], pictures: Iterable[Picture]) -> list[Pending]:
        """Have pictures scored and then encoded; return what is pending, in their order."""
        by_key = {item.picture.member.key: item for item in rendered}
        items = [by_key[picture.member.key] for picture in pictures]
        scored = [self.pool.submit(self._rows, item) for item in items]
        coded = [self.pool.submit(self._files, item) for item in items]
        endings = [self._extension(item) for item in items]
        return [Pending(*each) for each in zip(items, scored, coded, endings, strict=True)]

    def _extension(self, item: Rendered) -> str:
        raster = item.picture.raster
        return "" if raster is None else extension_of(self.form.of(raster))

    def _rows(self, item: Rendered) -> dict[Signal, list[dict[str, Any]]]:
        marks = {output.signal: output.target.fingerprint for output in self.tables}
        return {signal: score(item, signal, mark) for signal, mark in marks.items()}

    def _files(self, item: Rendered) -> Mapping[Signal, bytes]:
        raster = item.picture.raster
        if item.reason is not None or raster is None:
            return {}
        files = _Files(item, raster, [output.signal for output in self.enhanced], self.form)
        is_large = raster.height * raster.width > LARGEST_IN_MEMORY
        return files if is_large else dict(files)


@dataclass(frozen=True)
class _Files(Mapping[Signal, bytes]):
    """The files of a picture, each of which is encoded when it is asked for, and not kept.

    An encoder takes up to 25 bytes a pixel, so those of a large picture come one after the other.
    """

    item: Rendered
    raster: Raster
    signals: Sequence[Signal]
    form: Form

    def __getitem__(self, signal: Signal) -> bytes:
        pixels = self.item.images[signal]
        return_freed_memory()
        data = encode(self.raster.showing(pixels), self.form)
        let_go(pixels)
        return data

    def __iter__(self) -> Iterator[Signal]:
        return iter(self.signals)

    def __len__(self) -> int:
        return len(self.signals)


def finished(pending: list[Pending], watch: Stopwatch) -> list[Finished]:
    """Wait for the pool; return the pictures with their rows and files."""
    with watch.lap("metrics"):
        scored = [item.rows.result() for item in pending]
    return [
        Finished(item.picture.member, rows, files.result(), extension, item.features, item.reason)
        for (item, _, files, extension), rows in zip(pending, scored, strict=True)
    ]
