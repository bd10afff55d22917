"""Moments and transport operators as files of tensors; facts about them in the header."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dot_kernels import GaussianMoments, TransportDiagnostics, TransportOperator
from tasks.io.artifacts.tensors import load_tensors, save_tensors
from tasks.io.store import Store


def save_moments(parts: Mapping[str, GaussianMoments], path: Path, **facts: Any) -> None:
    """Write named moments to a local file; ``facts``, as JSON can say them, go into the header."""
    tensors: dict[str, Tensor] = {}
    for name, moments in parts.items():
        tensors |= _moments_tensors(moments, name)
    save_tensors(tensors, path, "moments", names=list(parts), **facts)


def digest_moments(parts: Mapping[str, GaussianMoments]) -> str:
    """Return a digest, 32 hexadecimal digits, of named moments without any facts."""
    content = hashlib.sha256()
    for name, moments in parts.items():
        content.update(repr((name, moments.count, moments.dimension)).encode())
        for tensor in (moments.mean, moments.scatter):
            content.update(tensor.contiguous().numpy(force=True).tobytes())
    return content.hexdigest()[:32]


def load_moments(
    path: Path, artifact: str | None = None
) -> tuple[dict[str, GaussianMoments], dict[str, Any]]:
    """Return named moments, in the order in which they were saved, and the header's facts.

    Arguments and errors are those of ``load_tensors``.
    """
    tensors, header = load_tensors(path, "moments", artifact)
    names = header.pop("names")
    return {name: _moments_from(tensors, name) for name in names}, header


def read_moments(store: Store, path: str) -> dict[str, GaussianMoments]:
    """Return named moments from a store, in the order in which they were saved.

    Raises:
        FileNotFoundError: there is no such file.
        ArtifactDamaged: the file does not hold what was written.
    """
    with store.fetched(path) as local:
        return load_moments(local, path)[0]


def save_operator(
    operator: TransportOperator,
    moments: Mapping[str, GaussianMoments],
    path: Path,
    **facts: Any,
) -> None:
    """Write a transport operator and the moments that it was solved from to a local file.

    Args:
        operator: to write.
        moments: of its ``source`` and its ``target``, by these names.
        path: local file to write.
        facts: values for the header, as JSON can say them.
    """
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
    save_tensors(tensors, path, "gaussian-operator", diagnostics=diagnostics, **facts)


def load_operator(
    path: Path, artifact: str | None = None
) -> tuple[TransportOperator, dict[str, GaussianMoments], dict[str, Any]]:
    """Return an operator, the moments of its ``source`` and ``target``, and the header's facts.

    Arguments and errors are those of ``load_tensors``.
    """
    tensors, header = load_tensors(path, "gaussian-operator", artifact)
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
