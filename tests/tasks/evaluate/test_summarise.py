"""The summary: means over images, distances over patches."""

import shutil
import threading

import numpy as np
import polars
import pytest

from dot_kernels import gelbrich_distance
from tasks.evaluate import summarise
from tasks.evaluate.summarise import plan_summary, read_summary, write_summary
from tasks.fit.operators import FittedRun, find_operator, read_operator
from tasks.io.artifacts.moments import load_moments
from tasks.io.errors import StepMissing, TooManyBadImages
from tasks.io.store import Store
from tests.support.pictures import encode


@pytest.fixture
def summary(finished):
    artifact = f"reports/run/{finished.operator}/fidelity"
    return {
        (row["signal"], row["alpha"]): row for row in read_summary(finished.workspace, artifact)
    }


def test_means_are_over_all_images_with_metrics(finished, summary):
    table = polars.read_parquet(finished.workspace.store.local(f"metrics/run/{finished.operator}"))
    assert len(summary) == 6
    for (signal, alpha), row in summary.items():
        part = table.filter(
            polars.col("signal") == signal, polars.col("alpha").eq_missing(polars.lit(alpha))
        )
        assert row["images"] == part.height == 8
        for name in ("mse", "psnr", "ssim"):
            assert row[name] == pytest.approx(part[name].mean())
        assert row["lpips"] is None


def test_changes_are_means_of_differences_to_the_same_image_before(finished, summary):
    table = polars.read_parquet(finished.workspace.store.local(f"metrics/run/{finished.operator}"))
    before = table.filter(polars.col("signal") == "input").sort("key")
    for (signal, alpha), row in summary.items():
        part = table.filter(
            polars.col("signal") == signal, polars.col("alpha").eq_missing(polars.lit(alpha))
        ).sort("key")
        for name in ("mse", "psnr", "ssim"):
            found = row[f"{name}_change"], row[f"{name}_change_error"]
            if signal == "input":
                assert found == (None, None)
                continue
            difference = part[name].to_numpy() - before[name].to_numpy()
            if np.isinf(difference).all():  # the pixel codec alone loses nothing
                assert found == (np.inf, None)
                continue
            expected = difference.mean(), difference.std() / np.sqrt(8)
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-15)
        assert row["lpips_change"] is None


def test_a_change_is_known_better_than_the_two_means_that_it_is_between(
    steps, photographs, tmp_path
):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    dials = {"alphas": [0.5], "low_share": 1}  # they lack contrast, at low frequencies too
    rows = {row["signal"]: row for row in steps(tmp_path, corpora, enhance=dials).run()}
    enhanced, before = rows["enhanced"], rows["input"]
    apart = np.hypot(enhanced["psnr_error"], before["psnr_error"])
    assert enhanced["psnr_change_error"] < apart / 2


def test_at_alpha_one_nothing_has_changed(summary):
    row = summary["enhanced", 1.0]
    assert (row["psnr_change"], row["psnr_change_error"], row["ssim_change"]) == (0, 0, 0)


def test_points_of_the_curve_have_changes_as_well(steps, photographs, tmp_path):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    run = steps(tmp_path, corpora, evaluate={"curve": {"start": 0, "stop": 1, "step": 0.5}})
    rows = {(row["signal"], row["alpha"]): row for row in run.run()}
    for alpha in (0.0, 0.5, 1.0):
        for name in ("psnr_change", "psnr_change_error"):
            assert rows["curve", alpha][name] == pytest.approx(rows["enhanced", alpha][name])


def test_controls_that_are_asked_for_later_bring_the_changes(steps, photographs, tmp_path):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    (plain, *_) = steps(tmp_path, corpora, evaluate={"controls": False}).run()
    assert (plain["psnr_change"], plain["psnr_change_error"]) == (None, None)
    (paired, *_) = steps(tmp_path, corpora).run()
    assert paired["psnr_change"] is not None
    assert paired["psnr"] == plain["psnr"]


