"""Bad images: each counts once, whichever steps refused it."""

import random

from tasks.shard.bad_images import RefusedIn, counted_once


def test_an_image_that_several_steps_refuse_counts_once():
    measured = RefusedIn("run", "shard-000000", {"damaged": 1})
    enhanced = RefusedIn("run", "shard-000000", {"damaged": 2, "image too large": 1})
    assert counted_once([measured, enhanced, measured]) == {"damaged": 2, "image too large": 1}


def test_images_of_other_shards_and_data_sets_are_others():
    places = [("run", "shard-000000"), ("run", "shard-000001"), ("natural", "shard-000000")]
    refused = [RefusedIn(*place, {"damaged": 1}) for place in places]
    assert counted_once(refused) == {"damaged": 3}


def test_what_the_intake_refuses_no_later_step_meets():
    intake = RefusedIn("run", "shard-000000", {"damaged": 2, "empty file": 1}, at_intake=True)
    later = RefusedIn("run", "shard-000000", {"damaged": 1})
    refused = [intake, later, later]
    random.Random(0).shuffle(refused)
    assert counted_once(refused) == {"damaged": 3, "empty file": 1}
