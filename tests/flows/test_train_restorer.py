"""The flow that trains a restorer, and the command that runs it."""

import json

import pytest

from flows.backfill import backfill
from flows.shard_corpus import shard_corpus
from flows.train_restorer import train_restorer

TRAIN = {"steps": 4, "segment": 2, "batch": 2, "crop": 16, "width": 2, "validation": 1}
TRAINED = {"kind": "residual-transport", "train": TRAIN}


@pytest.fixture
def config(server, project):
    return project.configure(restore=TRAINED)


def test_a_training_leaves_its_course_on_the_dashboard(config, artifacts):
    shard_corpus(config)
    (report,) = train_restorer(config)
    assert (report.step, report.note) == ("train the restorer", "2 of 2 segments made")
    assert report.images == 8
    course = next(each for each in artifacts() if each["key"] == "training")
    lines = json.loads(course["data"])
    assert [line["steps"] for line in lines] == ["0 to 1", "2 to 3"]
    assert all(line["rate"] == "0.0005" for line in lines)
    (again,) = train_restorer(config)
    assert again.note == "nothing to do"


def test_the_whole_job_trains_before_it_restores(config):
    reports, _ = backfill(config)
    names = [report.step for report in reports]
    assert names.index("train the restorer") < names.index("restore tiny")
    assert all(report.made == len(report.units) for report in reports[:4])


def test_where_nothing_is_trained_the_flow_does_nothing_and_the_command_says_so(
    server, project, dotpipe
):
    assert train_restorer(project.configure()) == []
    code, _, err = dotpipe("train", project.file)
    assert code == 1
    assert "`dotpipe train` needs a restorer that is trained, got none" in err
