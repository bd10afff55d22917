"""Which measured images are those of the fit, and what the numbers leave out."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.evaluate import overlap
from tasks.evaluate.overlap import Share, overlap_of
from tasks.evaluate.summarise import read_summary, summary_artifact, summary_facts
from tasks.fit import fitted_images
from tasks.fit.fitted_images import Fit, fitted_keys
from tasks.fit.select import plan_selection, read_selection
from tasks.report.measured_images import gelbrich_in_words, measured_in_words


@pytest.mark.parametrize(
    ("images", "fitted", "fewest", "share"),
    [
        (500, 0, 100, (500, 0, 0)),
        (500, 400, 100, (100, 0, 400)),
        (500, 401, 100, (500, 401, 0)),
        (500, 400, None, (500, 400, 0)),
    ],
)
def test_images_of_the_fit_are_left_out_where_enough_others_remain(images, fitted, fewest, share):
    found = Share.of(images, fitted, fewest)
    assert (found.measured, found.fitted, found.left_out) == share


@pytest.fixture
def of_four(tmp_path, steps, photographs, monkeypatch):
    """A run over eight images that is fitted on four, where three others are enough."""
    monkeypatch.setattr(overlap, "ENOUGH", 3)
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}

    def run(**sections):
        whole = steps(tmp_path / "workspace", corpora, fit={"images": 4}, **sections)
        whole.run()
        return whole

    return run


def selected(run):
    selection = read_selection(run.workspace, plan_selection(run.opened)[0])
    return {key for keys in selection.source.values() for key in keys}


def scores(run):
    folder = run.workspace.store.local(f"metrics/run/{run.operator}/alpha+0.00")
    rows = [
        row for path in sorted(folder.glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]
    return {row["key"]: row["psnr"] for row in rows}


def results(run):
    artifact = summary_artifact(run.fitted)
    return read_summary(run.workspace, artifact), summary_facts(run.workspace, artifact)


def test_means_are_over_the_images_that_were_not_fitted_on(of_four):
    run = of_four()
    rows, facts = results(run)
    others = [psnr for key, psnr in scores(run).items() if key not in selected(run)]
    assert len(others) == 4
    assert rows[0]["psnr"] == pytest.approx(np.mean(others))
    assert {row["images"] for row in rows} == {4}
    assert overlap_of(facts).scored == Share(measured=4, fitted=0, left_out=4)
    assert measured_in_words(facts) == [
        "The numbers are over 4 images that the operator was not fitted on; the 4 of the fit are "
        "left out."
    ]
    assert "others than those of the fit" not in gelbrich_in_words(facts)
    assert "over all images, those of the fit included" in gelbrich_in_words(facts)


def test_all_images_are_measured_where_that_is_asked_for(of_four):
    run = of_four(evaluate={"leave_out_fitted": False})
    rows, facts = results(run)
    assert rows[0]["psnr"] == pytest.approx(np.mean(list(scores(run).values())))
    (sentence,) = measured_in_words(facts)
    assert sentence.startswith(
        "Measured on the images of the fit: the operator was fitted on 4 of the 8 images"
    )


def test_an_image_that_is_added_changes_what_is_left_out_only_if_it_is_drawn(
    tmp_path, steps, write_images, pixels, monkeypatch
):
    monkeypatch.setattr(overlap, "ENOUGH", 1)
    images = {f"{number}.png": pixels(number) for number in range(9)}
    left = []
    for count in (8, 9):
        folder = write_images(tmp_path / "images", dict(list(images.items())[:count]))
        run = steps(tmp_path / "w", {"restored": folder, "reference": folder}, fit={"images": 4})
        run.shard()
        run.fit()
        left.append(fitted_keys(run.workspace, Fit.of(run.fitted), "run"))
    assert len(left[0]) == len(left[1]) == 4
    assert len(left[0] & left[1]) >= 3


def test_other_natural_images_than_the_measured_ones_have_none_in_common(
    tmp_path, steps, photographs, write_images, pixels
):
    natural = write_images(
        tmp_path / "n", {f"n{number}.png": pixels(number) for number in range(4)}
    )
    source = write_images(tmp_path / "s", {f"s{number}.png": pixels(number) for number in range(4)})
    corpora = {"natural": natural, "reference": source}
    run = steps(
        tmp_path / "w",
        corpora,
        degrade=[{"kind": "downscale", "factor": 2}],
        restore={"kind": "bicubic"},
    )
    run.run()
    _, facts = results(run)
    assert measured_in_words(facts) == ["The operator was fitted on none of the measured images."]
    assert "others than those of the fit" in gelbrich_in_words(facts)


def test_keys_of_a_large_fit_are_those_of_its_selection(finished, monkeypatch):
    fit, workspace = Fit.of(finished.fitted), finished.workspace
    by_digest = fitted_keys(workspace, fit, "run")
    assert by_digest == selected(finished)
    fitted_images._fitted_keys.cache_clear()
    facts = type(workspace.ledger).facts
    monkeypatch.setattr(type(workspace.ledger), "facts", lambda *a: facts(*a) | {"fitted_on": None})
    assert fitted_keys(workspace, fit, "run") == by_digest
    kept = fit.model_copy(update={"selection": None})
    assert fitted_keys(workspace, kept, "run") is None
    fitted_images._fitted_keys.cache_clear()


def test_what_an_older_version_measured_is_not_known():
    assert measured_in_words({}) == [
        "It is not known whether the operator was fitted on images that are measured here."
    ]
    assert "others than those" not in gelbrich_in_words({})


def test_features_leave_out_as_many_as_remain(finished):
    facts = {
        "dimension": "8",
        "compared_dataset": "natural",
        "compared_with": "other photographs",
        "overlap": overlap.Overlap(
            scored=Share(measured=200, fitted=0, left_out=1000),
            featured=Share(measured=1200, fitted=1000, left_out=0),
            compared={"natural": Share(measured=5000, fitted=0, left_out=1000)},
        ).model_dump_json(),
    }
    assert measured_in_words(facts) == [
        "The PSNR, SSIM and LPIPS are over 200 images that the operator was not fitted on; the "
        "1,000 of the fit are left out.",
        "Measured on the images of the fit: the operator was fitted on 1,000 of the 1,200 images "
        "that the metrics of features are over, so they are optimistic.",
        "Of the data set natural, which features are compared with, the 1,000 of the fit are left "
        "out.",
    ]
