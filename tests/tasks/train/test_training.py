"""A restorer is trained on shards, segment after segment, and restores."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from workspaces.trained import losses_of, train, weights_of

from tasks.io.errors import ConfigurationError, CorpusError, StepMissing
from tasks.pipeline import steps_of, whole_pipeline
from tasks.train import learner as learner_module
from tasks.train.plan import plan_segments
from tests.support.pictures import images_of

NOISE = [{"kind": "noise", "sigma": 0.2}]


def files_of(made):
    return sorted(path.rpartition("/")[2] for path in made.workspace.store.names("restorers"))


def test_a_run_trains_restores_fits_and_enhances(run):
    made = run()
    rows = made.run()
    assert {row["images"] for row in rows} == {8}
    assert made.shard() == {"reference": None, "run": None}
    losses = losses_of(made)
    assert [row["step"] for row in losses] == list(range(6))
    assert all(np.isfinite(row["map_loss"]) for row in losses)
    assert [row["potential_loss"] is not None for row in losses] == [False] * 4 + [True, False]
    assert [row["psnr"] is not None for row in losses] == [False, True] * 3
    clean, found = images_of(made, "reference"), images_of(made)
    assert {k: i.shape for k, i in found.items()} == {k: i.shape for k, i in clean.items()}


def test_training_brings_images_nearer_to_clean_ones(run):
    made = run(train={"steps": 200, "segment": 100, "width": 4, "rate": 2e-3, "average": 0.9})
    train(made)
    last = losses_of(made)[-1]
    assert last["psnr"] > last["degraded_psnr"] + 2


@pytest.mark.parametrize(
    ("sections", "count"),
    [({}, 8), ({"shards": {"images": 8}}, 8), ({"train": {"pairing": "unpaired"}}, 8)],
)
def test_every_artifact_belongs_to_a_step(run, sections, count):
    made = run(**sections)
    made.shard()
    planned = {
        artifact
        for step in whole_pipeline(made.opened)
        if step.verb in ("shard", "train", "restore")
        for unit in step.units()
        for artifact in unit.artifacts
    }
    assert planned == {record.artifact for record in made.workspace.ledger.survey("").all()}


def test_a_training_that_failed_half_way_ends_as_if_it_had_not(run, monkeypatch):
    undisturbed = train(run("w1"))
    made, real, calls = run("w2"), learner_module.Learner.step, iter(range(3))

    def failing(self, number, batch):
        if next(calls, None) is None:
            raise OSError("the disk is gone")
        return real(self, number, batch)

    monkeypatch.setattr(learner_module.Learner, "step", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        train(made)
    monkeypatch.undo()
    assert [unit.job is None for unit in plan_segments(made.opened)] == [True, False, False]
    assert train(made) == undisturbed


KILLED = """
import os, signal, sys
from pathlib import Path

from workspaces.plain_pipeline import do

from tasks.config import Config, Run
from tasks.train.learner import Learner

real, calls = Learner.step, iter(range(3))

def deadly(self, number, batch):
    if next(calls, None) is None:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self, number, batch)

