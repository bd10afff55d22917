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
    RepeatedOperator,
    TransportDiagnostics,
    TransportOperator,
)
from dot_kernels.dials import LowBand
from dot_kernels.levels import Operator, latent_part
from dot_kernels.rounds import AnyOperator, Between, rounds_of
from tasks.io.artifacts.tensors import load_tensors, save_tensors
from tasks.io.store import Store

_PLAIN, _LEVELLED, _REPEATED = "gaussian-operator", "levelled-operator", "repeated-operator"

_TOLD = ("diagnostics", "levels")
"""What a file's header says of the first round's maps."""


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
    operator: AnyOperator,
    moments: Mapping[str, GaussianMoments],
    path: Path,
    **facts: Any,
) -> None:
    """Write a transport operator and the moments that it was solved from to a local file.

    The file's kind is that of the operator: ``gaussian-operator`` for a map of latents alone,
    ``levelled-operator`` for one with maps at levels of the decoder, ``repeated-operator`` for one
    of several rounds, of either kind each.

    Args:
        operator: to write.
        moments: of its ``source`` and its ``target``, by these names; those of levels by the
            names that ``at_level`` gives, those of further rounds by those of ``in_round``.
        path: local file to write.
        facts: values for the header, as JSON can say them.
    """
    first, *further = rounds_of(operator)
    tensors, told = _round_tensors(first)
    kind = _LEVELLED if isinstance(first, LevelledOperator) else _PLAIN
    if isinstance(operator, RepeatedOperator):
        kind, rounds = _REPEATED, list[dict[str, Any]]()
        for number, each in enumerate(further, 1):
            own, own_told = _round_tensors(each)
            tensors |= {in_round(name, number): tensor for name, tensor in own.items()}
            rounds.append(own_told)
        told |= {"rounds": rounds, "between": dataclasses.asdict(operator.between)}
    for name, part in moments.items():
        tensors |= _moments_tensors(part, name)
    save_tensors(tensors, path, kind, **{**told, **facts})


def load_operator(
    path: Path, artifact: str | None = None
) -> tuple[AnyOperator, dict[str, GaussianMoments], dict[str, Any]]:
    """Return an operator, the moments it was solved from, and the header's facts.

    The moments are those that ``save_operator`` was given, by their names. Arguments and errors
    are those of ``load_tensors``.
    """
    tensors, header = load_tensors(path, (_PLAIN, _LEVELLED, _REPEATED), artifact)
    del header["kind"]
    rounds, between = header.pop("rounds", []), header.pop("between", None)
    told: dict[str, Any] = {name: header.pop(name) for name in _TOLD if name in header}
    first = _round_from(tensors, told)
    operator: AnyOperator = first
    if between is not None:
        further = (
            _round_from(_of_round(tensors, number), each) for number, each in enumerate(rounds, 1)
        )
        low_band = between.pop("low_band")
        options = Between(**between, low_band=None if low_band is None else LowBand(**low_band))
        operator = RepeatedOperator((first, *further), options)
    ending = ".scatter"
    names = [name.removesuffix(ending) for name in tensors if name.endswith(ending)]
    return operator, {name: _moments_from(tensors, name) for name in names}, header


def at_level(name: str, level: int) -> str:
    """Return the name of moments, or of a tensor, of a level's map: ``level-0.source``."""
    return f"level-{level}.{name}"


def in_round(name: str, number: int) -> str:
    """Return the name of moments, or of a tensor, of a round after the first: ``round-1.source``.

    Args:
        name: that it has in the first, number 0, where it is the name itself.
        number: of the round.
    """
    return f"round-{number}.{name}" if number else name


def _of_round(tensors: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """Return the tensors of a round after the first, by the names that they have in the first."""
    start = in_round("", number)
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def _round_tensors(operator: Operator) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of one round's maps by name, and their diagnostics."""
    latent = latent_part(operator)
    tensors, told = _map_tensors(latent), {"diagnostics": _diagnosed(latent)}
    if isinstance(operator, LevelledOperator):
        levels = operator.levels.items()
        told["levels"] = {str(level): _diagnosed(each) for level, each in levels}
        for level, each in operator.levels.items():
            tensors |= {at_level(name, level): t for name, t in _map_tensors(each).items()}
    return tensors, told


def _round_from(tensors: Mapping[str, Tensor], told: Mapping[str, Any]) -> Operator:
    """Return the operator of one round, from its tensors and diagnostics."""
    latent = _map_from(tensors, told["diagnostics"])
    if "levels" not in told:
        return latent
    parts = {
        int(level): _map_from(tensors, diagnostics, int(level))
        for level, diagnostics in told["levels"].items()
    }
    return LevelledOperator(latent, parts)


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
