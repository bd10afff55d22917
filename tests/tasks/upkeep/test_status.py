"""What is done, missing, out of date and failed, read from the ledger alone."""

import shutil
from concurrent.futures import CancelledError

import pytest
from PIL import Image

from tasks.fit.select import plan_selection
from tasks.io.errors import TooManyBadImages
from tasks.io.ledger import VERSIONS, versions
from tasks.jobs import note_failure, settle
from tasks.pipeline import steps_of
from tasks.shard.index import plan_index, write_index
from tasks.shard.shard import plan_shards, write_corpus_shard
from tasks.upkeep.status import status_of_steps

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
    return {step.name: step for step in status_of_steps(run.config)}


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


MEASURED, SOLVED, ENHANCED = "measure latent patches", "solve the operator", "enhance run"
AFTER = {"fidelity", "summarise", "report"}


@pytest.mark.parametrize(
    ("kind", "open_steps", "unsure"),
    [
        ("degradation", set(), set()),  # of images that this run did not make
        ("pixels", {MEASURED}, {SOLVED, ENHANCED, *AFTER}),
        ("codec", {MEASURED}, {SOLVED, ENHANCED, *AFTER}),
        ("moments", {MEASURED}, {SOLVED, ENHANCED, *AFTER}),
        ("operator", {SOLVED}, {ENHANCED, *AFTER}),
        ("transport", {ENHANCED}, AFTER),
        ("distortion", {ENHANCED}, AFTER),
        ("perception", {ENHANCED}, AFTER),
        ("class sums", {ENHANCED, "fidelity"}, AFTER - {"fidelity"}),
        ("gelbrich", {"fidelity"}, AFTER - {"fidelity"}),
        ("fidelity", {"fidelity"}, AFTER - {"fidelity"}),
    ],
)
def test_other_numbers_open_just_the_steps_that_compute_them(
    finished, monkeypatch, kind, open_steps, unsure
):
    monkeypatch.setattr(versions, "VERSIONS", {**VERSIONS, kind: VERSIONS[kind] + 1})
    status = status_of(finished)
    assert {name for name, step in status.items() if step.stale or step.missing} == open_steps
    assert {name for name, step in status.items() if step.doubtful or step.waits} == unsure
    told = {reason for step in status.values() for reason in step.reasons}
    assert told <= {f"this software's numbers of kind {kind} changed"}


def test_before_anything_is_done_later_steps_wait_for_earlier_ones(started):
    status = status_of(started)
    assert [status[f"shard {name}"].missing for name in ("reference", "run")] == [3, 3]
    waiting = [step.note for step in status.values() if not step.name.startswith("shard ")]
    assert set(waiting) == {"waits for an earlier step"}


def test_looking_changes_nothing(started):
    list(status_of_steps(started.config))
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
    status = list(status_of_steps(steps(tmp_path / "workspace", corpora).config))
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


def test_a_record_that_cannot_be_read_is_no_change_of_every_input(tmp_path, steps, photographs):
    corpora = {"restored": photographs["restored"], "natural": photographs["natural"]}
    run = steps(tmp_path / "workspace", corpora)
    run.shard()
    new, ledger = changed(run, shards={"max_bytes": 10_000_000}), run.workspace.ledger
    for record in ledger.survey("datasets/run").all():
        if record.artifact != "datasets/run/index":
            run.workspace.store.write(record.path, b"{")
    assert status_of(new)["shard run"].reasons == {"its record cannot be read": 3}
    run.workspace.store.write(ledger.records("datasets/run/index")[0].path, b"{")
    assert "must be a record, but is no JSON" in status_of(new)["shard run"].note


def test_a_failure_of_what_all_wait_for_is_shown(tmp_path, steps, pixels, write_images):
    images = {"a.png": pixels(0), "b.png": b"no image"}
    folder = write_images(tmp_path / "images", images)
    run = steps(tmp_path / "workspace", {"restored": folder, "natural": folder})
    corpus = run.config.corpora.restored
    units = list(plan_shards(run.opened, corpus, "run"))
    for unit in units:
        write_corpus_shard(unit.job)
    made = {unit.unit: unit.fingerprint for unit in units}
    job = plan_index(run.opened, "run", made)
    with pytest.raises(TooManyBadImages):
        settle(job, write_index)
    found = status_of(run)["shard run"]
    assert (found.failed, found.done) == (1, 1)
    assert [told for told in found.failures if told.startswith("TooManyBadImages: ")]


