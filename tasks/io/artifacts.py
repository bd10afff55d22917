"""Moments and operators as safetensors files, with what they are in the header.

The header has one entry, ``dotpipe``, holding JSON: with several, their order, and so
the bytes of the file, would change from run to run.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from dot_kernels import GaussianMoments, TransportDiagnostics, TransportOperator
from tasks.io.store import Store

_HEADER = "dotpipe"


def save_moments(parts: Mapping[str, GaussianMoments], path: Path, **facts: Any) -> None:
    """Write named moments; ``facts`` go into the header."""
    tensors: dict[str, Tensor] = {}
    for name, moments in parts.items():
        tensors |= _moments_tensors(moments, name)
    _save(tensors, path, {"kind": "moments", "names": list(parts), **facts})


def digest_moments(parts: Mapping[str, GaussianMoments]) -> str:
    """A digest of named moments alone, whatever facts their file's header has."""
    content = hashlib.sha256()
    for name, moments in parts.items():
        content.update(repr((name, moments.count, moments.dimension)).encode())
        for tensor in (moments.mean, moments.scatter):
            content.update(tensor.contiguous().numpy(force=True).tobytes())
    return content.hexdigest()[:32]


def load_moments(path: Path) -> tuple[dict[str, GaussianMoments], dict[str, Any]]:
    """Named moments, in the order they were saved in, and the facts of the header."""
    tensors, header = _load(path, "moments")
    names = header.pop("names")
    return {name: _moments_from(tensors, name) for name in names}, header


def read_moments(store: Store, path: str) -> dict[str, GaussianMoments]:
    """Named moments from a store, in the order they were saved in."""
    with store.fetched(path) as local:
        return load_moments(local)[0]


def save_operator(
    operator: TransportOperator,
    moments: Mapping[str, GaussianMoments],
    path: Path,
    **facts: Any,
) -> None:
    """Write an operator with the moments of both sides; ``facts`` go into the header."""
    tensors = {
        "matrix": operator.matrix,
        "source_mean": operator.source_mean,
        "target_mean": operator.target_mean,
    }
    if operator.noise_covariance is not None:
        tensors["noise_covariance"] = operator.noise_covariance
    for name in ("source", "target"):
        tensors |= _moments_tensors(moments[name], name)
    diagnostics = dataclasses.asdict(operator.diagnostics)
    _save(tensors, path, {"kind": "gaussian-operator", "diagnostics": diagnostics, **facts})


def load_operator(
    path: Path,
) -> tuple[TransportOperator, dict[str, GaussianMoments], dict[str, Any]]:
    """An operator, the moments of its ``source`` and ``target``, and the header's facts."""
    tensors, header = _load(path, "gaussian-operator")
    operator = TransportOperator(
        tensors["matrix"],
        tensors["source_mean"],
        tensors["target_mean"],
        tensors.get("noise_covariance"),
        TransportDiagnostics(**header.pop("diagnostics")),
    )
    return operator, {name: _moments_from(tensors, name) for name in ("source", "target")}, header


def _moments_tensors(moments: GaussianMoments, name: str) -> dict[str, Tensor]:
    return {
        f"{name}.count": torch.tensor(moments.count, dtype=torch.int64),
        f"{name}.mean": moments.mean,
        f"{name}.scatter": moments.scatter,
    }


def _moments_from(tensors: Mapping[str, Tensor], name: str) -> GaussianMoments:
    count = int(tensors[f"{name}.count"])
    return GaussianMoments(count, tensors[f"{name}.mean"], tensors[f"{name}.scatter"])


def _save(tensors: Mapping[str, Tensor], path: Path, header: Mapping[str, Any]) -> None:
    whole = {
        name: tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    save_file(whole, path, metadata={_HEADER: json.dumps(header, sort_keys=True)})


def _load(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt") as stream:
        header: dict[str, Any] = json.loads((stream.metadata() or {}).get(_HEADER, "{}"))
        found = header.pop("kind", None)
        if found != kind:
            raise ValueError(f"{path} must hold {kind}, got {found!r}")
        return {name: stream.get_tensor(name) for name in stream.keys()}, header  # noqa: SIM118
