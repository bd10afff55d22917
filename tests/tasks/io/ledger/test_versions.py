"""A fingerprint holds the versions of the numbers that its step computes, and of no others."""

import pytest

from tasks.io.ledger import VERSIONS, fingerprint, summarised, versions
from tasks.io.ledger.versions import NUMBERS_OF

MEASURED = {"measure", "measure level", "measure again"}
SOLVED = {"reduce", "reduce level"}

STEPS = {
    "pixels": {"train", "restore", "enhance", "latents", "score", "extract", *MEASURED},
    "degradation": {"train", "restore"},
    "training": {"train"},
    "codec": {"enhance", "latents", "score", *MEASURED},
    "moments": {"decide", "latents", "score", "fidelity", *MEASURED, *SOLVED},
    "operator": {"decide", *SOLVED},
    "transport": {"enhance", "latents", "score", "measure level", "measure again"},
    "distortion": {"score"},
    "perception": {"score", "extract"},
    "class sums": {"score", "fidelity"},
    "gelbrich": {"decide", "fidelity"},
    "fidelity": {"add up", "fidelity"},
}
"""The steps that are out of date when a version is raised."""


def test_every_version_is_of_some_step():
    assert VERSIONS.keys() == STEPS.keys()
    assert {kind for kinds in NUMBERS_OF.values() for kind in kinds} == VERSIONS.keys()


@pytest.mark.parametrize("kind", VERSIONS)
def test_a_version_changes_the_fingerprints_of_just_its_steps(kind, monkeypatch):
    before = {step: fingerprint(step, {"a": 1}) for step in NUMBERS_OF}
    monkeypatch.setattr(versions, "VERSIONS", {**VERSIONS, kind: VERSIONS[kind] + 1})
    assert {step for step in before if fingerprint(step, {"a": 1}) != before[step]} == STEPS[kind]


def test_a_step_must_say_what_it_computes():
    with pytest.raises(LookupError, match="a new step"):
        fingerprint("a new step", {})


def test_a_record_keeps_the_versions_of_its_step():
    assert summarised({"a": 1}, "reduce") == {"a": 1, "versions": {"moments": 2, "operator": 2}}
    assert summarised({"a": 1}, "match") == summarised({"a": 1}) == {"a": 1}
