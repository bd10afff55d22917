"""Images come, change and go: only what is theirs is made, and the fit knows the rest."""

import json
import shutil
import subprocess
import tarfile

import pyarrow.parquet as pq
import pytest
from workspaces.made_again import (
    AFTER_THE_FIT,
    FIDELITY,
    OPERATOR,
    REPORT,
    SELECTION,
    SUMMARY,
    run_again,
)

import tasks.fit.measure
from flows.backfill import backfill
from tasks.io.errors import CorpusError

NEW_TO_ENHANCE = {
    "datasets/reference/index",
    "datasets/tiny/index",
    "datasets/tiny/matches/*",  # the reference's index is another one
    FIDELITY,
    SUMMARY,
    REPORT,
}
REFITTED = {
    "datasets/natural/index",
    "datasets/tiny.source/index",
    SELECTION,
    OPERATOR,
    *AFTER_THE_FIT,
}


def of_shard(shard, *data_sets):
    made = {f"datasets/{name}/{shard}" for name in data_sets}
    return made | {f"enhanced/*/{shard}", f"metrics/*/{shard}"}


@pytest.fixture
def encoded(monkeypatch):
    """The pictures that are loaded to be measured, as data set and key."""
    seen, load = [], tasks.fit.measure.load_pictures

    def watched(store, members, *rest):
        seen.extend((member.file.split("/")[1], member.key) for member in members)
        return load(store, members, *rest)

    monkeypatch.setattr(tasks.fit.measure, "load_pictures", watched)
    return seen


def test_images_that_come_in_two_times_make_shards_of_their_own_each_time(complete, draw, encoded):
    def first(project):
        for number in range(4):
            draw(project.folder / f"reference/a/{number}-new.png", 200 + number)

    redone = run_again(complete, first)
    assert redone.made == redone.expected(
        NEW_TO_ENHANCE
        | of_shard("shard-000003", "reference", "tiny")
        | of_shard("shard-000004", "reference", "tiny")
    )

    def second(project):
        draw(project.folder / "reference/aa.png", 300)
        draw(project.folder / "reference/a/2.png", 301)  # one that was there

    redone = run_again(complete, second)
    assert redone.made == redone.expected(
        NEW_TO_ENHANCE
        | of_shard("shard-000005", "reference", "tiny")
        | of_shard("shard-000000", "reference", "tiny")
    )
    assert encoded == []
    complete.vouch()


def test_a_new_image_to_fit_on_is_measured_and_no_other(complete, draw, encoded):
    redone = run_again(complete, lambda project: draw(project.folder / "natural/00.png", 200))
    assert redone.made == redone.expected(
        REFITTED | {"datasets/*/shard-000002", "moments/*/shard-000002"}
    ) - redone.expected({"datasets/reference/*", "datasets/tiny/*"})
    assert encoded == [("tiny.source", "00"), ("natural", "00")]


def test_a_new_image_that_the_fit_does_not_choose_changes_no_operator(project, draw):
    backfill(project.configure(fit={"images": 2}))
    (operator,) = (project.workspace / "operators/tiny").iterdir()
    (selection,) = (project.workspace / "moments/tiny").glob("selection-*.json")
    chosen = json.loads(selection.read_bytes())
    redone = run_again(
        project, lambda _: draw(project.folder / "natural/4.png", 210), fit={"images": 2}
    )
    assert json.loads(selection.read_bytes()) == chosen
    assert (operator,) == tuple((project.workspace / "operators/tiny").iterdir())
    assert redone.made == redone.expected(
        {"datasets/natural/shard-000002", "datasets/natural/index", SELECTION, REPORT}
    )


def test_an_image_that_leaves_the_fit_is_subtracted_without_looking_at_any_other(complete, encoded):
    redone = run_again(complete, lambda project: (project.folder / "natural/1.png").unlink())
    assert redone.made == redone.expected(
        REFITTED
        | {"datasets/natural/shard-000000", "datasets/tiny.source/shard-000000"}
        | {"moments/natural/*/shard-000000", "moments/tiny.source/*/shard-000000"}
    )
    assert encoded == []


def test_a_changed_image_of_the_fit_is_encoded_and_no_other(complete, draw, encoded):
    run_again(complete, lambda project: draw(project.folder / "natural/1.png", 77))
    assert encoded == [("tiny.source", "1"), ("natural", "1")]


