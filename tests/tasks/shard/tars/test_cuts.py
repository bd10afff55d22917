"""Which tars are cut: large ones, once, and again only when they have changed."""

import io
import os
import tarfile
from concurrent.futures import CancelledError
from itertools import chain

import pytest
from PIL import Image
from tars import odd_tars

from tasks.io.errors import CorpusError, StepMissing
from tasks.io.workspace import dataset_folder
from tasks.jobs.progress import reporting_to
from tasks.pipeline import is_finished, steps_of
from tasks.shard.shard import plan_shards, write_corpus_shard
from tasks.shard.tars.scan import plan_scans, write_scan
from tasks.upkeep.forget import forget
from tasks.upkeep.status import status_of_steps


def tar_of(pixels, numbers):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for number in numbers:
            image = io.BytesIO()
            Image.fromarray(pixels(number)).save(image, "PNG")
            info = tarfile.TarInfo(f"{number:03d}.png")
            info.size = image.tell()
            image.seek(0)
            archive.addfile(info, image)
    return out.getvalue()


@pytest.fixture
def run(tmp_path, steps, write_images, pixels):
    """Opens a run over these tars with some options; those above 15 kB are large."""
    write_images(tmp_path / "natural", {"n.png": pixels(1000)})
    (tmp_path / "in").mkdir()

    def opened(tars=(), **options):
        for name, numbers in dict(tars).items():
            (tmp_path / "in" / f"{name}.tar").write_bytes(tar_of(pixels, numbers))
        corpora = {"restored": f"{tmp_path}/in/*.tar", "natural": tmp_path / "natural"}
        shards = {"images": 3, "cut_tars_above": 15_000, "max_bad_fraction": 0.9} | options
        return steps(tmp_path / "workspace", corpora, shards=shards)

    return opened


def shards(run):
    """Names of the shards, each with its tar or part and its keys, from the index."""
    catalogue = run.workspace.catalogue("run")
    keys = {e.shard: catalogue.table(e, ["key"])["key"].to_pylist() for e in catalogue.shards}
    return {e.shard[-2:]: (e.tar, [int(key) for key in keys[e.shard]]) for e in catalogue.shards}


def records(run):
    return set(run.workspace.store.names("ledger"))


def planned(run):
    return list(plan_shards(run.opened, run.config.corpora.restored, "run"))


def scans(run):
    return list(plan_scans(run.opened, run.config.corpora.restored, "run"))


def test_a_large_tar_becomes_shards_of_as_many_images_and_a_small_one_stays_one(run):
    made = run({"a": range(2), "b": range(10, 18), "c": range(20, 23)})
    made.shard()
    assert shards(made) == {
        "00": ("a.tar", [0, 1]),
        "01": ("b.tar#0", [10, 11, 12]),
        "02": ("b.tar#1", [13, 14, 15]),
        "03": ("b.tar#2", [16, 17]),
        "04": ("c.tar", [20, 21, 22]),
    }
    assert [(unit.unit, unit.job) for unit in scans(made)] == [("b.tar", None)]


def test_nothing_of_tars_that_are_not_cut_depends_on_the_limit(run):
    uncut = run({"a": range(2), "b": range(10, 18)}, cut_tars_above=None)
    uncut.shard()
    before = records(uncut)
    assert "ledger/datasets/run/tars" not in "".join(before)
    assert {each: tar for each, (tar, _) in shards(uncut).items()} == {"00": "a.tar", "01": "b.tar"}
    limited = run(cut_tars_above=15_000)
    assert scans(limited) == []
    assert [unit.job for unit in planned(limited)] == [None, None]
    limited.shard()
    assert records(limited) == before


def test_a_tar_that_was_cut_stays_so_whatever_the_options(run):
    run({"b": range(8)}).shard()
    before = records(run())
    for options in ({"cut_tars_above": None}, {"images": 2}, {"cut_tars_above": 1_000_000}):
        other = run(**options)
        assert [unit.job for unit in planned(other)] == [None] * 3
        other.shard()
        assert records(other) == before


def test_a_finished_whole_tar_that_changes_is_cut_and_its_shard_retired(run):
    run({"b": range(8)}, cut_tars_above=None).shard()
    made = run({"b": range(1, 9)})
    made.shard()
    assert shards(made) == {
        "01": ("b.tar#0", [1, 2, 3]),
        "02": ("b.tar#1", [4, 5, 6]),
        "03": ("b.tar#2", [7, 8]),
    }
    folder = made.workspace.store.local(dataset_folder("run"))
    assert sorted(path.name for path in folder.glob("shard-*.tar")) == [
        f"shard-00000{number}.tar" for number in (1, 2, 3)
    ]


