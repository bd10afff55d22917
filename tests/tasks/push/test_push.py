"""Pushes: a finished run stands on the Hub after one commit, and no half of it ever does."""

import io
import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from servers.hub_server import hub_server

from tasks.io.errors import (
    AccessRefused,
    ArtifactDamaged,
    ConfigurationError,
    StepMissing,
    StoreRefused,
)
from tasks.io.hub import NotTaken
from tasks.io.ledger import Record
from tasks.push.contents import path_on_hub
from tasks.push.manifest import MANIFEST
from tasks.push.upload import send_files

SHARDS = ["shard-000000", "shard-000001", "shard-000002"]


@pytest.fixture
def faces(hub):
    """The repository on the Hub, once it is there."""

    class Later:
        def __getattr__(self, name):
            return getattr(hub.repositories["org/faces"], name)

    return Later()


def of_workspace(run, alphas=(0.0, 0.5, 1.0)):
    """What must be on the Hub, from the workspace's own files."""
    root, operator, found = Path(run.config.workspace), run.operator, {}
    for alpha in alphas:
        folder = root / f"enhanced/run/{operator}/alpha={alpha:+.2f}"
        found |= {f"enhanced/{folder.name}/{file.name}": file for file in folder.iterdir()}
    for file in (root / f"metrics/run/{operator}").rglob("*.parquet"):
        found[f"metrics/{file.relative_to(root / 'metrics/run' / operator).as_posix()}"] = file
    report = root / f"reports/run/{operator}"
    found |= {f"report/{n}": report / n for n in ("fidelity.parquet", "curve.png")}
    return {path: file.read_bytes() for path, file in found.items()}


def seen(repository):
    """What is on the Hub, without its own file, card and manifest."""
    return {
        path: data
        for path, data in repository.files.items()
        if path not in (".gitattributes", "README.md", MANIFEST)
    }


def test_shards_and_tables_stand_there_as_they_are_after_one_commit(own, push, faces):
    shards, commit = push(own)
    assert shards == [*SHARDS, "report"]
    assert seen(faces) == of_workspace(own)
    assert [each.title for each in faces.commits] == [
        "initial commit",
        "Push run at alpha 0, 0.5, 1",
    ]
    assert faces.commits[-1].sha == commit


def test_the_second_push_makes_no_commit_and_sends_nothing(own, push, plan, hub, faces):
    push(own)
    asked = len(hub.asked)
    assert push(own) == ([], None)
    assert plan(own).is_done
    assert len(faces.commits) == 2
    assert {each.method for each in hub.asked[asked:]} <= {"GET", "HEAD"}


def test_another_alpha_adds_its_folder_and_sends_nothing_else(own, push, hub, faces):
    push(own, 0.5)
    assert seen(faces) == of_workspace(own, [0.5])
    sent = hub.count("PUT /blobs")
    shards, _ = push(own, 0.0)
    assert shards == SHARDS
    assert seen(faces) == of_workspace(own, [0.0, 0.5])
    assert hub.count("PUT /blobs") - sent == 2 * len(SHARDS)  # tars and their indices
    assert faces.commits[-1].title == "Push run at alpha 0, 0.5"


def test_an_alpha_whose_folder_was_removed_there_does_not_come_back(own, push, faces):
    push(own, 0.0)
    folder = "enhanced/alpha=+0.00/"
    faces.edit(**{path: None for path in faces.files if path.startswith(folder)})
    push(own, 0.5)
    assert seen(faces) == of_workspace(own, [0.5])


def test_a_push_that_was_killed_leaves_nothing_visible_and_goes_on(own, plan, push, hub, faces):
    first, *_ = plan(own).units()
    send_files(first.job)
    assert list(faces.files) == [".gitattributes"]
    sent = hub.count("PUT /blobs")
    shards, _ = push(own)
    assert shards == [*SHARDS[1:], "report"]
    assert seen(faces) == of_workspace(own)
    blobs = {blob.sha256 for blob in faces.commits[-1].files.values() if blob.large}
    assert sent > 0
    assert hub.count("PUT /blobs") == len(blobs)  # each once, over both


