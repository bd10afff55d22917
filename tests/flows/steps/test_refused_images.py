"""The sum of what the steps of a run refused: each image once."""

import pytest

from flows.steps.reports import StepReport, refused_images
from tasks.config import Config
from tasks.jobs import Outcome, Subject


@pytest.fixture
def config():
    """One whose restored images are made from the reference."""
    tree = {
        "name": "mine",
        "workspace": "/workspace",
        "corpora": {"reference": {"path": "/reference"}},
        "degrade": [{"kind": "noise", "sigma": 0.1}],
        "restore": {"kind": "non-local-means"},
    }
    return Config.model_validate(tree)


def report(step, *refused):
    made = StepReport(step)
    for dataset, by_kind in refused:
        made.count(Outcome(images=9, refused=by_kind), Subject(dataset, "shard-000000"))
    return made


def test_one_damaged_image_counts_once_over_all_steps(config):
    steps = [
        report("shard reference", ("reference", {})),
        report("restore mine", ("mine", {"damaged": 1})),
        report("measure latent patches", ("mine", {}), ("reference", {"damaged": 1})),
        report("features of reference", ("reference", {"damaged": 1})),
    ]
    assert refused_images(config, steps) == {"damaged": 1}


def test_what_was_refused_when_files_were_taken_in_is_added(config):
    steps = [
        report("shard reference", ("reference", {"damaged": 1, "empty file": 2})),
        report("restore mine", ("mine", {"damaged": 1})),
    ]
    assert refused_images(config, steps) == {"damaged": 2, "empty file": 2}
