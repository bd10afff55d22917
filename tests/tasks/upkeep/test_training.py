"""What looks after a workspace knows the training of a restorer."""

import pytest
from workspaces.trained import train

from tasks.config.registry import register
from tasks.io.ledger import Record
from tasks.upkeep.check import check
from tasks.upkeep.cleaning.waste import clean
from tasks.upkeep.forecasts.steps import forecast
from tasks.upkeep.forget import forget
from tasks.upkeep.status import status_of_steps
from tasks.upkeep.verify import verify

QUICK = {"steps": 4, "segment": 2, "batch": 2, "crop": 16, "width": 2, "validation": 1}


@pytest.fixture
def run(steps, tmp_path, photographs):
    def make(**changes):
        restore = {"kind": "residual-transport", "train": QUICK | changes}
        noise = [{"kind": "noise", "sigma": 0.2}]
        corpora = {"reference": photographs["natural"]}
        return steps(tmp_path / "w", corpora, degrade=noise, restore=restore)

    return make


def trained_files(made):
    return sorted(made.workspace.store.names("restorers"))


def status(made):
    found = {each.name: each for each in status_of_steps(made.config)}
    return found["train the restorer"], found["keep the restorer"], found["restore run"]


def test_status_and_plan_tell_segments_and_what_waits_for_them(run):
    made = run()
    segments, kept, restored = status(made)
    assert (segments.waits, kept.waits, restored.waits) == (True, True, True)
    train(made)
    segments, kept, restored = status(made)
    assert (segments.done, segments.images, kept.done, restored.missing) == (2, 8, 1, 3)
    longer = run(steps=8)
    segments, kept, restored = status(longer)
    assert (segments.done, segments.missing, segments.images_to_do) == (2, 2, 8)
    assert (kept.waits, restored.waits) == (True, True)
    (planned,) = [each for each in forecast(longer.config) if each.step == "train the restorer"]
    assert planned.images == 8
    assert planned.seconds > 0


def test_thinned_checkpoints_are_no_damage_and_no_waste(run):
    made = run()
    train(made)
    before = trained_files(made)
    assert len([path for path in before if path.endswith("safetensors")]) == 2
    assert [checked.damage for checked in verify(made.workspace.ledger) if checked.damage] == []
    register(made.config)
    clean(made.config)
    assert trained_files(made) == before


def test_a_training_that_nobody_needs_goes(run):
    made, other = run(), run(seed=1)
    train(made)
    former = trained_files(made)
    other.run()
    register(other.config)
    clean(other.config)
    assert not set(former) & set(trained_files(other))
    assert trained_files(other)


def test_a_training_that_was_cut_short_stays(run):
    made = run()
    train(made)
    (record,) = (r for r in made.workspace.ledger.survey("restorers").all() if "000001" in r[0])
    made.workspace.ledger.withdraw([Record(*record)])
    before = trained_files(made)
    register(made.config)
    clean(made.config)
    assert set(trained_files(made)) == set(before)


def test_a_restorer_that_was_trained_on_a_forgotten_image_goes(run):
    made = run()
    train(made)
    assert trained_files(made)
    forget([made.config], ["a/2"], made.workspace)
    assert trained_files(made) == []
    train(made)
    assert trained_files(made)


@pytest.mark.parametrize(("crop", "state"), [(16, None), (24, None), (40, "bad")])
def test_a_crop_that_is_larger_than_all_images_is_told_before_the_run(run, crop, state):
    found = {each.what: each for each in check(run(crop=crop).config)}
    told = found.get("crops of reference")
    assert (told.state if told else None) == state
    if told:
        assert "restore.train.crop must be at most the shorter side" in told.said


def test_training_on_what_is_fitted_and_measured_is_told_before_the_run(run):
    told = {each.what: each for each in check(run().config)}["images to train on"]
    assert told.state == "poor"
    assert "results are measured on them; give other clean images as corpora.training" in told.said


def test_pairs_without_shared_keys_are_told_before_the_run(steps, tmp_path, pixels, write_images):
    corpora = {
        "degraded": write_images(tmp_path / "x", {f"x{i}.png": pixels(i) for i in range(3)}),
        "natural": write_images(tmp_path / "y", {f"y{i}.png": pixels(i) for i in range(3)}),
    }
    restore = {"kind": "residual-transport", "train": QUICK | {"pairing": "paired"}}
    made = steps(tmp_path / "w", corpora, restore=restore, fit={"pairing": "unpaired"})
    said = {each.what: each for each in check(made.config)}["keys of training"].said
    assert "as restore.train.pairing is paired, got none in common" in said
    assert "or restore.train.pairing: unpaired" in said
