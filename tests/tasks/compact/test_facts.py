"""Records of small shards become that of the merged one, and none of what they say is lost."""

import pytest

from tasks.compact.facts import added_up
from tasks.report.made_with import made_with

BODIES = [
    {
        "artifact": f"enhanced/run/0123/alpha=+0.00/shard-00000{number}",
        "files": {},
        "inputs": {},
        "finished": f"2026-01-0{number}T00:00:00+00:00",
        "seconds": 1.5,
        "images": number,
        "refused": {"not an image": 1} if number == 1 else {},
        "laps": {"encode": 0.5, "decode": 1.0},
        "device": "cpu" if number < 3 else "cuda (H200)",
        "batch_reduced_to": 4 * number,
        "is_whole": True,
        "version": min(number, 2) * "x",
    }
    for number in (1, 2, 3)
]


def test_counts_and_times_are_added_up_and_what_cannot_be_is_listed():
    assert added_up(BODIES) == {
        "finished": "2026-01-03T00:00:00+00:00",
        "first_finished": "2026-01-01T00:00:00+00:00",
        "seconds": 4.5,
        "images": 6,
        "refused": {"not an image": 1},
        "laps": {"decode": 3.0, "encode": 1.5},
        "devices": {"cpu": 2, "cuda (H200)": 1},
        "batch_reduced_to": 4,
        "is_whole": True,
        "version": ["x", "xx"],
    }


@pytest.mark.parametrize("cut", [1, 2])
def test_what_was_merged_before_counts_as_the_shards_that_it_was(cut):
    once = {**added_up(BODIES[:cut]), "files": {}, "inputs": {}, "artifact": "merged"}
    assert added_up([once, *BODIES[cut:]]) == added_up(BODIES)


def test_a_report_says_the_same_of_merged_shards():
    told = ({k: made_with(each)[k] for k in ("enhanced", "devices")} for each in _both())
    first, second = told
    assert first == second
    assert first["devices"] == {"cpu": 2, "cuda (H200)": 1}


def _both():
    return BODIES, [added_up(BODIES)]