def test_the_gelbrich_distance_is_that_of_merged_latent_patches(finished, summary):
    natural = read_operator(finished.workspace, "run", finished.operator)[1]["target"]
    folder = finished.workspace.store.local(f"features/run/{finished.operator}/alpha+0.50")
    parts = [load_moments(path)[0]["latent_patches"] for path in sorted(folder.iterdir())]
    merged = sum(parts[1:], parts[0])
    expected = gelbrich_distance(merged, natural)
    assert summary["enhanced", 0.5]["gelbrich"] == pytest.approx(expected)


def test_transport_brings_the_patches_to_the_natural_ones(summary):
    distances = [summary["enhanced", alpha]["gelbrich"] for alpha in (0.0, 0.5, 1.0)]
    assert distances == sorted(distances)
    assert distances[2] == pytest.approx(summary["input", None]["gelbrich"])
    assert distances[0] < 0.01 * distances[2]
    assert summary["codec", None]["gelbrich"] < 1e-9  # the reference is the natural corpus


def test_of_how_many_images_the_metrics_are_is_told_where_some_have_no_reference(
    tmp_path, steps, photographs
):
    reference = shutil.copytree(photographs["natural"], tmp_path / "reference")
    for name in ("a/0", "b/1", "a/2"):
        (reference / f"{name}.png").rename(reference / f"{name}-gt.png")
    corpora = {"restored": photographs["restored"], "reference": reference}
    run = steps(tmp_path / "workspace", corpora)
    run.run()
    facts = summarise.summary_facts(run.workspace, f"reports/run/{run.operator}/fidelity")
    assert summarise.warnings_of(facts)[0] == (
        "The metrics against the reference are of 5 of 8 images. Others have none: 3 × no "
        "reference: its key is not among the accepted images of the reference. Keys are paths "
        "without extension; the tables of metrics say which."
    )


def test_where_every_image_has_a_reference_or_none_is_asked_for_nothing_is_told(
    finished, tmp_path, steps, photographs
):
    facts = summarise.summary_facts(finished.workspace, f"reports/run/{finished.operator}/fidelity")
    bare = steps(tmp_path / "workspace", photographs)
    bare.run()
    alone = summarise.summary_facts(bare.workspace, f"reports/run/{bare.operator}/fidelity")
    told = [*summarise.warnings_of(facts), *summarise.warnings_of(alone)]
    assert not any("against the reference" in warning for warning in told)


def test_a_summary_is_made_once(finished):
    assert plan_summary(finished.fitted)[1] is None


def test_a_summary_of_missing_metrics_is_told_with_the_command(finished, steps, photographs):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    more = steps(finished.config.workspace, corpora, enhance={"alphas": [0.75]})
    with pytest.raises(StepMissing, match="run `dotpipe evaluate CONFIG` first"):
        plan_summary(more.fitted)


def test_without_a_reference_distances_are_all_there_is(steps, photographs, tmp_path):
    run = steps(tmp_path, photographs)
    for row in run.run():
        assert row["images"] == 0
        assert (row["psnr"], row["ssim"]) == (None, None)
        assert (row["gelbrich"] is None) == (row["signal"].startswith("codec"))


def test_images_that_are_retired_are_out_of_the_summary(
    steps, photographs, tmp_path, pixels, softened, write_images
):
    names = [f"{i}.png" for i in range(7)]
    natural = {name: pixels(i) for i, name in enumerate(names)}
    restored = write_images(
        tmp_path / "restored", {name: softened(image) for name, image in natural.items()}
    )
    corpora = {
        "restored": restored,
        "reference": write_images(tmp_path / "reference", natural),
        "natural": write_images(tmp_path / "natural", {name: natural[name] for name in names[:3]}),
    }
    run = steps(tmp_path / "workspace", corpora)
    run.run()
    before = run.operator
    (restored / "6.png").unlink()
    rows = run.run()
    assert run.operator == before
    assert {row["images"] for row in rows} == {6}
    table = polars.read_parquet(run.workspace.store.local(f"metrics/run/{run.operator}"))
    assert sorted(table["key"].unique()) == [str(i) for i in range(6)]


