"""Two runs side by side."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.io.artifacts.metric_registry import ranked_metrics
from tasks.io.errors import StepMissing
from tasks.io.workspace import Signal
from tasks.report.comparison.compare import compare, comparison_page, paired_differences
from tasks.report.comparison.runs import Side


@pytest.fixture(scope="module")
def other(tmp_path_factory, steps, photographs):
    """A run over the same photographs in other shards, with one alpha in common."""
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    run = steps(
        tmp_path_factory.mktemp("other"),
        corpora,
        enhance={"alphas": [0, 0.25]},
        fit={"ridge": 0.5},
        shards={"images": 5},
    )
    run.run()
    return run


@pytest.fixture(scope="module")
def sides(finished, other):
    return Side.of(finished.config, "A"), Side.of(other.config, "B")


def psnrs(run):
    folder = run.workspace.store.local(f"metrics/run/{run.operator}/alpha+0.00")
    rows = [row for path in folder.glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    return {row["key"]: row["psnr"] for row in rows}


def test_differences_are_of_equal_images_whatever_their_shards(sides, finished, other):
    psnr = ranked_metrics()[0]
    found = paired_differences(*sides, Signal("enhanced", 0.0))[psnr]
    before, after = psnrs(finished), psnrs(other)
    changes = [after[key] - before[key] for key in before]
    assert (found.value, found.images) == (pytest.approx(np.mean(changes)), 8)
    assert found.error == pytest.approx(np.std(changes) / np.sqrt(8))


def test_a_comparison_has_both_results_and_the_options_that_differ(sides):
    found = compare(*sides)
    assert [line[0].text for line in found["paired"].lines] == ["alpha 0", "input"]
    labels = [line[0].text for line in found["both"].lines]
    assert labels[:3] == ["alpha 0, A", "alpha 0, B", "alpha 0.5, A"]
    options = {fact.name: fact.value for fact in found["options"]}
    assert options["fit.ridge"].endswith("→ 0.5")
    assert "name" not in options
    page = comparison_page(found)
    assert "Differences are over 8 images that both have" in page
    assert page.count("<script") == 0


def test_it_is_said_where_differences_are_over_more_images_than_the_means(sides):
    said = "They include images of the fit, which the means of a run leave out."
    assert said not in compare(*sides)["sentences"]
    share = {"measured": 100, "fitted": 0, "left_out": 8}
    overlap = json.dumps({"scored": share, "featured": share})
    first, second = sides
    second = second._replace(facts=second.facts | {"overlap": overlap})
    assert said in compare(first, second)["sentences"]


def test_a_run_that_is_not_evaluated_is_told_with_the_command(steps, photographs, tmp_path):
    run = steps(tmp_path / "workspace", photographs)
    run.shard()
    run.fit()
    with pytest.raises(StepMissing, match="A must have been evaluated to be compared"):
        Side.of(run.config, "A")
