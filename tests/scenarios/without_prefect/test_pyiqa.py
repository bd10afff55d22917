"""Metrics of pyiqa from the pass to the choice of an alpha, by a stand-in for the package."""

import json

import polars
import pytest
from workspaces import plain_pipeline as pipeline

from tasks.direct.compare import Scorer
from tasks.direct.scores import shown, write_scores
from tasks.enhance.signals import fetch_metric_weights
from tasks.evaluate.bounds import metric_named
from tasks.evaluate.summarise import summary_artifact, summary_facts
from tasks.io.errors import ConfigurationError
from tasks.io.images import Limits
from tasks.io.networks.features import judges
from tasks.report.choose import choose_alpha
from tasks.report.comparison.compare import compare
from tasks.report.comparison.runs import Side
from tasks.report.outcome import describe, read_results
from tasks.report.pictures.worst_and_best import find_extremes
from tasks.report.tables.results import results_text
from tasks.upkeep.check import require_ready
from tasks.view.query import PageAsked
from tasks.view.sheet import Sheet
from tasks.view.viewed import Viewed
from tests.support.standins.pyiqa_on_path import not_installed, standing_in

NAMES = ["brightness", "darkness+", "absolute"]
COLUMNS = [f"pyiqa_{name}" for name in NAMES]


@pytest.fixture(scope="module")
def pyiqa():
    with standing_in() as module:
        yield module


@pytest.fixture(scope="module")
def make(tmp_path_factory, pyiqa, steps, photographs):
    """Makes the steps of a run with these metrics, with or without a reference."""

    def made(names=NAMES, workspace=None, *, with_reference=True, **evaluate):
        corpora = {"restored": photographs["restored"]}
        corpora |= {"reference" if with_reference else "natural": photographs["natural"]}
        evaluate = {"pyiqa": names, "curve": {"step": 0.5, "networks": True}, **evaluate}
        place = workspace or tmp_path_factory.mktemp("workspace")
        return steps(place, corpora, evaluate=evaluate, enhance={"alphas": [0, 0.5]})

    return made


@pytest.fixture(scope="module")
def finished(make):
    """A finished run with its report; to read."""
    run = make()
    pipeline.run(run.config)
    run.report()
    return run


def rows_of(run):
    return {(row["signal"], row["alpha"]): row for row in run.report()}


def table(run, signal):
    folder = run.workspace.store.local(f"metrics/run/{run.operator}/{signal}")
    return polars.concat([polars.read_parquet(path) for path in sorted(folder.glob("*.parquet"))])


def test_each_image_has_the_metrics_and_the_data_set_their_means(finished):
    rows = rows_of(finished)
    for signal, folder in ((("enhanced", 0.5), "alpha+0.50"), (("input", None), "input")):
        images = table(finished, folder)
        assert images["pyiqa_brightness"].null_count() == 0
        added = images["pyiqa_brightness"] + images["pyiqa_darkness+"]
        assert added.to_list() == pytest.approx([1.0] * 8)
        for column in COLUMNS:
            assert rows[signal][column] == pytest.approx(images[column].mean())
            error = images[column].std(ddof=0) / 8**0.5
            assert rows[signal][f"{column}_error"] == pytest.approx(error)
    both = (
        table(finished, "alpha+0.50")["pyiqa_absolute"],
        table(finished, "input")["pyiqa_absolute"],
    )
    row = rows["enhanced", 0.5]
    assert row["pyiqa_absolute_change"] == pytest.approx((both[0] - both[1]).mean())
    assert row["pyiqa_absolute_change_images"] == 8
    assert rows["codec", None]["pyiqa_absolute"] == pytest.approx(0, abs=1e-6)
    assert rows["curve", 0.5]["pyiqa_brightness"] == pytest.approx(
        row["pyiqa_brightness"], abs=1e-3
    )


def test_every_form_of_the_report_has_them_with_what_pyiqa_says_is_better(finished):
    record = json.loads(read(finished, "run.json"))
    better = {column: record["columns"][column]["better"] for column in COLUMNS}
    assert better == dict(zip(COLUMNS, ("more", "less", "less"), strict=True))
    assert record["weights"]["pyiqa_brightness"] == {
        "judge": "pyiqa_brightness",
        "pyiqa": "0.0.0.standin",
    }
    assert set(COLUMNS) <= {each["metric"] for each in record["extremes"]["metrics"]}
    for form in ("report.html", "report.md"):
        text = read(finished, form)
        assert "pyiqa brightness ↑" in text
        assert text.index("SSIM ↑") < text.index("pyiqa absolute ↓") < text.index("Gelbrich ↓")
    assert "pyiqa 0.0.0.standin" in read(finished, "report.html")
    facts = summary_facts(finished.workspace, summary_artifact(finished.fitted))
    titles, _ = results_text(list(rows_of(finished).values()), facts)
    assert "pyiqa darkness+ ↓" in titles


def read(run, name):
    return run.workspace.store.read(f"reports/run/{run.operator}/{name}").decode()


def test_the_best_images_are_those_that_gained_most_as_pyiqa_counts(finished):
    ends = {end.metric: end for end in find_extremes(finished.fitted)}
    brighter, darker = ends["pyiqa_brightness"], ends["pyiqa_darkness+"]
    assert [each.key for each in brighter.best] == [each.key for each in darker.best]
    assert brighter.best[0].value == pytest.approx(-darker.best[0].value, abs=1e-6)  # float32


