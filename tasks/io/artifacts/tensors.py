"""Named tensors as a safetensors file with a digest, by which damage is found on reading.

The header has one entry, ``dotpipe``, that holds JSON: with several, their order, and so
the bytes of the file, would change from run to run. The JSON has a digest of all the rest.
Reading the file compares it, so that a bit that flipped never becomes part of a result.
"""

import hashlib
import json
import stat
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
    """Write tensors to a local file; equal arguments give equal bytes.

    Args:
        tensors: by name.
        path: local file to write.
        kind: of the file, which reading it will ask for.
        facts: values for the header, as JSON can say them.
    """
    whole = {
        name: tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    header = {"kind": kind, **facts}
    header[_DIGEST] = _digest(whole, header)
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)  # what the umask gives, to which safetensors is blind
    save_file(whole, path, metadata={_HEADER: json.dumps(header, sort_keys=True)})
    if stat.S_IMODE(path.stat().st_mode) != mode:
        path.chmod(mode)


def load_tensors(
    path: Path, kind: str | tuple[str, ...], artifact: str | None = None
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors by name, and the facts of the header, its kind among them if asked for.

    Args:
        path: local file to read.
        kind: that the file must be of; of several it may be of any, and the facts say of which.
        artifact: the file's path in the workspace, for errors.

    Raises:
        ArtifactDamaged: the file does not hold what was written.
        ValueError: the file is of another kind.
    """
    try:
        tensors, header = _read(path)
        is_whole = header.pop(_DIGEST) == _digest(tensors, header)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ArtifactDamaged(_damage(artifact or path, str(error))) from error
    if not is_whole:
        raise ArtifactDamaged(_damage(artifact or path, "their digest is another one"))
    kinds = (kind,) if isinstance(kind, str) else kind
    if (found := header["kind"]) not in kinds:
        raise ValueError(f"{artifact or path} must hold {' or '.join(kinds)}, got {found!r}")
    return tensors, {name: fact for name, fact in header.items() if name != "kind" or kind is kinds}


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(path, framework="pt") as stream:
        header: dict[str, Any] = json.loads((stream.metadata() or {})[_HEADER])
        return {name: stream.get_tensor(name) for name in stream.keys()}, header  # noqa: SIM118


def _digest(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    """Return a digest of all tensors with names, types and shapes, and of the header's facts."""
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