def test_a_fit_after_changes_is_the_fit_from_scratch(complete, draw, tmp_path):
    def change(project):
        (project.folder / "natural/3.png").unlink()
        draw(project.folder / "natural/0.png", 78)

    run_again(complete, change)
    again = complete.configure(workspace=str(tmp_path / "scratch"))
    backfill(again)
    (scratch,) = (tmp_path / "scratch").glob("operators/tiny/*.safetensors")
    grown = complete.workspace / "operators/tiny" / scratch.name
    assert grown.read_bytes() == scratch.read_bytes()


PLAIN, LIBRARY = "plain tar", "webdataset"


def write_tar(path, images, maker):
    """A tar as others make them: with `tar` over a folder, or by webdataset's writer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if maker == PLAIN:
        folder = path.with_suffix("")
        for name, data in images.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        subprocess.run(["tar", "-cf", path, "-C", folder, "."], check=True)
        return
    import webdataset

    with webdataset.TarWriter(str(path)) as writer:
        for name, data in images.items():
            key, _, ending = name.rpartition(".")
            writer.write({"__key__": key, ending: data})


@pytest.fixture
def tars(project):
    """The project with its photographs in tars: natural ones by `tar`, others by webdataset."""
    pictures = sorted((project.folder / "reference").rglob("*.png"))
    for number in range(2):
        images = {}
        for path in pictures[number::2]:  # keys of the tars lie over one another
            key = path.relative_to(project.folder / "reference").with_suffix("").as_posix()
            images[f"{key}.png"] = path.read_bytes()
            images[f"{key}.json"] = json.dumps({"caption": key}).encode()
        write_tar(project.folder / f"tars/{number:03d}.tar", images, LIBRARY)
    images = {path.name: path.read_bytes() for path in (project.folder / "natural").iterdir()}
    write_tar(project.folder / "natural.tar", images, PLAIN)

    def configure(last=1, **sections):
        corpora = {
            "natural": {"path": "natural.tar"},
            "reference": {"path": f"tars/{{000..{last:03d}}}.tar"},
        }
        return {"corpora": corpora, **sections}

    return configure


def rows(project, name="reference"):
    return pq.read_table(project.workspace / f"datasets/{name}/index.parquet").to_pylist()


@pytest.mark.filterwarnings("ignore")  # webdataset's own
def test_foreign_tars_go_the_whole_way_and_a_further_one_makes_one_further_shard(
    project, tars, draw
):
    backfill(project.configure(**tars()))
    keys = {path.stem for path in (project.folder / "reference").rglob("*.png")}
    assert {row["key"].rpartition("/")[2] for row in rows(project)} == keys
    (enhanced,) = project.workspace.glob("enhanced/tiny/*/alpha=+0.00/shard-000001.tar")
    with tarfile.open(enhanced) as archive:
        known = [archive.extractfile(n).read() for n in archive.getnames() if n.endswith(".json")]
    assert [json.loads(side)["caption"] for side in known] == ["a/1", "a/3", "b/5", "b/7"]
    draw(project.folder / "new.png", 99)
    image = (project.folder / "new.png").read_bytes()
    write_tar(project.folder / "tars/002.tar", {"a/11.png": image}, LIBRARY)
    redone = run_again(project, lambda _: None, **tars(last=2))
    assert redone.made == redone.expected(
        NEW_TO_ENHANCE | of_shard("shard-000002", "reference", "tiny")
    )


@pytest.mark.filterwarnings("ignore")  # webdataset's own
def test_a_tar_that_is_cut_short_is_a_row_and_the_run_goes_on(project, tars):
    path = project.folder / "tars/001.tar"
    config = project.configure(**tars(shards={"max_bad_fraction": 0.2}))
    with tarfile.open(path) as archive:
        last = [info for info in archive if info.name.endswith(".png")][-1]
    path.write_bytes(path.read_bytes()[: last.offset_data + 100])
    reports, _ = backfill(config)
    (bad,) = (row for row in rows(project) if row["status"] == "refused")
    assert (bad["key"], bad["source"], bad["shard"]) == ("001", "001.tar", "shard-000001")
    assert bad["reason"].startswith("tar damaged after ")
    assert {r.step: dict(r.refused) for r in reports}["shard reference"]
    summary = pq.read_table(next(project.workspace.glob("reports/*/*/fidelity.parquet")))
    assert set(summary["images"].to_pylist()) == {7}


@pytest.mark.filterwarnings("ignore")  # webdataset's own
def test_one_key_in_two_tars_is_told_with_both(project, tars):
    shutil.copy(project.folder / "tars/000.tar", project.folder / "tars/002.tar")
    with pytest.raises(
        CorpusError,
        match=r"keys must differ over all tars of reference, got 'a/0' in 000\.tar and 002\.tar",
    ):
        backfill(project.configure(**tars(last=2)))