def test_alpha_can_be_chosen_by_them_also_where_pyiqa_is_not_installed(finished):
    with not_installed():
        results = read_results(finished.config)
    assert not any("fidelity table" in note for note in results.notes)  # it is that of the run
    name = metric_named("PYIQA_absolute", results.facts)
    choice = choose_alpha(results.rows, [], name, facts=results.facts)
    points = {
        row["alpha"]: row["pyiqa_absolute"]
        for row in results.rows
        if row["signal"] == "enhanced" or (row["signal"] == "curve" and row["alpha"] == 1)
    }
    assert choice.alpha == min(points, key=points.get)
    lines = describe(choice, results.titles, results.facts)
    assert lines[0].startswith(f"alpha {choice.alpha:g}: the best pyiqa absolute")
    with pytest.raises(
        ConfigurationError, match=r"best must be one of .*pyiqa_absolute.*got 'musiq'"
    ):
        metric_named("musiq", results.facts)


def test_the_sheet_of_the_view_sorts_by_them(finished):
    sheet = Sheet(Viewed.of(finished.config))
    columns = {column.name: column for column in sheet.columns()}
    assert columns["pyiqa_darkness+"].title == "pyiqa darkness+"
    assert (columns["pyiqa_darkness+"].better, columns["pyiqa_brightness"].better) == (
        "less",
        "more",
    )
    asked = {"question": {"at": "+0.50", "against": "input", "sort": "pyiqa_brightness_change"}}
    values = [
        row["pyiqa_brightness_change"]
        for row in sheet.page(PageAsked.parse(json.dumps(asked))).rows
    ]
    assert values == sorted(values)
    assert len(values) == 8


def test_two_runs_are_compared_by_those_that_both_have(finished, make):
    other = make(["absolute"])
    pipeline.run(other.config)
    sides = (Side.of(run.config, name) for run, name in ((finished, "a"), (other, "b")))
    assert [t for t in compare(*sides)["paired"].titles if "pyiqa" in t] == ["pyiqa absolute ↓"]


def test_a_metric_more_or_another_version_measures_the_written_images_again(
    make, tmp_path, pyiqa, monkeypatch
):
    run = make([], workspace=tmp_path)
    pipeline.run(run.config)
    more = make(["absolute"], workspace=tmp_path)
    jobs = more.enhancement_jobs()
    assert {len(job.enhanced) for job in jobs} == {0}
    pipeline.run(more.config)
    assert more.enhancement_jobs() == []
    monkeypatch.setattr(pyiqa, "__version__", "0.0.1.standin")
    judges._load_judge.cache_clear()  # a process has one version
    assert len(more.enhancement_jobs()) == len(jobs) == 3
    pipeline.run(more.config)
    facts = summary_facts(more.workspace, summary_artifact(more.fitted))
    assert "0.0.1.standin" in facts["pyiqa"]


def test_without_a_reference_those_that_need_none_are_measured_and_others_told(make):
    run = make(["brightness"], with_reference=False)
    rows = {(row["signal"], row["alpha"]): row for row in pipeline.run(run.config)}
    assert rows["enhanced", 0.0]["pyiqa_brightness"] is not None
    sentence = r"must need no reference where there is none, got 'absolute'"
    wrong = make(["brightness", "absolute"], workspace=run.config.workspace, with_reference=False)
    with pytest.raises(ConfigurationError, match=sentence):
        fetch_metric_weights(wrong.fitted)
    with pytest.raises(ConfigurationError, match=sentence):
        list(require_ready(make(["absolute"], with_reference=False).config))


def test_without_pyiqa_a_run_does_not_begin_and_its_gap_is_told(finished, make):
    with not_installed():
        for attempt in (
            lambda: list(require_ready(make(["musiq"]).config)),
            lambda: fetch_metric_weights(finished.fitted),
        ):
            with pytest.raises(ConfigurationError, match=r"`pip install pyiqa` .* licence"):
                attempt()


def test_a_metric_that_is_asked_for_since_is_told_by_the_choice(finished, make):
    wanted = make([*NAMES, "chance"], workspace=finished.config.workspace)
    (note,) = (n for n in read_results(wanted.config).notes if "fidelity table" in n)
    assert "`dotpipe evaluate` renews it" in note


def test_two_folders_are_compared_by_them(pyiqa, photographs, tmp_path):
    limits = Limits(max_pixels=1 << 20, max_bytes=1 << 20)
    scorer = Scorer(None, None, limits, judges=["pyiqa_absolute"], device="cpu")
    scores = list(scorer.scores(*(str(photographs[side]) for side in ("restored", "natural"))))
    titles, row, _ = shown(scores, scorer.names, None)
    values = [score.metrics["pyiqa_absolute"] for score in scores if score.metrics]
    assert row[titles.index("pyiqa absolute ↓")] == f"{sum(values) / 8:.3f}"
    write_scores(scores, tmp_path / "scores.parquet", scorer.names)
    written = polars.read_parquet(tmp_path / "scores.parquet")["pyiqa_absolute"]
    assert written.drop_nulls().to_list() == values


def test_a_metric_that_no_image_is_large_enough_for_is_a_gap(make):
    run = make(["large"], curve=None)
    rows = run.run()
    assert {row["pyiqa_large"] for row in rows} == {None}
    assert "pyiqa large is missing" in read(run, "report.md")