def test_before_its_scan_a_tar_has_no_shards_to_plan_and_the_status_says_that_they_wait(run):
    made = run({"b": range(8)})
    with pytest.raises(StepMissing, match=r"b\.tar must be scanned before it is cut"):
        planned(made)
    status = {step.name: step for step in status_of_steps(made.config)}
    assert (status["scan run"].missing, status["scan run"].images) == (1, 0)
    assert status["shard run"].waits
    made.shard()
    status = {step.name: step for step in status_of_steps(made.config)}
    assert (status["scan run"].done, status["shard run"].done) == (1, 3)
    assert status["shard run"].images == 8
    assert is_finished(made.config, "shard")


def test_more_at_the_end_of_a_tar_changes_only_what_is_made_of_its_end(run, pixels, tmp_path):
    made = run({"b": range(8)})
    made.shard()
    digests = {
        unit.unit: made.workspace.ledger.records(unit.artifacts[0]) for unit in planned(made)
    }
    with (tmp_path / "in" / "b.tar").open("ab") as tar:
        tar.write(tar_of(pixels, range(8, 14)))
    assert [unit.job is None for unit in scans(made)] == [False]
    made.shard()
    assert [numbers for _, numbers in shards(made).values()] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
        [9, 10, 11],
        [12, 13],
    ]
    for name in ("shard-000000", "shard-000001"):
        (now,) = made.workspace.ledger.records(f"datasets/run/{name}")
        assert now.digest == digests[name][0].digest


@pytest.mark.parametrize("options", [{"images": 2}, {"images": 50}, {"cut_tars_above": 3000}])
def test_other_sizes_leave_the_parts_of_a_tar_as_they_are_when_it_is_touched_or_grows(
    run, pixels, tmp_path, options
):
    made = run({"b": range(8)})
    made.shard()
    tar = tmp_path / "in" / "b.tar"
    digests = digests_of(made)
    os.utime(tar, ns=(1, 1))
    touched = run(**options)
    assert [unit.job is None for unit in scans(touched)] == [False]
    touched.shard()
    assert digests_of(touched) == digests
    with tar.open("ab") as stream:
        stream.write(tar_of(pixels, range(8, 20)))
    touched.shard()
    numbers = [numbers for _, numbers in shards(touched).values()]
    assert numbers[:2] == [[0, 1, 2], [3, 4, 5]]
    assert sorted(chain.from_iterable(numbers)) == [*range(20)]
    assert list(digests_of(touched).items())[:2] == list(digests.items())[:2]


def test_former_cuts_are_kept_where_a_scan_was_killed_before_its_record(run):
    made = run({"b": range(8)})
    made.shard()
    ledger = made.workspace.ledger
    ledger.withdraw(ledger.records(scans(made)[0].artifacts[0]))
    before = digests_of(made)
    smaller = run(images=2)
    (scan,) = scans(smaller)
    write_scan(scan.job)
    assert [unit.job for unit in planned(smaller)] == [None] * 3
    assert digests_of(smaller) == before


def test_a_tar_that_is_replaced_by_another_is_cut_by_the_options_of_today(run, tmp_path):
    run({"b": range(8)}).shard()
    made = run({"b": [30, 31, *range(2, 18)]}, images=5)
    tar = tmp_path / "in" / "b.tar"  # in which all lies elsewhere now
    tar.write_bytes(odd_tars.tar_of([("x.npy", bytes(700))])[: 512 * 3] + tar.read_bytes())
    made.shard()
    sizes = [len(numbers) for _, numbers in shards(made).values()]
    assert sizes == [3, 5, 5, 5]


def digests_of(run):
    """Digests of the shards of the data set by their names, in order."""
    ledger = run.workspace.ledger
    names = run.workspace.catalogue("run").shards
    return {e.shard: ledger.records(f"datasets/run/{e.shard}")[0].digest for e in names}


def test_a_new_tar_leaves_others_and_their_shards_as_they_are(run):
    run({"b": range(8)}).shard()
    before = records(run())
    made = run({"a": range(20, 26)})
    made.shard()
    names = {name: tar for name, (tar, _) in shards(made).items()}
    assert names == {
        "00": "b.tar#0",
        "01": "b.tar#1",
        "02": "b.tar#2",
        "03": "a.tar#0",
        "04": "a.tar#1",
    }
    assert {path for path in before if "/index" not in path} <= records(made)


def test_a_key_that_two_parts_of_a_tar_hold_is_refused_once_and_two_tars_still_may_not(run, pixels):
    made = run({"b": [*range(8), 1]})
    made.shard()
    assert [numbers for _, numbers in shards(made).values()][-1] == [1, 6, 7]
    rows = made.workspace.catalogue("run")
    assert sum(entry.accepted for entry in rows.shards) == 8
    with pytest.raises(
        CorpusError, match=r"got '001' in (b\.tar#0 and c\.tar|c\.tar and b\.tar#0)"
    ):
        run({"c": [1]}).shard()


def interrupted(*_):
    raise KeyboardInterrupt


