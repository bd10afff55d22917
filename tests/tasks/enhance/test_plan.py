"""The plan of an enhancement: all shards or some, and no more of the ledger than that takes."""

import re

import pytest

from tasks.config import Run
from tasks.enhance.enhance import write_enhanced
from tasks.enhance.plan import plan_enhancement
from tasks.fit.operators import FittedRun, find_operator
from tasks.io.store import Store
from tasks.io.workspace import Workspace

LAST = ["shard-000010", "shard-000011"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, steps, pixels, write_images):
    """Twelve shards of one image each, of which the last is enhanced."""
    folder = tmp_path_factory.mktemp("fitted")
    images = write_images(folder / "images", {f"{i:02d}.png": pixels(i) for i in range(12)})
    corpora = {"restored": images, "reference": images}
    run = steps(folder / "workspace", corpora, shards={"images": 1})
    run.shard()
    run.fit()
    run.match()
    (*_, last) = plan(run)
    write_enhanced(last.job)
    return run


def plan(run, *, workspace=None, **options):
    """The units, against the ledger as it is now."""
    workspace = workspace or run.workspace
    operator = find_operator(Run(run.config, workspace))
    return list(
        plan_enhancement(FittedRun(run.config, workspace, operator), with_images=True, **options)
    )


def test_named_shards_are_planned_as_in_the_plan_of_all(fitted):
    whole = plan(fitted)
    assert [unit.unit for unit in whole] == [f"shard-{number:06d}" for number in range(12)]
    assert plan(fitted, shards=LAST) == whole[10:]
    assert plan(fitted, shards=["shard-000003"]) == whole[3:4]


def test_shards_that_are_done_have_no_job_whether_they_are_named_or_not(fitted):
    assert [unit.unit for unit in plan(fitted) if unit.job is None] == ["shard-000011"]
    assert [unit.job is None for unit in plan(fitted, shards=LAST)] == [False, True]


def test_named_shards_come_in_the_order_of_the_data_set_and_others_are_none(fitted):
    mixed = {"shard-000007", "shard-000002", "shard-999999"}
    assert [unit.unit for unit in plan(fitted, shards=mixed)] == ["shard-000002", "shard-000007"]
    assert plan(fitted, shards=[]) == []


def test_little_more_than_the_records_of_named_shards_is_listed(fitted, monkeypatch):
    operator = find_operator(fitted.opened)
    names, listed = Store.names, []

    def noted(store, *args):
        for name in names(store, *args):
            listed.append(name)
            yield name

    def shards_listed(**options):
        listed.clear()
        workspace = Workspace(fitted.config.workspace)
        list(
            plan_enhancement(
                FittedRun(fitted.config, workspace, operator), with_images=True, **options
            )
        )
        return {found for name in listed for found in re.findall(r"shard-\d{6}", name)}

    monkeypatch.setattr(Store, "names", noted)
    assert shards_listed(shards=LAST) == set(LAST)
    assert shards_listed(shards=["shard-000003"]) == {"shard-000003"}
    assert len(shards_listed()) == 12


def test_the_fingerprint_of_a_unit_is_that_of_its_images(fitted):
    digests = [unit.fingerprint for unit in plan(fitted)]
    assert len(set(digests)) == 12
    assert all(digests)
