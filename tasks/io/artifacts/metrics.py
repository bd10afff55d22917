"""The metric table, one row per image and signal, and the fidelity table, one per signal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from tasks.io.artifacts.parquet import read_schema, write_table
from tasks.io.store import Store


def _column(name: str, kind: pa.DataType, unit: str, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit, "meaning": meaning})


SCORE_SCHEMA = pa.schema(
    [
        _column("key", pa.string(), "", "path in the corpus, without extension"),
        _column("shard", pa.string(), "", "name of the shard"),
        _column("signal", pa.string(), "", "enhanced, curve, input, codec or codec_input"),
        _column("alpha", pa.float64(), "1", "0 full transport, 1 input; null for controls"),
        _column("mse", pa.float64(), "1", "mean squared error, pixels in [0, 1]"),
        _column("psnr", pa.float64(), "dB", "peak signal-to-noise ratio, peak 1"),
        _column(
            "ssim",
            pa.float64(),
            "1",
            "structural similarity; null below 11 pixels a side",
        ),
        _column(
            "lpips",
            pa.float64(),
            "1",
            "network in the file's metadata; null below 32 pixels a side",
        ),
        _column("width", pa.int32(), "pixel", "width of the image"),
        _column("height", pa.int32(), "pixel", "height of the image"),
        _column("status", pa.string(), "", "ok, unscored (no metrics) or refused (no image)"),
        _column("reason", pa.string(), "", "why it is unscored or refused"),
        _column("fingerprint", pa.string(), "", "what the row was made from"),
    ]
)

METRICS = ("mse", "psnr", "ssim", "lpips")

FIDELITY_SCHEMA = pa.schema(
    [
        _column("signal", pa.string(), "", "enhanced, curve, input, codec or codec_input"),
        _column("alpha", pa.float64(), "1", "0 full transport, 1 input; null for controls"),
        _column("images", pa.int64(), "", "images with distortion metrics"),
        _column("mse", pa.float64(), "1", "mean over images"),
        _column("psnr", pa.float64(), "dB", "mean over images with a finite one"),
        _column("ssim", pa.float64(), "1", "mean over images"),
        _column("lpips", pa.float64(), "1", "mean over images"),
        _column("mse_error", pa.float64(), "1", "bootstrap standard error of the mean"),
        _column("psnr_error", pa.float64(), "dB", "bootstrap standard error of the mean"),
        _column("ssim_error", pa.float64(), "1", "bootstrap standard error of the mean"),
        _column("lpips_error", pa.float64(), "1", "bootstrap standard error of the mean"),
        _column("gelbrich", pa.float64(), "1", "squared W2 of latent patches to the natural ones"),
        _column("featured", pa.int64(), "", "images with features"),
        _column("frechet", pa.float64(), "1", "Fréchet distance of features; FID with Inception"),
        _column("frechet_error", pa.float64(), "1", "its jackknife standard error over images"),
        _column(
            "frechet_extrapolated", pa.float64(), "1", "extrapolated to infinitely many images"
        ),
        _column("kernel", pa.float64(), "1", "squared MMD of features; KID with Inception"),
        _column("kernel_spread", pa.float64(), "1", "its standard deviation over subsets"),
        _column(
            "kernel_corrected", pa.float64(), "1", "without images against their own reference"
        ),
        _column("inception_score", pa.float64(), "1", "mean over ten splits"),
        _column("inception_score_spread", pa.float64(), "1", "its deviation over the splits"),
        _column("precision", pa.float64(), "1", "share of images within the reference's manifold"),
        _column("recall", pa.float64(), "1", "share of the reference within the images' manifold"),
    ]
)

NO_NETWORK = "none"


def write_scores(rows: Sequence[dict[str, Any]], path: Path, networks: Mapping[str, str]) -> None:
    """A part of the metric table; ``networks`` says what ``lpips`` and ``features`` are."""
    schema = SCORE_SCHEMA.with_metadata(dict(networks))
    write_table(pa.Table.from_pylist(list(rows), schema), path)


def networks_of(store: Store, path: str) -> dict[str, str]:
    """The networks that a part of the metric table was computed with."""
    metadata = read_schema(store, path).metadata or {}
    networks = {name.decode(): value.decode() for name, value in metadata.items()}
    return {name: network for name, network in networks.items() if network != NO_NETWORK}
