"""Named tensors as a safetensors file that can tell its own damage.

The header has one entry, ``dotpipe``, holding JSON: with several, their order, and so
the bytes of the file, would change from run to run. In it stands a digest of the rest,
so that a bit that turned is found by whoever reads the file, before it is part of a sum.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tasks.io.errors import ArtifactDamaged

_HEADER = "dotpipe"
_DIGEST = "digest"


def save_tensors(tensors: Mapping[str, Tensor], path: Path, kind: str, **facts: Any) -> None:
    """Write tensors; ``kind`` and ``facts``, as JSON, go into the header."""
    whole = {
        name: tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    header = {"kind": kind, **facts}
    header[_DIGEST] = _digest(whole, header)
    save_file(whole, path, metadata={_HEADER: json.dumps(header, sort_keys=True)})


def load_tensors(
    path: Path, kind: str, artifact: str | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name, and the facts of the header.

    Args:
        path: of the file on this machine.
        kind: that it must be of.
        artifact: the file's path in the workspace, for errors.

    Raises:
        ArtifactDamaged: it is not what was written.
        ValueError: it is of another kind.
    """
    try:
        tensors, header = _read(path)
        is_whole = header.pop(_DIGEST) == _digest(tensors, header)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ArtifactDamaged(_damage(artifact or path, str(error))) from error
    if not is_whole:
        raise ArtifactDamaged(_damage(artifact or path, "their digest is another one"))
    if (found := header.pop("kind")) != kind:
        raise ValueError(f"{artifact or path} must hold {kind}, got {found!r}")
    return tensors, header


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt") as stream:
        header: dict[str, Any] = json.loads((stream.metadata() or {})[_HEADER])
        return {name: stream.get_tensor(name) for name in stream.keys()}, header  # noqa: SIM118


def _digest(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """Of the tensors in the order of their names, and of what the header says."""
    content = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        content.update(repr((name, tensor.dtype, tuple(tensor.shape))).encode())
        content.update(tensor.numpy(force=True).data)
    return content.hexdigest()


def _damage(artifact: str | Path, how: str) -> str:
    return (
        f"{artifact} must hold the tensors that were written, but cannot be read: {how}; run "
        "`dotpipe verify CONFIG`, then `dotpipe repair CONFIG`"
    )