def test_a_scan_and_parts_that_were_cut_short_are_all_that_is_done_again(run, monkeypatch):
    made = run({"b": range(8)})
    (scan,) = scans(made)
    with monkeypatch.context() as patch:
        patch.setattr("tasks.shard.tars.scan.write_parts", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_scan(scan.job)
    assert scans(made)[0].job is not None
    write_scan(scan.job)
    assert scans(made)[0].job is None
    first, middle, last = planned(made)
    write_corpus_shard(middle.job)
    assert [unit.job is None for unit in planned(made)] == [False, True, False]
    assert [unit.unit for unit in planned(made)] == [first.unit, middle.unit, last.unit]
    made.shard()
    assert [tar for tar, _ in shards(made).values()] == ["b.tar#0", "b.tar#1", "b.tar#2"]


def test_a_scan_tells_how_far_it_is(run):
    made, told = run({"b": range(8)}), []
    (scan,) = scans(made)
    with reporting_to(lambda _: None, follower=told.append):
        write_scan(scan.job)
    assert told[0] == "0 % of b.tar"
    assert [int(each.split()[0]) for each in told] == sorted({int(e.split()[0]) for e in told})


@pytest.fixture
def without_images(run, tmp_path, monkeypatch):
    """A run over a large tar of members of other kinds alone, which asks at each if it is over."""
    monkeypatch.setattr("tasks.shard.tars.stops.PAUSE_S", 0)
    members = [(f"{number}.npy", bytes(300)) for number in range(50)]
    made = run()
    (tmp_path / "in" / "b.tar").write_bytes(odd_tars.tar_of(members))
    return made


def stopped_at(time):
    """A listener that stops the run at its so manyth question, and what it was asked."""
    asked = []

    def listener(images):
        asked.append(images)
        if len(asked) == time:
            raise CancelledError

    return listener, asked


def test_a_scan_ends_when_its_run_is_stopped_also_where_no_image_comes(without_images):
    (scan,) = scans(without_images)
    listener, asked = stopped_at(20)
    with reporting_to(listener), pytest.raises(CancelledError):
        write_scan(scan.job)
    assert asked == [0] * 20
    assert scans(without_images)[0].job is not None


@pytest.mark.parametrize("above", [15_000, None], ids=["part", "whole tar"])
def test_reading_ends_when_its_run_is_stopped_also_where_no_image_comes(without_images, run, above):
    made = run(cut_tars_above=above)
    for scan in scans(made):
        write_scan(scan.job)
    (unit,) = planned(made)
    listener, asked = stopped_at(20)
    with reporting_to(listener), pytest.raises(CancelledError):
        write_corpus_shard(unit.job)
    assert asked == [0] * 20


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_tar_that_changes_after_its_scan_stops_its_parts_with_what_to_do(run, when, monkeypatch):
    made = run({"b": range(8)})
    write_scan(scans(made)[0].job)
    part = planned(made)[1]
    path = made.config.corpora.restored.folder + "b.tar"

    def change(*_):
        os.truncate(path, 5000)

    if when == "before":
        change()
    else:
        monkeypatch.setattr("tasks.shard.tars.intake.advance", change)
    with pytest.raises(
        StepMissing, match=r"has changed \(from \d+ to 5000 bytes\); run again when"
    ):
        write_corpus_shard(part.job)
    assert made.workspace.ledger.records("datasets/run/shard-000001") == []


def test_a_part_whose_tar_is_cut_otherwise_by_now_is_not_made(run):
    made = run({"b": range(8)})
    (scan,) = scans(made)
    write_scan(scan.job)
    part = planned(made)[1]
    made.workspace.store.remove(f"{scan.job.target.artifact}.parquet")  # and so its cuts are lost
    write_scan(scan.job.model_copy(update={"samples": 2}))
    with pytest.raises(StepMissing, match="has scanned the tar again; run again"):
        write_corpus_shard(part.job)


def test_forgetting_an_image_of_a_large_tar_redoes_its_part_alone(run):
    made = run({"b": range(8)})
    made.shard()
    forgotten = forget([made.config], ["004"], made.workspace)
    assert forgotten.shards == {"run": ["shard-000001"]}
    assert [unit.job is None for unit in planned(made)] == [True, False, True]
    made.shard()
    assert [numbers for _, numbers in shards(made).values()] == [[0, 1, 2], [3, 5], [6, 7]]


def test_a_lost_index_costs_no_scan_and_no_shard(run):
    made = run({"a": range(2), "b": range(10, 18)})
    made.shard()
    for path in list(made.workspace.store.names("ledger/datasets/run")):
        if "/index@" in path:
            made.workspace.store.remove(path)
    assert [unit.job for unit in [*scans(made), *planned(made)]] == [None] * 5


def test_only_tars_have_a_step_that_scans(run):
    names = [step.name for step in steps_of(run({"a": [0]}).opened)]
    assert "scan run" in names
    assert "scan natural" not in names
