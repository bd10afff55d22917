"""What a step draws follows from its number and the seed, and no image is out of reach."""

import random
from collections import Counter

import pytest
import torch
from workspaces.plain_pipeline import do
from workspaces.trained import train

from tasks.io.workspace import Workspace
from tasks.train.batches import Batches
from tasks.train.draws import Draws, Share
from tasks.train.plan import PlannedTraining
from tasks.train.positions import Positions


@pytest.fixture
def sharded(run):
    """Makes a run whose images are in shards, and the job of its first segment."""

    def make(name="w", corpora=None, train=None, **sections):
        made = run(name, corpora, train, **sections)
        do(made.opened, lambda step: step.verb == "shard")
        found = PlannedTraining.of(made.opened)
        return made, next(iter(found.planned())).job

    return make


def keys_of(job, steps=50, share=None):
    draws = Draws(job, job.opened()) if share is None else Draws(job, job.opened(), share)
    return [[(d.degraded.key, d.clean.key) for d in draws.of_step(step)] for step in range(steps)]


def test_images_by_their_numbers_are_all_images_each_once(sharded):
    made, _ = sharded()
    images = Positions(made.workspace, "reference")
    keys = [images.at(number).key for number in range(len(images))]
    assert sorted(keys) == [place.key for place in made.workspace.keys("reference")]
    assert [images.named(key).key for key in keys] == keys
    assert images.named("nobody") is None


def test_a_step_draws_the_same_whatever_was_drawn_before(sharded):
    _, job = sharded()
    in_order = keys_of(job)
    numbers = list(range(50))
    random.Random(0).shuffle(numbers)
    draws = Draws(job, job.opened())
    again = {n: [(d.degraded.key, d.clean.key) for d in draws.of_step(n)] for n in numbers}
    assert [again[n] for n in range(50)] == in_order
    other = job.model_copy(update={"train": job.train.model_copy(update={"seed": 1})})
    assert keys_of(other) != in_order


def test_processes_share_the_examples_of_a_step_without_one_left_out(sharded):
    _, job = sharded(train={"batch": 4})
    parts = [keys_of(job, 5, Share(number, 2)) for number in range(2)]
    for step, whole in enumerate(keys_of(job, 5)):
        assert [parts[0][step][0], parts[1][step][0], parts[0][step][1], parts[1][step][1]] == whole


def test_pairs_show_the_same_image_and_held_out_ones_are_never_drawn(sharded):
    _, job = sharded()
    drawn = [pair for step in keys_of(job, 200) for pair in step]
    held = {draw.clean.key for draw in Draws(job, job.opened()).held_out()}
    assert all(one == other for one, other in drawn)
    assert len(held) == 1
    assert len(Counter(drawn)) == 7
    assert not held & {key for key, _ in drawn}


def test_without_pairs_no_image_is_on_both_sides(sharded):
    _, job = sharded(train={"pairing": "unpaired"})
    drawn = [pair for step in keys_of(job, 200) for pair in step]
    sides = [{pair[side] for pair in drawn} for side in (0, 1)]
    assert sides[0]
    assert sides[1]
    assert not sides[0] & sides[1]
    assert len(sides[0] | sides[1]) == 7


def test_noise_is_fresh_in_every_step_and_the_same_in_a_repetition(sharded):
    _, job = sharded()
    workspace = Workspace(job.workspace)

    def batches(steps):
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(2) as pool:
            return list(Batches(job, workspace, Draws(job, workspace), pool).of_steps(steps))

    first, second = batches([0, 1])
    (again,) = batches([1])
    assert torch.equal(second.degraded, again.degraded)
    assert torch.equal(second.clean, again.clean)
    noise = [batch.degraded - batch.clean for batch in (first, second)]
    assert not torch.equal(*noise)
    assert torch.cat(noise).std().item() == pytest.approx(0.2, rel=0.1)
    assert first.clean.shape == (2, 3, 16, 16)


def test_a_workspace_in_a_bucket_trains_the_same(run, bucket):
    on_disk = train(run())
    made = run()
    tree = made.config.model_dump() | {"workspace": f"{bucket.url}/dot"}
    made.config = type(made.config).model_validate(tree)
    assert train(made) == on_disk
