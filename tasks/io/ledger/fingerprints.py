"""Digests of what artifacts are made from: equal for equal content, whatever its order."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from tasks.io.ledger.versions import versions_of_step

_DIGITS = 32
"""Hexadecimal digits of a digest: 128 bits."""

_LONGEST_KEPT = 200
"""Characters of JSON; a record keeps a longer input as its digest."""


def digest_of(content: Any) -> str:
    """Return a digest, 32 hexadecimal digits, of anything that JSON can say."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]


def fingerprint(step: str, inputs: Mapping[str, Any]) -> str:
    """Return a digest of what an artifact is made from.

    It changes with the step's name, its inputs and options, and the versions of the numbers
    that the step computes, which ``tasks.io.ledger.versions`` tells.
    """
    return digest_of({"step": step, "inputs": inputs, "versions": versions_of_step(step)})


def summarised(inputs: Mapping[str, Any], step: str | None = None) -> dict[str, Any]:
    """Return the inputs of a fingerprint as a record keeps them: long ones as digests.

    Args:
        inputs: by name.
        step: that they are the inputs of, whose versions of numbers become the input
            ``versions`` if it has some.
    """
    short, versions = dict[str, Any](), versions_of_step(step) if step else {}
    inputs = {**inputs, "versions": versions} if versions else inputs
    for name, value in inputs.items():
        text = json.dumps(value, sort_keys=True)
        is_short = len(text) <= _LONGEST_KEPT
        short[name] = json.loads(text) if is_short else {"digest": digest_of(value)}
    return short


def with_fields(kind: str, value: object, fields: Iterable[str]) -> str:
    """Return a value as digests take it: a name and some of its fields, each as Python shows it.

    A class that gains a field thus changes no digest until it tells that field too.

    Args:
        kind: what the value is called, for ever.
        value: has the fields.
        fields: their names, in the order in which they are told.
    """
    return f"{kind}({', '.join(f'{name}={getattr(value, name)!r}' for name in fields)})"
