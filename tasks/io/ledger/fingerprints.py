"""Digests of what artifacts are made from: equal for equal content, whatever its order."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from dot_kernels import KERNEL_VERSION

_DIGITS = 32
_SHORT = 200
"""Longer inputs, as JSON, are kept as digests."""


def digest_of(content: Any) -> str:
    """A digest of anything JSON can say, the same for equal content."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def fingerprint(step: str, inputs: Mapping[str, Any]) -> str:
    """What an artifact is made from: the step, its inputs and options, the kernels."""
    return digest_of({"step": step, "inputs": inputs, "kernels": KERNEL_VERSION})


def summarised(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a fingerprint with long ones as digests: what a record keeps."""
    short = {}
    for name, value in inputs.items():
        text = json.dumps(value, sort_keys=True)
        short[name] = json.loads(text) if len(text) <= _SHORT else {"digest": digest_of(value)}
    return short