def test_a_push_that_was_killed_before_its_commit_only_commits(own, plan, hub, faces):
    planned = plan(own)
    for unit in planned.units():
        send_files(unit.job)
    assert list(faces.files) == [".gitattributes"]
    sent, again = hub.count("PUT /blobs"), plan(own)
    assert [unit.job for unit in again.units()] == [None] * 4
    assert again.finish() == faces.commits[-1].sha
    assert seen(faces) == of_workspace(own)
    assert hub.count("PUT /blobs") == sent


def test_records_of_what_was_sent_go_with_the_commit(own, push):
    push(own)
    assert list(own.workspace.ledger.survey("pushes").all()) == []


def test_nothing_is_committed_that_was_not_sent(own, plan, faces):
    with pytest.raises(StepMissing, match=r"must have been sent, but was not; run `dotpipe push`"):
        plan(own).finish()
    assert len(faces.commits) == 1


def test_what_is_gone_from_the_run_is_removed_in_the_same_commit(
    changing, push, faces, finished, steps, photographs
):
    push(changing)
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    fewer = steps(changing.config.workspace, corpora, enhance={"alphas": [0, 0.5]})
    fewer.run()
    faces.edit(**{"enhanced/alpha=+1.00/notes.txt": b"of a person"})
    planned_commits = len(faces.commits)
    push(fewer)
    assert len(faces.commits) == planned_commits + 1
    kept = of_workspace(fewer, [0.0, 0.5])
    gone = [path for path in kept if path.startswith("metrics/alpha+1.00/")]
    assert len(gone) == len(SHARDS)  # the workspace keeps them until `dotpipe gc`
    expected = {path: data for path, data in kept.items() if path not in gone}
    assert seen(faces) == expected | {"enhanced/alpha=+1.00/notes.txt": b"of a person"}


def test_a_file_that_a_person_has_replaced_stays_when_the_run_has_none(
    changing, push, faces, steps, photographs
):
    push(changing)
    path = "enhanced/alpha=+1.00/shard-000000.tar"
    faces.edit(**{path: b"of a person"})
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    fewer = steps(changing.config.workspace, corpora, enhance={"alphas": [0, 0.5]})
    fewer.run()
    push(fewer)
    assert [p for p in faces.files if p.startswith("enhanced/alpha=+1.00/")] == [path]


@pytest.fixture
def edited(push, faces):
    """Puts a small file of a pushed run in another of the same size, as a person may."""

    def of(run):
        push(run)
        path = "enhanced/alpha=+1.00/shard-000000.idx"
        faces.edit(**{path: faces.files[path][:-1] + b"x"})
        return path

    return of


def test_a_small_file_that_a_person_has_edited_is_not_replaced(changing, edited, push, faces):
    path = edited(changing)
    data = faces.files[path]
    with pytest.raises(ConfigurationError, match=rf"must not be replaced, got {re.escape(path)}"):
        push(changing)
    assert faces.files[path] == data


def test_a_small_file_that_a_person_has_edited_is_not_removed(
    changing, edited, push, faces, steps, photographs
):
    path = edited(changing)
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    fewer = steps(changing.config.workspace, corpora, enhance={"alphas": [0, 0.5]})
    fewer.run()
    push(fewer)
    assert [p for p in faces.files if p.startswith("enhanced/alpha=+1.00/")] == [path]


def test_a_file_in_the_way_that_no_push_put_there_is_not_replaced(own, plan, push, hub, faces):
    plan(own)
    faces.edit(**{"report/curve.png": b"of a person"})
    with pytest.raises(
        ConfigurationError, match=r"no push put there must not be replaced, got rep"
    ):
        push(own)
    assert faces.files["report/curve.png"] == b"of a person"
    assert hub.count("PUT") == 0


