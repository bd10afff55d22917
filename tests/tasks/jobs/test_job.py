"""What tasks are told and what they report."""

import pytest
import torch

from tasks.io.draws import generator_of
from tasks.io.ledger import Record, Survey
from tasks.jobs import Outcome, aim, count_reasons
from tasks.jobs.progress import advance, reporting_to
from tasks.shard.corpus import list_files
from tasks.shard.shard import ShardJob


def test_a_target_made_from_the_same_inputs_is_no_target():
    mark = aim(Survey([]), "x", "select", {"a": 1}).fingerprint
    survey = Survey([Record("x", mark, "d"), Record("z", "old", "e")])
    assert aim(survey, "x", "select", {"a": 1}) is None
    target = aim(survey, "x", "select", {"a": 2})
    assert (target.artifact, target.inputs, target.replaces) == ("x", {"a": 2}, True)
    assert not aim(survey, "y", "select", {"a": 2}).replaces


def test_a_target_keeps_long_inputs_as_digests():
    target = aim(Survey([]), "x", "select", {"keys": ["k"] * 1000, "seed": 1})
    assert set(target.inputs["keys"]) == {"digest"}
    assert target.inputs["seed"] == 1


def test_randomness_belongs_to_purpose_seed_and_key():
    def draw(*names):
        return torch.rand(3, generator=generator_of(*names)).tolist()

    draws = [draw("p", 0, "a"), draw("q", 0, "a"), draw("p", 1, "a"), draw("p", 0, "b")]
    assert draw("p", 0, "a") == draws[0]
    assert len({tuple(values) for values in draws}) == 4


def test_reasons_are_counted_by_the_text_before_the_colon():
    reasons = ["damaged: a", "empty file", "damaged: b"]
    assert count_reasons(reasons) == {"damaged": 2, "empty file": 1}


def test_a_job_goes_through_json_and_comes_back(finished):
    corpus = finished.config.corpora.restored
    job = ShardJob.model_validate(
        {
            "workspace": "w",
            "target": {"artifact": "a", "fingerprint": "f", "inputs": {"files": "d"}},
            "dataset": "restored",
            "shard": "shard-000000",
            "corpus": corpus,
            "limits": {"max_pixels": 64, "max_bytes": 64},
            "files": list(list_files(corpus, {})),
        }
    )
    assert ShardJob.model_validate_json(job.model_dump_json()) == job


@pytest.mark.parametrize("images", [1, 5])
def test_progress_reaches_whoever_listens_and_nobody_else(images):
    heard = []
    with reporting_to(heard.append):
        advance(images)
    advance(100)
    assert heard == [images]


def test_an_outcome_knows_no_other_fields():
    with pytest.raises(ValueError, match="refusd"):
        Outcome(images=1, refusd={})


def test_an_artifact_with_two_records_is_a_target_again():
    mark = aim(Survey([]), "x", "select", {"a": 1}).fingerprint
    target = aim(Survey([Record("x", mark, "d"), Record("x", "old", "e")]), "x", "select", {"a": 1})
    assert (target.fingerprint, target.replaces) == (mark, True)
