"""All steps of a configuration in order, and whether anything is left to do."""

import weakref

import pytest
from PIL import Image

from tasks import pipeline as plan_module
from tasks.io.errors import StepMissing
from tasks.jobs import Planned
from tasks.pipeline import is_finished, require_shards, whole_pipeline


@pytest.fixture
def run(tmp_path, steps, pixels, write_images):
    """A run that has been finished, to be changed."""
    folder = write_images(tmp_path / "images", {f"{i}.png": pixels(i) for i in range(4)})
    whole = steps(tmp_path / "workspace", {"restored": folder, "reference": folder})
    whole.run()
    return whole


def test_every_artifact_of_a_finished_run_belongs_to_a_step(finished):
    planned = {
        artifact
        for step in whole_pipeline(finished.opened)
        for unit in step.units()
        for artifact in unit.artifacts
    }
    made = {record.artifact for record in finished.workspace.ledger.survey("").all()}
    assert planned == made


def test_a_finished_run_is_finished_until_an_image_changes(run, pixels, write_images, tmp_path):
    assert is_finished(run.config)
    write_images(tmp_path / "images", {"1.png": pixels(9)})
    assert not is_finished(run.config)


@pytest.mark.parametrize(
    "sections",
    [
        {"enhance": {"alphas": [0, 0.25]}},
        {"fit": {"ridge": 0.01}},
        {"evaluate": {"controls": False}},
        {"name": "other"},
    ],
)
def test_a_run_with_another_option_is_not_finished(finished, sections):
    tree = finished.config.model_dump()
    for name, section in sections.items():
        tree[name] = tree[name] | section if isinstance(section, dict) else section
    assert not is_finished(type(finished.config).model_validate(tree))


def test_shards_that_are_up_to_date_are_all_that_is_required(finished):
    require_shards(finished.config)


def test_shards_that_are_missing_or_out_of_date_are_required_with_the_command(
    tmp_path, steps, pixels, write_images
):
    folder = write_images(tmp_path / "images", {f"{i}.png": pixels(i) for i in range(4)})
    run = steps(tmp_path / "workspace", {"restored": folder, "natural": folder})
    remedy = "run `dotpipe shard CONFIG` first"
    with pytest.raises(StepMissing, match=f"'natural'.*got 2 of 2 shards missing.*{remedy}"):
        require_shards(run.config)
    run.shard()
    require_shards(run.config)
    Image.fromarray(pixels(9)).save(folder / "0.png")
    with pytest.raises(StepMissing, match=f"'natural'.*got 1 of 2 shards.*{remedy}"):
        require_shards(run.config)


def test_a_data_set_with_a_shard_that_its_folder_has_no_more_is_out_of_date(
    tmp_path, steps, pixels, write_images
):
    folder = write_images(tmp_path / "images", {f"{i}.png": pixels(i) for i in range(4)})
    run = steps(tmp_path / "workspace", {"restored": folder, "natural": folder})
    run.shard()
    (folder / "3.png").unlink()
    with pytest.raises(StepMissing, match="run `dotpipe shard CONFIG` first"):
        require_shards(run.config)


def test_shards_are_required_without_holding_the_files_of_all(finished, monkeypatch):
    class Holding:
        """Stands for a job with the files of its shard."""

    most, alive = 0, weakref.WeakSet()

    def planned():
        nonlocal most
        for number in range(50):
            job = Holding()
            alive.add(job)
            most = max(most, len(alive))
            yield Planned(f"shard-{number:06d}", 1, job)

    monkeypatch.setattr(plan_module, "plan_shards", lambda *_: planned())
    with pytest.raises(StepMissing, match="got 50 of 50 shards missing"):
        require_shards(finished.config)
    assert most <= 3


def test_the_steps_of_one_command_may_be_finished_while_those_of_others_are_not(run):
    def finished():
        return [
            verb
            for verb in ("shard", "fit", "enhance", "evaluate", "report")
            if is_finished(run.config, verb)
        ]

    assert finished() == ["shard", "fit", "enhance", "evaluate", "report"]
    forget(run, "enhanced/")
    assert finished() == ["shard", "fit", "evaluate"]  # the report shows enhanced images
    assert not is_finished(run.config)
    forget(run, "operators/")
    assert finished() == ["shard"]  # what stands on the operator cannot be finished
    run.fit()
    run.enhance()
    assert is_finished(run.config)


def test_before_anything_is_made_the_steps_of_no_command_are_finished(
    tmp_path, steps, pixels, write_images
):
    folder = write_images(tmp_path / "images", {"0.png": pixels(0)})
    fresh = steps(tmp_path / "workspace", {"restored": folder, "natural": folder})
    for verb in ("shard", "fit", "enhance", "evaluate", "report"):
        assert not is_finished(fresh.config, verb)


def forget(run, start):
    """Withdraw the records of what begins like this."""
    for record in run.workspace.ledger.survey("").all():
        if record.artifact.startswith(start):
            run.workspace.store.remove(record.path)