def test_a_file_that_was_removed_there_comes_back(own, push, faces):
    push(own)
    faces.edit(**{"report/curve.png": None})
    shards, _ = push(own)
    assert shards == ["report"]
    assert seen(faces) == of_workspace(own)


def test_another_run_is_not_pushed_over_the_first(own, changing, push, faces):
    push(own, 0.5)
    with pytest.raises(ConfigurationError, match=r"faces must hold this run or nothing of another"):
        push(changing)
    assert len(faces.commits) == 2


def test_an_unfinished_run_is_not_pushed(tmp_path, steps, photographs, push, hub):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    run = steps(tmp_path / "w", corpora)
    for step in (lambda: None, run.shard, run.fit, run.enhance):
        step()
        with pytest.raises(StepMissing, match=r"run `dotpipe \w+ CONFIG` first"):
            push(run)
    assert hub.repositories == {}


def test_an_alpha_that_is_not_written_is_not_pushed(own, push):
    with pytest.raises(ConfigurationError, match=r"--alpha must be one of enhance.alphas, got 0.7"):
        push(own, 0.7)


def test_a_damaged_shard_is_not_shown(changing, push, faces):
    (tar,) = Path(changing.config.workspace).glob("enhanced/*/*/alpha=+0.50/shard-000001.tar")
    tar.write_bytes(tar.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactDamaged, match=r"shard-000001.tar must be as it was written"):
        push(changing)
    assert list(faces.files) == [".gitattributes"]


@pytest.mark.parametrize("there", [True, False])
def test_a_small_file_that_another_run_changes_after_it_was_sent_is_not_committed(
    changing, plan, faces, there
):
    planned = plan(changing)
    for unit in planned.units():
        send_files(unit.job)
    (index,) = Path(changing.config.workspace).glob("enhanced/*/*/alpha=+0.50/shard-000001.idx")
    data = index.read_bytes()
    index.unlink()
    if there:
        index.write_bytes(data[:-1] + b"x")  # of the same size
    with pytest.raises(StepMissing, match=r"shard-000001.idx must stay .* another run is changing"):
        planned.finish()
    assert list(faces.files) == [".gitattributes"]
    index.write_bytes(data)
    assert plan(changing).finish() == faces.commits[-1].sha
    assert seen(faces) == of_workspace(changing)


def test_what_another_run_withdraws_while_it_is_pushed_is_told(changing, plan, faces):
    planned = plan(changing)
    first, *_ = (unit.job for unit in planned.units())
    changing.workspace.ledger.withdraw([Record(*line) for line in first.lines])
    with pytest.raises(StepMissing, match=r"changing it; run `dotpipe push` again when that has"):
        send_files(first)


def test_what_one_hub_was_sent_is_not_taken_for_sent_to_another(
    changing, plan, push, hub, monkeypatch
):
    for unit in plan(changing).units():
        send_files(unit.job)
    with hub_server() as other:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", other.address)
        monkeypatch.setattr(
            "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
            f"{other.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
        )
        shards, _ = push(changing)
        assert shards == [*SHARDS, "report"]
        assert seen(other.repositories["org/faces"]) == of_workspace(changing)


def test_a_shard_that_is_not_there_is_told(changing, push, faces):
    for tar in Path(changing.config.workspace).glob("enhanced/*/*/alpha=+0.50/shard-000001.tar"):
        tar.unlink()
    with pytest.raises(
        ArtifactDamaged, match=r"shard-000001.tar must be there, but is not; run `dotpipe rep"
    ):
        push(changing)


def test_what_the_hub_has_thrown_away_is_sent_again_by_the_next_push(own, plan, push, faces):
    planned = plan(own)
    for unit in planned.units():
        send_files(unit.job)
    faces.blobs.clear()
    with pytest.raises(NotTaken, match="400"):
        planned.finish()
    shards, _ = push(own)
    assert shards == [*SHARDS, "report"]
    assert seen(faces) == of_workspace(own)


