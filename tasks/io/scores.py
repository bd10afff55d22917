"""The metric table: one row per image and signal, and its summary."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.io.store import Store


def _column(name: str, kind: pa.DataType, unit: str, meaning: str) -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit, "meaning": meaning})


SCORE_SCHEMA = pa.schema(
    [
        _column("key", pa.string(), "", "path in the corpus, without extension"),
        _column("shard", pa.string(), "", "name of the shard"),
        _column("signal", pa.string(), "", "enhanced, input, codec or codec_input"),
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

NO_LPIPS = "none"

METRICS = ("mse", "psnr", "ssim", "lpips")


def write_scores(rows: Sequence[dict[str, Any]], path: Path, lpips: str) -> None:
    """A part of the metric table; ``lpips`` names the network and its weights."""
    schema = SCORE_SCHEMA.with_metadata({"lpips": lpips})
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path)


def lpips_of(store: Store, path: str) -> str | None:
    """What a part of the metric table calls its LPIPS; None if it was computed without."""
    metadata = pq.read_schema(io.BytesIO(store.read(path))).metadata or {}
    name: str = metadata.get(b"lpips", NO_LPIPS.encode()).decode()
    return None if name == NO_LPIPS else name