def test_work_that_was_cancelled_has_not_failed(started):
    def cancelled(job):
        raise CancelledError

    started.shard()
    _, job = plan_selection(started.opened)
    with pytest.raises(CancelledError):
        settle(job, cancelled)
    assert started.workspace.ledger.failures("") == {}


def test_a_failure_is_shown_until_the_shard_is_made(tmp_path, steps, pixels, write_images):
    folder = write_images(tmp_path / "images", {f"{i}.png": pixels(i) for i in range(4)})
    run = steps(tmp_path / "workspace", {"restored": folder, "natural": folder})
    (step,) = (s for s in steps_of(run.opened) if s.name == "shard run")
    unit = next(iter(step.plan()))
    note_failure(unit.job, ValueError("no luck"), "here.py:1")
    found = status_of(run)["shard run"]
    assert (found.failed, found.missing) == (1, 1)
    assert found.failures == {"ValueError: no luck": 1}
    run.shard()
    found = status_of(run)["shard run"]
    assert (found.failed, found.missing, found.done) == (0, 0, 2)


def test_looking_at_a_bucket_again_fetches_no_index_again(
    tmp_path, steps, pixels, write_images, bucket, proxy
):
    images = {f"{i}.png": pixels(i) for i in range(4)}
    corpora = {role: write_images(tmp_path / role, images) for role in ("restored", "natural")}
    run = steps(f"{bucket.url}/workspace", corpora)
    run.shard()

    def fetched():
        paths = [r.path.partition("?")[0] for r in proxy.requests if r.method == "GET"]
        proxy.requests.clear()
        return sorted(path.split("/")[-2] for path in paths if path.endswith("/index.parquet"))

    fetched()
    assert status_of(run)["shard run"].done == 2
    assert fetched() == ["natural", "run"]
    run.select()
    assert status_of(run)["shard run"].done == 2
    assert fetched() == []


def test_steps_that_stand_on_something_open_are_told_to_be_as_they_are_before_it(finished):
    status = status_of(changed(finished, shards={"max_bytes": 10_000_000}))
    assert status["shard run"].note == ""
    assert status["measure latent patches"].note == "as it is before 'shard reference' is done"
    for name, units in STEPS.items():
        if not name.startswith("shard") and name != "report":  # which is out of date itself
            assert (status[name].done, status[name].doubtful) == (0, units), name


def test_what_no_open_step_goes_into_stays_done(tmp_path, steps, photographs, pixels, write_images):
    natural = write_images(tmp_path / "natural", {f"{i}.png": pixels(i + 50) for i in range(3)})
    reference = shutil.copytree(photographs["natural"], tmp_path / "reference")
    corpora = {
        "restored": photographs["restored"],
        "natural": natural,
        "reference": reference,
    }
    run = steps(tmp_path / "workspace", corpora)
    run.shard()
    run.fit()
    write_images(reference, {"a/new.png": pixels(99)})  # more ground truth: the fit has none of it
    status = status_of(run)
    assert status["shard reference"].missing == 1
    assert (status["shard run"].done, status["shard natural"].done) == (3, 1)
    for name in ("choose images", "measure latent patches", "solve the operator"):
        assert (status[name].doubtful, status[name].note) == (0, ""), name
        assert status[name].done > 0
    write_images(natural, {"3.png": pixels(53)})
    status = status_of(run)
    assert (status["solve the operator"].done, status["solve the operator"].doubtful) == (0, 1)


def test_images_are_counted_too(finished, started):
    status = status_of(finished)
    assert (status["shard run"].images, status["shard run"].images_to_do) == (8, 0)
    assert (status["enhance run"].images, status["enhance run"].images_to_do) == (8, 0)
    assert status["report"].images == 0
    status = status_of(started)
    assert (status["shard run"].images, status["shard run"].images_to_do) == (8, 8)
    assert status["enhance run"].waits
    assert status["report"].done == 0 or "before 'shard reference'" in status["report"].note