def test_a_commit_that_came_between_stops_the_push_and_the_next_sends_nothing(
    own, plan, push, hub, faces
):
    planned = plan(own)
    for unit in planned.units():
        send_files(unit.job)
    faces.edit(**{"notes.txt": b"of a person"})
    with pytest.raises(StoreRefused, match="has changed it meanwhile: run `dotpipe push` again"):
        planned.finish()
    sent = hub.count("PUT /blobs")
    assert push(own)[0] == []
    assert hub.count("PUT /blobs") == sent
    assert seen(faces) == {**of_workspace(own), "notes.txt": b"of a person"}


def test_a_push_goes_on_through_faults(own, push, hub, faces, impatient):
    faults = iter(["503", "429", "500", "lost"] * 6)
    hub.choose = lambda _: next(faults, None) if len(hub.asked) % 4 == 0 else None
    push(own)
    assert seen(faces) == of_workspace(own)
    assert len(faces.commits) == 2


def test_a_token_without_rights_is_told_before_a_repository_is_made(own, push, hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    with pytest.raises(AccessRefused, match="set HF_TOKEN to a token that may do this"):
        push(own)
    assert hub.repositories == {}


def test_nothing_that_is_shown_tells_where_it_lay(own, push, faces, photographs):
    push(own)
    folders = (own.config.workspace, str(photographs["restored"]), str(photographs["natural"]))
    for path, data in faces.files.items():
        assert not any(folder.encode() in data for folder in folders), path
        assert b"hf_of_the_tests" not in data, path
        if path.endswith(".parquet"):  # whose columns are compressed
            told = repr(pq.read_table(io.BytesIO(data)).to_pylist())
            assert not any(folder in told for folder in folders), path


def test_the_manifest_names_what_pushes_have_put_there(own, push, faces):
    push(own, 0.5)
    manifest = json.loads(faces.files[MANIFEST])
    listed = {path for each in manifest["artifacts"].values() for path in each["files"]}
    assert listed == set(seen(faces))
    assert re.fullmatch("[0-9a-f]{32}", manifest["run"])


def test_a_damaged_manifest_is_told(own, push, faces):
    push(own, 0.5)
    faces.edit(**{MANIFEST: b"{}"})
    with pytest.raises(
        ConfigurationError, match=r"push.json in hf://datasets/org/faces must be as"
    ):
        push(own)


def test_images_that_are_files_are_pushed_as_files(tmp_path, steps, photographs, push, faces):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    run = steps(tmp_path / "w", corpora, enhance={"outputs": "files", "alphas": [0.5]})
    run.run()
    push(run)
    images = [path for path in faces.files if path.startswith("enhanced/alpha=+0.50/images/")]
    assert len(images) == 8
    assert "enhanced/alpha=+0.50/images/a/0.webp" in images
    assert b'load_dataset("imagefolder"' in faces.files["README.md"]


@pytest.mark.usefixtures("squeezenet_weights")
def test_features_and_sums_stay_in_the_workspace(tmp_path, steps, larger, push, faces):
    options = {"features": "squeezenet"}
    run = steps(tmp_path / "w", larger, enhance={"alphas": [0.5]}, evaluate=options)
    run.run()
    push(run)
    kinds = {Path(p).suffix for p in seen(faces)}
    assert list(Path(run.config.workspace).glob("features/run/**/*.safetensors"))
    assert kinds == {".tar", ".idx", ".parquet", ".png"}
    assert {path.split("/")[0] for path in seen(faces)} == {"enhanced", "metrics", "report"}
    names = {Path(path).suffix for path in faces.files if path.startswith("metrics/")}
    assert names == {".parquet"}


@pytest.mark.parametrize("ending", ["safetensors", "classes.safetensors", "idx"])
def test_of_metrics_only_tables_go(ending):
    folder = "metrics/faces/05f54ddf719ad697/alpha+0.50"
    assert path_on_hub(f"{folder}/shard-000000.{ending}") is None
    assert (
        path_on_hub(f"{folder}/shard-000000.parquet") == "metrics/alpha+0.50/shard-000000.parquet"
    )
