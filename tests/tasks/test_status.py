"""What is done, missing, out of date and failed, read from the ledger alone."""

import pytest
from PIL import Image

from tasks.jobs import note_failure
from tasks.plan import steps_of
from tasks.status import survey_steps

STEPS = {
    "shard reference": 3,
    "shard run": 3,
    "choose images": 1,
    "measure latent patches": 6,
    "solve the operator": 1,
    "match the reference": 1,
    "enhance run": 3,
    "fidelity": 6,
    "summarise": 1,
    "report": 1,
}


def status_of(run):
    return {step.name: step for step in survey_steps(run.config)}


def changed(run, **sections):
    tree = run.config.model_dump()
    for name, section in sections.items():
        tree[name] = tree[name] | section
    return type(run)(type(run.config).model_validate(tree))


@pytest.fixture
def started(tmp_path, steps, photographs):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    return steps(tmp_path / "workspace", corpora)


def test_of_a_finished_run_nothing_is_missing(finished):
    status = status_of(finished)
    assert {name: step.done for name, step in status.items()} == STEPS
    for step in status.values():
        assert (step.missing, step.stale, step.failed, step.note) == (0, 0, 0, "")


def test_before_anything_is_done_later_steps_wait_for_earlier_ones(started):
    status = status_of(started)
    assert [status[f"shard {name}"].missing for name in ("reference", "run")] == [3, 3]
    waiting = [step.note for step in status.values() if not step.name.startswith("shard ")]
    assert set(waiting) == {"waits for an earlier step"}


def test_looking_changes_nothing(started):
    list(survey_steps(started.config))
    assert not started.workspace.store.exists("")


def test_a_changed_image_makes_its_shard_stale(tmp_path, steps, pixels, write_images):
    folder = write_images(tmp_path / "images", {f"{i}.png": pixels(i) for i in range(4)})
    run = steps(tmp_path / "workspace", {"restored": folder, "natural": folder})
    run.shard()
    Image.fromarray(pixels(9)).save(folder / "0.png")
    step = status_of(run)["shard run"]
    assert (step.done, step.missing, step.stale) == (1, 0, 1)
    assert step.reasons == {"the corpus's files changed": 1}


def test_a_corpus_that_is_not_there_is_a_note(tmp_path, steps, photographs):
    corpora = {"restored": photographs["restored"], "natural": tmp_path / "absent"}
    status = list(survey_steps(steps(tmp_path / "workspace", corpora).config))
    assert "corpus must be a folder" in status[0].note


@pytest.mark.parametrize(
    ("sections", "step", "reason"),
    [
        (
            {"enhance": {"decoding": "direct"}},
            "enhance run",
            "decoding (residual → direct) changed",
        ),
        ({"fit": {"ridge": 0.5}}, "solve the operator", "ridge (1e-05 → 0.5) changed"),
        ({"fit": {"images": 4}}, "choose images", "the number of images, or the images (1000 → 4)"),
        ({"shards": {"max_bytes": 10_000_000}}, "shard run", "shards.max_pixels or shards.max_by"),
        ({"evaluate": {"sample": 100}}, "fidelity", "sample (5000 → 100) changed"),
    ],
)
def test_what_is_out_of_date_says_which_option_changed(finished, sections, step, reason):
    found = status_of(changed(finished, **sections))[step]
    assert found.stale > 0
    assert found.stale + found.missing + found.done == STEPS[step]
    assert [told for told in found.reasons if told.startswith(reason)]


def test_an_alpha_that_is_new_makes_shards_incomplete_but_not_out_of_date(finished):
    found = status_of(changed(finished, enhance={"alphas": (0, 0.5, 1, 0.25)}))["enhance run"]
    assert (found.done, found.missing, found.stale) == (0, 3, 0)


def test_only_a_few_records_are_read_to_say_why(tmp_path, steps, pixels, write_images, monkeypatch):
    images = {f"{i}.png": pixels(i, 8, 8) for i in range(9)}
    folder = write_images(tmp_path / "images", images)
    corpora = {"restored": folder, "natural": folder}
    run = steps(tmp_path / "workspace", corpora, shards={"images": 1})
    run.shard()
    found = status_of(changed(run, shards={"max_bytes": 10_000_000}))["shard run"]
    assert (found.stale, found.asked) == (9, 5)
    assert list(found.reasons.values()) == [5]


def test_a_failure_is_shown_until_the_shard_is_made(tmp_path, steps, pixels, write_images):
    folder = write_images(tmp_path / "images", {f"{i}.png": pixels(i) for i in range(4)})
    run = steps(tmp_path / "workspace", {"restored": folder, "natural": folder})
    (step,) = (s for s in steps_of(run.config, run.workspace) if s.name == "shard run")
    unit = next(iter(step.plan()))
    note_failure(unit.job, ValueError("no luck"), "here.py:1")
    found = status_of(run)["shard run"]
    assert (found.failed, found.missing) == (1, 1)
    assert found.failures == {"ValueError: no luck": 1}
    run.shard()
    found = status_of(run)["shard run"]
    assert (found.failed, found.missing, found.done) == (0, 0, 2)