Learner.step = deadly
config = Config.model_validate_json(Path(sys.argv[1]).read_text())
do(Run.of(config), lambda step: step.verb in ("shard", "train"))
"""
"""Trains until it is killed in the middle of the second segment."""


def test_a_training_that_was_killed_ends_as_if_it_had_not(run, tmp_path, repository):
    undisturbed, made = train(run("w1")), run("w2")
    (tmp_path / "run.json").write_text(made.config.model_dump_json())
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run.json")]
    paths = os.pathsep.join(map(str, (repository, repository / "tests" / "support")))
    alone = {"OMP_NUM_THREADS": "1"}
    child = subprocess.run(command, check=False, env=os.environ | alone | {"PYTHONPATH": paths})
    assert child.returncode == -signal.SIGKILL
    assert [unit.job is None for unit in plan_segments(made.opened)] == [True, False, False]
    assert train(made) == undisturbed


def test_former_checkpoints_are_thinned_and_count_as_made(run):
    made = run(train={"keep_every": 2})
    digest = train(made)
    kept = [name for name in files_of(made) if name.endswith("safetensors")]
    assert kept == [
        "restorer.safetensors",
        "segment-000001.safetensors",
        "segment-000002.safetensors",
    ]
    assert all(unit.job is None for unit in plan_segments(made.opened))
    assert train(made) == digest


def test_a_checkpoint_that_is_lost_is_made_again_from_the_one_before(run):
    made = run(train={"keep_every": 9})
    digest = train(made)
    lose(made, "segment-000002", "restorer")
    assert files_of(made)[:2] == ["restorer.parquet", "segment-000000.parquet"]
    assert train(made) == digest


def lose(made, *names):
    """Take checkpoints away, and the records of these."""
    for record in made.workspace.ledger.survey("restorers").all():
        if record.artifact.rpartition("/")[2] in names:
            made.workspace.ledger.withdraw([record])
            made.workspace.store.remove(f"{record.artifact}.safetensors")


def test_a_segment_at_half_the_rate_is_made_again_at_half_the_rate(run, monkeypatch):
    made, real = run(train={"keep_every": 9, "steps": 8}), learner_module.Learner.step

    def exploding(self, number, batch):
        losses = real(self, number, batch)
        return losses._replace(map=np.nan) if number == 3 and not self.is_halved else losses

    monkeypatch.setattr(learner_module.Learner, "step", exploding)
    digest = train(made)
    lose(made, "segment-000003", "restorer")
    assert not any(name == "segment-000001.safetensors" for name in files_of(made))
    assert train(made) == digest


def test_a_state_that_no_segment_could_begin_with_is_no_checkpoint(run, monkeypatch):
    made, real = run(train={"steps": 2}), learner_module.Learner.step

    def breaking(self, number, batch):
        losses = real(self, number, batch)
        if number == 1 and not self.is_halved:
            next(self.map.parameters()).data.fill_(np.inf)
        return losses

    monkeypatch.setattr(learner_module.Learner, "step", breaking)
    train(made)
    assert [row["rate"] for row in losses_of(made)] == [2.5e-4] * 2
    assert all(weights.isfinite().all() for weights in weights_of(made).values())


def test_more_steps_go_on_where_fewer_ended(run):
    whole = train(run("w1"))
    made = run("w2", train={"steps": 4})
    assert train(made) != whole
    longer = run("w2")
    assert [unit.job is None for unit in plan_segments(longer.opened)] == [True, True, False]
    assert train(longer) == whole


def test_options_that_change_no_step_train_nothing_again(run):
    made = run()
    train(made)
    other = run(train={"keep_every": 3})
    assert all(unit.job is None for unit in plan_segments(other.opened))
    for change in ({"rate": 1e-3}, {"seed": 1}, {"pairing": "unpaired"}):
        assert all(unit.job is not None for unit in plan_segments(run(train=change).opened))


def test_only_other_weights_restore_again(run):
    made = run()
    made.shard()
    assert run(train={"keep_every": 3}).shard()["run"] is None
    before = images_of(made)
    longer = run(train={"steps": 8})
    assert longer.shard()["run"] is not None
    assert any(not np.array_equal(image, before[key]) for key, image in images_of(longer).items())


def test_a_loss_that_is_not_finite_halves_the_rate_once(run, monkeypatch):
    made, real, calls = run(), learner_module.Learner.step, iter(range(10**6))

    def exploding(self, number, batch):
        losses = real(self, number, batch)
        return losses._replace(map=np.nan) if next(calls) == 3 else losses

    monkeypatch.setattr(learner_module.Learner, "step", exploding)
    train(made)
    assert [row["rate"] for row in losses_of(made)] == [5e-4] * 2 + [2.5e-4] * 4


def test_a_loss_that_is_never_finite_ends_the_training_in_a_sentence(run):
    with pytest.raises(
        ConfigurationError, match=r"at half the rate either, .* lower restore.train.rate"
    ):
        train(run(train={"rate": 1e30}))


def test_a_device_without_memory_for_a_step_is_told_in_a_sentence(run, monkeypatch):
    def too_large(self, number, batch):
        raise MemoryError

    monkeypatch.setattr(learner_module.Learner, "step", too_large)
    with pytest.raises(ConfigurationError, match=r"cpu must have memory .* lower restore.train"):
        train(run())


def test_restoring_needs_a_trained_restorer(run):
    made = run()
    for step in steps_of(made.opened):
        if step.verb == "restore":
            with pytest.raises(StepMissing, match="run `dotpipe"):
                list(step.plan())
            break


def test_unpaired_training_draws_both_sides_from_different_images(run):
    made = run(train={"pairing": "unpaired", "steps": 2})
    train(made)
    assert len(weights_of(made)) > 0


def test_images_that_are_degraded_already_are_trained_on(
    run, photographs, steps, tmp_path, pixels, softened, write_images
):
    small = write_images(tmp_path / "small", {f"{i}.png": pixels(i, 12, 16) for i in range(6)})
    clean = write_images(tmp_path / "clean", {f"{i}.png": pixels(i, 24, 32) for i in range(6)})
    corpora = {"degraded": small, "natural": photographs["natural"], "training": clean}
    halved = [{"kind": "downscale", "factor": 2}]
    for pairing in ("unpaired", "paired"):
        made = run(pairing, corpora, {"pairing": pairing}, degrade=[], undoes=halved)
        made.shard()
        assert {image.shape for image in images_of(made).values()} == {(24, 32, 3)}
        assert (losses_of(made)[-1]["psnr"] is not None) == (pairing == "paired")


def test_a_crop_that_is_larger_than_all_images_is_told(run):
    with pytest.raises(
        CorpusError, match=r"must hold images to train on, of 40 × 40 pixels .* lower"
    ):
        train(run(train={"crop": 40}))


def test_pairs_without_a_key_in_common_are_told(run, tmp_path, pixels, write_images):
    corpora = {
        "degraded": write_images(tmp_path / "x", {f"x{i}.png": pixels(i) for i in range(3)}),
        "natural": write_images(tmp_path / "y", {f"y{i}.png": pixels(i) for i in range(3)}),
    }
    with pytest.raises(CorpusError, match="with a clean image of its key in 'natural'"):
        train(run("w", corpora, {"pairing": "paired"}, degrade=[]))


def test_pairs_of_different_sizes_are_told(run, tmp_path, pixels, write_images):
    files = {
        side: {f"{i}.png": pixels(i, *side) for i in range(3)} for side in [(20, 24), (40, 48)]
    }
    folders = [write_images(tmp_path / f"{side[0]}", them) for side, them in files.items()]
    corpora = dict(zip(("degraded", "natural"), folders, strict=True))
    with pytest.raises(CorpusError, match=r"as large as its degraded one .* has 40×48 pixels"):
        train(run("w", corpora, {"pairing": "paired"}, degrade=[]))


def test_two_images_that_fall_into_one_half_are_told(run, tmp_path, pixels, write_images):
    images = write_images(tmp_path / "x", {f"0{i}.png": pixels(i) for i in range(2)})
    with pytest.raises(CorpusError, match=r"both halves .* or write restore.train.pairing: paired"):
        train(run("w", {"reference": images}, {"pairing": "unpaired"}))


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"steps": 5}, "steps must be a multiple of segment, got 5 .* write steps: 4"),
        ({"batch": 3, "processes": 2}, "batch must be a multiple of processes"),
        ({"crop": 4}, "greater than or equal to 16"),
        ({"gamma": 0, "distance": 0}, "distance or gamma must be above 0"),
        ({"average": 1}, "less than 1"),
    ],
)
def test_options_that_are_none_are_refused(run, train, said):
    with pytest.raises(ValueError, match=said):
        run(train=train)


def test_crops_must_fit_the_degradation(run):
    with pytest.raises(ValueError, match=r"crop must be a side .* got 16; write 18"):
        run(degrade=[{"kind": "downscale", "factor": 3}])


def test_images_for_a_training_need_a_restorer_that_is_trained(steps, tmp_path, photographs):
    corpora = {"reference": photographs["natural"], "training": photographs["natural"]}
    with pytest.raises(ValueError, match=r"corpora.training needs a restorer that is trained"):
        steps(tmp_path, corpora, degrade=NOISE, restore={"kind": "bicubic"})


def test_training_needs_degraded_images(steps, tmp_path, photographs):
    with pytest.raises(ValueError, match=r"restore needs a degrade section .* or corpora.degraded"):
        steps(
            tmp_path, {"reference": photographs["natural"]}, restore={"kind": "residual-transport"}
        )
