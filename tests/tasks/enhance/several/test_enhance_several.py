"""Several operators over one shard: the same bytes as one after the other, with less work."""

from collections import Counter

import pytest
import torch

from dot_kernels import AutoencoderCodec, PixelCodec, Transported
from tasks.config import Config
from tasks.enhance.several.enhance import enhance_several, plan_together
from tasks.jobs.memory import Memory, digest, remembering, shared, transported_once
from tests.support.networks.small_autoencoders import small

RIDGES = (1e-5, 1e-2, 1.0)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    torch.manual_seed(0)
    small("AutoencoderTiny").save_pretrained(folder)
    return folder


@pytest.fixture
def runs(tmp_path, steps, photographs, network):
    """Runs of three operators over the same restored images, fitted."""

    def made(name):
        found = []
        for ridge in RIDGES:
            run = steps(
                tmp_path / name,
                {"reference": photographs["natural"]},
                degrade=[{"kind": "noise", "sigma": 0.1}],
                restore={"kind": "bicubic"},
                codec={"kind": "autoencoder-tiny", "weights": str(network)},
                fit={"ridge": ridge},
                patches={"size": 1},
                transport={"levels": "none"},
            )
            run.shard()
            run.fit()
            run.match()
            found.append(run)
        return found

    return made


@pytest.fixture
def counted(monkeypatch):
    """How many images the encoder and the decoder saw, by their names."""
    counts = Counter()

    def counting(name):
        work = getattr(AutoencoderCodec, name)

        def count(self, tensor):
            counts[name] += len(tensor)
            return work(self, tensor)

        monkeypatch.setattr(AutoencoderCodec, name, count)

    counting("encode")
    counting("decode")
    return counts


def written(run):
    """Images, tables and features, by their paths."""
    root = run.workspace.store.local("")
    return {
        path.relative_to(root): path.read_bytes()
        for kind in ("enhanced", "metrics", "features")
        for path in sorted((root / kind).rglob("*"))
        if path.is_file()
    }


def test_what_several_make_together_is_what_they_make_alone(runs, counted):
    alone, together = runs("alone"), runs("together")
    counted.clear()
    for run in alone:
        run.enhance()
    separately = Counter(counted)
    counted.clear()
    planned = list(plan_together([run.fitted for run in together]))
    outcomes = [enhance_several.fn(unit.job) for unit in planned]
    assert counted["encode"] * len(RIDGES) == separately["encode"]
    moved = 8 * len(RIDGES)  # all else that is decoded depends on no operator
    assert (counted["decode"] - moved) * len(RIDGES) == separately["decode"] - moved
    assert sum(outcome.images for outcome in outcomes) == 8 * len(RIDGES)
    assert {outcome.state for outcome in outcomes} == {"made"}
    assert written(together[0]) == written(alone[0])
    again = list(plan_together([run.fitted for run in together]))
    assert [unit.job for unit in again] == [None] * len(planned)


def test_ways_to_enhance_with_one_operator_share_what_it_moved(runs, counted, steps):
    (alone, *_), (together, *_) = runs("alone"), runs("together")
    ways = [{"low_share": 0}, {"low_share": 1, "alphas": [0.5]}, {"decoding": "direct"}]

    def named(run):
        tree = run.config.model_dump()
        enhance = [tree["enhance"] | way | {"name": f"way{i}"} for i, way in enumerate(ways)]
        return [type(run)(Config.model_validate(tree | {"enhance": each})) for each in enhance]

    first, *others = named(alone)
    counted.clear()
    first.enhance()
    once = Counter(counted)
    for run in others:
        run.enhance()
    counted.clear()
    for unit in plan_together([run.fitted for run in named(together)]):
        enhance_several.fn(unit.job)
    assert written(together) == written(alone)
    assert counted["encode"] == once["encode"]
    assert counted["decode"] == once["decode"] + 8  # direct decoding is another transport


def test_a_job_that_is_done_in_part_makes_the_rest(runs):
    first, *_ = found = runs("part")
    first.enhance()
    before = written(first)
    jobs = [unit.job for unit in plan_together([run.fitted for run in found])]
    assert {len(job.jobs) for job in jobs} == {2}
    for job in jobs:
        enhance_several.fn(job)
    after = written(first)
    assert {path: after[path] for path in before} == before


def test_what_does_not_depend_on_the_operator_is_computed_once():
    made = []

    def make():
        made.append(None)
        return [1.0]

    tensor = torch.rand(2, 3)
    assert shared("x", (tensor,), make) == shared("x", (tensor,), make) == [1.0]
    assert len(made) == 2  # nothing is remembered outside
    with remembering():
        assert shared("x", (tensor, None), make) == shared("x", (tensor.clone(), None), make)
        assert len(made) == 3
        shared("y", (tensor, None), make)
        shared("x", (tensor + 1, None), make)
    assert len(made) == 5


@pytest.mark.parametrize(
    ("tile", "keys", "made"),
    [(8, ("a", "a"), 1), (8, ("a", "b"), 2), (7, ("a", "a"), 2)],
    ids=["once", "another noise", "in tiles"],
)
def test_images_are_moved_once_where_that_changes_nothing(tile, keys, made):
    images, times = torch.rand(1, 3, 8, 8), []

    def move():
        times.append(None)
        return Transported(images, images, images, images, images, PixelCodec(1))

    with remembering(["by"]):
        for key in keys:
            moved = transported_once("by", images, tile, move, [key])
            assert torch.equal(moved.at(0.0), images)
        transported_once("by another", images, tile, move)
    assert len(times) == made + 1


def test_a_full_memory_takes_no_more_and_loses_nothing():
    found = Memory(room=16)
    first, second = torch.rand(4), torch.rand(4)
    assert found.tensor(("a",), lambda: first) is first
    assert found.tensor(("b",), lambda: second) is second
    assert found.room == 0
    assert torch.equal(found.tensor(("a",), lambda: second), first)
    assert found.tensor(("b",), lambda: first) is first


def test_digests_tell_numbers_types_and_shapes_apart():
    tensor = torch.arange(6.0)
    others = [tensor + 1, tensor.double(), tensor.reshape(2, 3), tensor.flip(0)]
    assert len({digest(each) for each in (tensor, *others)}) == 5
    assert digest(tensor) == digest(tensor.clone())
