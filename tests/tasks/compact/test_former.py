"""What operators of the past made of small shards goes with them, and is told before."""

import pytest

from tasks.compact.former import what_goes
from tasks.fit.operators import find_operator
from tasks.io.errors import StepMissing


def test_images_of_former_operators_are_told_before_they_go(tmp_path, grow):
    refitted = grow(tmp_path)  # on all images, so each night has an operator of its own
    folder = refitted.workspace.store.local("enhanced/run")
    (own,) = {find_operator(refitted.opened).name}
    former = sorted(path.name for path in folder.iterdir() if path.name != own)
    assert len(former) == 2
    (sentence,) = what_goes(refitted.config)
    assert sentence.startswith("6 enhanced image(s) of run go with its small shards, as no ")
    assert all(name in sentence for name in former)
    assert own not in sentence
    refitted.compact()
    assert [path.name for path in folder.iterdir() if any(path.rglob("*.tar"))] == [own]
    assert what_goes(refitted.config) == []


def test_nothing_goes_where_the_operator_stayed(tmp_path, grow):
    assert what_goes(grow(tmp_path, fit={"refit_beyond": 1e9}).config) == []


def test_what_goes_is_asked_of_finished_configurations_alone(tmp_path, grow, add_images):
    grown = grow(tmp_path)
    add_images(tmp_path, "gh")
    with pytest.raises(StepMissing, match="all of 'run' must be done before shards are merged"):
        what_goes(grown.config)