def test_writing_a_summary_again_gives_the_same_rows(finished, summary):
    operator = find_operator(finished.opened)
    other = finished.config.model_copy(
        update={"enhance": finished.config.enhance.model_copy(update={"alphas": (0.5,)})}
    )
    _, job = plan_summary(FittedRun(other, finished.workspace, operator))
    unrecorded = job.model_copy(
        update={"target": job.target.model_copy(update={"artifact": "elsewhere/x"})}
    )
    rows = write_summary(unrecorded)
    ledger = finished.workspace.ledger
    ledger.retire(ledger.records("elsewhere/x"))  # others read this workspace too
    assert rows[0] == summary["enhanced", 0.5]


def test_more_images_refused_at_enhancement_than_allowed_stop_the_summary(
    steps, photographs, tmp_path, pixels, softened
):
    restored = shutil.copytree(photographs["restored"], tmp_path / "restored")
    (restored / "a" / "2.png").unlink()
    (restored / "a" / "2.jpg").write_bytes(encode(softened(pixels(2)), "jpeg")[:-300])
    corpora = {"restored": restored, "reference": photographs["natural"]}
    run = steps(tmp_path / "workspace", corpora)
    sentence = r"at most 5.0% of run may be refused, got 1 of 8 \(1 × damaged\)"
    with pytest.raises(TooManyBadImages, match=sentence):
        run.run()
    lenient = steps(tmp_path / "workspace", corpora, shards={"max_bad_fraction": 0.125})
    assert {row["images"] for row in lenient.run()} == {7}


def test_an_image_equal_to_its_reference_does_not_make_the_mean_psnr_infinite(
    steps, photographs, tmp_path
):
    restored = shutil.copytree(photographs["restored"], tmp_path / "restored")
    shutil.copy(photographs["natural"] / "a" / "2.png", restored / "a" / "2.png")
    corpora = {"restored": restored, "reference": photographs["natural"]}
    run = steps(tmp_path / "workspace", corpora, enhance={"alphas": [1]})
    rows = {row["signal"]: row for row in run.run()}
    table = polars.read_parquet(run.workspace.store.local(f"metrics/run/{run.operator}"))
    psnr = table.filter(polars.col("signal") == "input")["psnr"]
    assert psnr.is_infinite().sum() == 1
    assert rows["input"]["psnr"] == pytest.approx(psnr.filter(psnr.is_finite()).mean())
    assert rows["codec"]["psnr"] == np.inf  # all of them are


def test_every_signal_has_a_row_in_the_order_of_the_results(finished):
    artifact = f"reports/run/{finished.operator}/fidelity"
    rows = read_summary(finished.workspace, artifact)
    assert [(row["signal"], row["alpha"]) for row in rows] == [
        ("enhanced", 0.0),
        ("enhanced", 0.5),
        ("enhanced", 1.0),
        ("input", None),
        ("codec", None),
        ("codec_input", None),
    ]


def test_means_have_errors_and_distances_without_a_network_are_null(summary):
    for (signal, _), row in summary.items():
        assert row["mse_error"] == 0 if signal == "codec" else row["mse_error"] > 0
        assert row["featured"] == 0
        for name in ("frechet", "frechet_error", "kernel", "inception_score", "precision"):
            assert row[name] is None


def test_a_summary_of_fidelity_that_was_not_measured_is_told(finished, steps, photographs):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    curved = steps(finished.config.workspace, corpora, evaluate={"curve": {"step": 1}})
    with pytest.raises(StepMissing, match="run `dotpipe evaluate CONFIG` first"):
        plan_summary(curved.fitted)


def test_how_many_were_refused_is_read_of_all_shards_side_by_side(finished, monkeypatch):
    operator = find_operator(finished.opened)
    limits = finished.config.shards.model_copy(update={"max_bad_fraction": 0.5})
    other = finished.config.model_copy(update={"shards": limits})
    _, job = plan_summary(FittedRun(other, finished.workspace, operator))
    together, read = threading.Barrier(3, timeout=30), Store.read

    def meeting(self, path):
        together.wait()  # breaks where they come one after the other
        return read(self, path)

    monkeypatch.setattr(Store, "read", meeting)
    summarise._require_good(job, finished.workspace)
