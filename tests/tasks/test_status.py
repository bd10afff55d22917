"""What is done, read from the ledger alone."""

import pytest
from PIL import Image

from tasks.io.errors import StepMissing
from tasks.status import require_shards, survey_steps

STEPS = [
    "shard reference",
    "shard run",
    "measure latent patches",
    "solve the operator",
    "enhance run",
    "fidelity",
    "summarise",
    "report",
]


@pytest.fixture
def started(tmp_path, steps, photographs):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    return steps(tmp_path / "workspace", corpora)


def test_of_a_finished_run_nothing_is_missing(finished):
    status = list(survey_steps(finished.config))
    assert [step.name for step in status] == STEPS
    assert [step.done for step in status] == [3, 3, 6, 1, 3, 6, 1, 1]
    assert all((step.missing, step.stale, step.note) == (0, 0, "") for step in status)


def test_before_anything_is_done_later_steps_wait_for_earlier_ones(started):
    status = list(survey_steps(started.config))
    assert [step.missing for step in status[:2]] == [3, 3]
    assert {step.note for step in status[2:]} == {"waits for an earlier step"}


def test_looking_changes_nothing(started):
    list(survey_steps(started.config))
    assert not started.workspace.store.exists("")


def test_a_changed_image_makes_its_shard_stale(tmp_path, steps, pixels, write_images):
    folder = write_images(tmp_path / "images", {f"{i}.png": pixels(i) for i in range(4)})
    run = steps(tmp_path / "workspace", {"restored": folder, "natural": folder})
    run.shard()
    Image.fromarray(pixels(9)).save(folder / "0.png")
    status = {step.name: step for step in survey_steps(run.config)}
    assert status["shard run"][1:4] == (1, 0, 1)


def test_a_corpus_that_is_not_there_is_a_note(tmp_path, steps, photographs):
    corpora = {"restored": photographs["restored"], "natural": tmp_path / "absent"}
    status = list(survey_steps(steps(tmp_path / "workspace", corpora).config))
    assert "corpus must be a folder" in status[0].note


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
