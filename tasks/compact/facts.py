"""What records of small shards say becomes what that of the merged one says."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.report.made_with import devices_of

OF_ONE = {"artifact", "files", "inputs"}
"""What a record says of its own artifact alone."""

_OF_TIME = {"finished", "first_finished", "device", "devices"}
"""What it says of when and where the artifact was made."""


def added_up(bodies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the facts of several records as those of one.

    Counts and times are added up. What cannot be added up stays where all say the same, and is
    else a list of what they say. They were finished when the last was.

    Args:
        bodies: of the records.
    """
    facts = dict[str, Any]()
    for body in bodies:
        for name in body.keys() - OF_ONE - _OF_TIME:
            facts[name] = _both(name, facts[name], body[name]) if name in facts else body[name]
    return {**facts, **_made(bodies)}


def _made(bodies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return when the first and the last of some records was finished, and by what devices."""
    finished = [body["finished"] for body in bodies if "finished" in body]
    first = [body.get("first_finished", body["finished"]) for body in bodies if "finished" in body]
    devices = sum((Counter(devices_of(body)) for body in bodies), Counter[str]())
    times = {"finished": max(finished), "first_finished": min(first)} if finished else {}
    return {**times, **({"devices": dict(sorted(devices.items()))} if devices else {})}


def _both(name: str, one: Any, other: Any) -> Any:
    if name == "seams":
        return _seams(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        shared = {each: _both(each, one[each], other[each]) for each in one.keys() & other.keys()}
        return dict(sorted({**one, **other, **shared}.items()))
    if _is_number(one) and _is_number(other):
        return min(one, other) if name == "batch_reduced_to" else one + other
    if one == other:
        return one
    said = [*_listed(one), *_listed(other)]
    return [each for place, each in enumerate(said) if each not in said[:place]]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _seams(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    count = one["count"] + other["count"]
    squares = sum(each["count"] * each["rms"] ** 2 for each in (one, other))
    rms, largest = math.sqrt(squares / count), max(one["largest"], other["largest"])
    return {**one, "rms": rms, "largest": largest, "count": count}
