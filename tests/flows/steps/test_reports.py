"""What a step's report tells: rates, reasons, where the time went, and what failed."""

import pytest

from flows.steps import reports
from flows.steps.reports import (
    Failure,
    StepReport,
    leave_failures,
    leave_table,
    left_out_in_words,
    made_data_sets,
)
from tasks.io.errors import CorpusError
from tasks.jobs import Outcome


@pytest.fixture
def left(monkeypatch):
    """Collects the tables that are left, by key."""
    tables = {}

    def create(table, key, description):
        tables[key] = (table, description)

    monkeypatch.setattr(reports, "create_table_artifact", create)
    return tables


@pytest.fixture
def report():
    """Two shards of three made in ten seconds, on two devices."""
    found = StepReport("enhance faces", units=["a", "b", "c"], images=5)
    for device, refused in (("one", {"damaged": 1}), ("two", {"damaged": 1, "empty file": 2})):
        seconds = {"write": 2.0, "encode network": 6.5, "read": 0.0}
        found.count(Outcome(images=30, refused=refused, seconds=seconds, device=device))
    found.elapsed_s = 10.0
    return found


def test_a_step_is_told_with_its_rate_its_reasons_and_where_the_time_went(left, report):
    leave_table([report], "steps")
    (row,), description = left["steps"]
    assert description == "What each step found and did"
    assert row == {
        "step": "enhance faces",
        "shards": 3,
        "made": 2,
        "failed": 0,
        "images": 65,
        "refused": 4,
        "why": "2 × damaged, 2 × empty file",
        "seconds": 10.0,
        "images per second": "6",
        "devices": 2,
        "per device": "3",
        "where the time went": "encode network 13 s (76%), write 4 s (24%)",
    }


def test_every_device_is_told_with_its_rate(left, report):
    leave_table([report, StepReport("fidelity")], "steps")
    rows, _ = left["steps-devices"]
    assert rows == [
        {"step": "enhance faces", "device": name, "images": 30, "images per second": "3"}
        for name in ("one", "two")
    ]


def test_a_step_that_had_nothing_to_do_has_no_rate_and_no_devices(left):
    leave_table([StepReport("fidelity", units=["a"], images=5, elapsed_s=0.0)], "steps")
    (row,), _ = left["steps"]
    assert (row["images per second"], row["devices"], row["per device"]) == ("0", "", "")
    assert row["where the time went"] == ""
    assert left.keys() == {"steps"}


def test_failed_shards_are_listed_with_their_reasons(left, report):
    report.failures += [
        Failure("shard-000001", OSError("the disk is away"), "store.py:7"),
        Failure("shard-000002", CorpusError("x" * 5000), "corpus.py:9"),
    ]
    leave_failures(report)
    rows, description = left["enhance-faces-failures"]
    assert description == "enhance faces: 2 of 3 shards failed"
    assert rows[0] == {
        "shard": "shard-000001",
        "error": "OSError",
        "message": "the disk is away",
        "place": "store.py:7",
    }
    assert rows[1]["message"] == "x" * 1000


def test_a_long_list_of_failures_says_that_it_goes_on(left, report):
    report.units = [f"shard-{number:06d}" for number in range(300)]
    report.failures += [Failure(unit, OSError("away"), "store.py:7") for unit in report.units]
    leave_failures(report)
    rows, description = left["enhance-faces-failures"]
    assert len(rows) == 200
    assert description == ("enhance faces: 300 of 300 shards failed; these are the first 200")


def test_images_that_say_less_than_their_files_are_told():
    first, second = StepReport("shard a"), StepReport("shard b")
    assert left_out_in_words([first, second]) is None
    first.count(Outcome(images=3, remarks={"metadata_left_out": 1}))
    assert "of 1 image;" in left_out_in_words([first, second])
    second.count(Outcome(images=3, remarks={"metadata_left_out": 2}))
    assert "of 3 images;" in left_out_in_words([first, second])


def test_scans_are_told_as_tars_and_are_no_data_set():
    scan, shard = StepReport("scan run", units=["a.tar"], made=1), StepReport("shard run", made=0)
    assert scan.note == "1 of 1 tars made"
    assert made_data_sets([scan, shard]) == {}
    shard.made, shard.images, shard.units = 2, 5, ["shard-000000", "shard-000001"]
    assert made_data_sets([scan, shard])["run"]["images"] == 5
