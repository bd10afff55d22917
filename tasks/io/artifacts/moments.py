"""Moments and transport operators as files of tensors; facts about them in the header."""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dot_kernels import (
    GaussianMoments,
    LevelledOperator,
    TransportDiagnostics,
    TransportOperator,
)
from dot_kernels.levels import Operator, latent_part
from tasks.io.artifacts.tensors import load_tensors, save_tensors
from tasks.io.store import Store

_PLAIN, _LEVELLED = "gaussian-operator", "levelled-operator"


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
    operator: Operator,
    moments: Mapping[str, GaussianMoments],
    path: Path,
    **facts: Any,
) -> None:
    """Write a transport operator and the moments that it was solved from to a local file.

    The file's kind is that of the operator: ``gaussian-operator`` for a map of latents alone,
    ``levelled-operator`` for one with maps at levels of the decoder.

    Args:
        operator: to write.
        moments: of its ``source`` and its ``target``, by these names; those of levels by the
            names that ``at_level`` gives.
        path: local file to write.
        facts: values for the header, as JSON can say them.
    """
    latent = latent_part(operator)
    tensors, facts = _map_tensors(latent), {"diagnostics": _diagnosed(latent), **facts}
    if isinstance(operator, LevelledOperator):
        facts["levels"] = {level: _diagnosed(each) for level, each in operator.levels.items()}
        for level, each in operator.levels.items():
            tensors |= {at_level(name, level): t for name, t in _map_tensors(each).items()}
    for name, part in moments.items():
        tensors |= _moments_tensors(part, name)
    kind = _LEVELLED if isinstance(operator, LevelledOperator) else _PLAIN
    save_tensors(tensors, path, kind, **facts)


def load_operator(
    path: Path, artifact: str | None = None
) -> tuple[Operator, dict[str, GaussianMoments], dict[str, Any]]:
    """Return an operator, the moments it was solved from, and the header's facts.

    The moments are those that ``save_operator`` was given, by their names. Arguments and errors
    are those of ``load_tensors``.
    """
    tensors, header = load_tensors(path, (_PLAIN, _LEVELLED), artifact)
    operator: Operator = _map_from(tensors, header.pop("diagnostics"))
    if header.pop("kind") == _LEVELLED:
        parts = {
            int(level): _map_from(tensors, diagnostics, int(level))
            for level, diagnostics in header.pop("levels").items()
        }
        operator = LevelledOperator(latent_part(operator), parts)
    ending = ".scatter"
    names = [name.removesuffix(ending) for name in tensors if name.endswith(ending)]
    return operator, {name: _moments_from(tensors, name) for name in names}, header


def at_level(name: str, level: int) -> str:
    """Return the name of moments, or of a tensor, of a level's map: ``level-0.source``."""
    return f"level-{level}.{name}"


def _map_tensors(operator: TransportOperator) -> dict[str, Tensor]:
    """Return the tensors of one map by name."""
    tensors = {
        "matrix": operator.matrix,
        "source_mean": operator.source_mean,
        "target_mean": operator.target_mean,
    }
    if operator.noise_covariance is not None:
        tensors["noise_covariance"] = operator.noise_covariance
    return tensors


def _map_from(
    tensors: Mapping[str, Tensor], diagnostics: Mapping[str, Any], level: int | None = None
) -> TransportOperator:
    """Return the map of latents, or of a level, from its tensors."""

    def named(name: str) -> str:
        return name if level is None else at_level(name, level)

    return TransportOperator(
        tensors[named("matrix")],
        tensors[named("source_mean")],
        tensors[named("target_mean")],
        tensors.get(named("noise_covariance")),
        TransportDiagnostics(**diagnostics),
    )


def _diagnosed(operator: TransportOperator) -> dict[str, Any]:
    return dataclasses.asdict(operator.diagnostics)


def _moments_tensors(moments: GaussianMoments, name: str) -> dict[str, Tensor]:
    return {
        f"{name}.count": torch.tensor(moments.count, dtype=torch.int64),
        f"{name}.mean": moments.mean,
        f"{name}.scatter": moments.scatter,
    }


def _moments_from(tensors: Mapping[str, Tensor], name: str) -> GaussianMoments:
    count = int(tensors[f"{name}.count"])
    return GaussianMoments(count, tensors[f"{name}.mean"], tensors[f"{name}.scatter"])
