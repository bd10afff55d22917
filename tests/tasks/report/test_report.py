"""The report: one file that needs nothing, tells its gaps, and trusts no key."""

import json
import re
import shutil
from importlib.metadata import version
from importlib.resources import files

import pytest
import torch

from tasks.config import Config
from tasks.enhance.enhance import write_enhanced
from tasks.evaluate.fidelity import plan_fidelity, write_fidelity
from tasks.evaluate.summarise import plan_summary, write_summary
from tasks.fit.operators import FittedRun, find_operator
from tasks.io.errors import StepMissing
from tasks.io.networks.features import perceptual
from tasks.report.accounting import _feature_folders
from tasks.report.report import _template_digests, plan_report, report_markdown
from tests.support.pictures import encode


def read(run, name):
    return run.workspace.store.read(f"reports/run/{run.operator}/{name}").decode("utf-8")


@pytest.fixture
def reported(tmp_path, steps, photographs):
    """A whole run over the photographs, with some sections changed."""

    def run(corpora=None, **sections):
        corpora = corpora or {
            "restored": photographs["restored"],
            "reference": photographs["natural"],
        }
        whole = steps(tmp_path / "workspace", corpora, **sections)
        whole.run()
        return whole

    return run


def test_a_report_refers_to_nothing_outside_itself(finished):
    page = read(finished, "report.html")
    addresses = re.findall(r'(?:src|href|action|data|srcset)\s*=\s*"([^"]*)"', page)
    assert addresses
    for address in addresses:
        assert address.startswith(("data:image/", "#")) or address == "data:,"
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; img-src data:;")
    for word in ("http:", "https:", "@import", "url(", "<iframe"):
        assert word not in re.sub(r'data:image/[^"]*', "", page)
    assert page.count("<script") == page.count("<style") == page.count("<link") == 1


def test_a_report_has_a_viewer_for_each_picture_and_each_picture_once(finished):
    page = read(finished, "report.html")
    captions = re.findall(r"<figcaption>(input x\*|alpha \S+|reference)</figcaption>", page)
    strip = ["input x*", "alpha 0", "alpha 0.5", "alpha 1", "reference"]
    assert captions == strip * page.count('<section class="viewer"')
    embedded = re.findall(r'src="(data:image/webp[^"]*)"', page)
    assert len(embedded) == len(captions)
    keys = re.findall(r'-key"><bdi>(.*?)</bdi>', page)
    assert len(keys) == len(set(keys))
    assert keys[:3] == ["a/0", "a/2", "a/4"]  # the first shard, then the ends


def test_a_report_tells_every_result_and_option(finished):
    page = read(finished, "report.html")
    for text in ("alpha 0.5", "PSNR", "Gelbrich", "factor: 2", "push forward"):
        assert text in page
    assert "codec_input" not in page  # the codec loses nothing
    assert "Perception-distortion curve, PSNR and Gelbrich distance of latent patches. " in page
    assert "pixel-unshuffle by a factor of 2; it has no weights" in page
    assert "paired: both sides of the fit come from the same 8 images" in page
    assert "{&#39;" not in page  # no value as Python writes it


def test_a_report_counts_images_by_step(finished):
    run = json.loads(read(finished, "run.json"))
    assert run["counts"] == [
        {"step": "shard reference", "images": 8, "refused": {}},
        {"step": "shard run", "images": 8, "refused": {}},
        {"step": "fit on run", "images": 8, "refused": {}},
        {"step": "fit on reference", "images": 8, "refused": {}},
        {"step": "enhance run", "images": 8, "refused": {}},
    ]


def test_a_key_is_shown_as_text_and_never_as_markup(reported, tmp_path, write_images, pixels):
    name = "<script>alert(1)</script>/\"'&{{7*7}}.png"
    images = {name.replace("</", "<\\"): pixels(0), "b.png": pixels(1)}
    folder = write_images(tmp_path / "marked", images)
    run = reported({"restored": folder, "natural": folder})
    page = read(run, "report.html")
    assert page.count("<script") == 1  # the page's own
    assert "&lt;script&gt;alert(1)" in page
    assert "{{7*7}}" in page


def test_any_key_finds_its_way_from_the_folder_to_the_pictures(
    reported, tmp_path, write_images, pixels, softened
):
    keys = ["a.b/c.d", "é 日本/図 (1)", "long/" + "n" * 200, "x%2Ey", "x.y", "x=1@2"]
    natural = {f"{key}.png": pixels(number) for number, key in enumerate(keys)}
    restored = {name: softened(image) for name, image in natural.items()}
    corpora = {
        "restored": write_images(tmp_path / "restored", restored),
        "reference": write_images(tmp_path / "reference", natural),
    }
    run = reported(corpora, shards={"images": 6})
    assert [key for key, _ in run.workspace.keys("run")] == sorted(keys)
    page = read(run, "report.html")
    assert page.count('<section class="viewer"') == 6
    assert page.count("<figure data-side") == 6 * 5
    counts = json.loads(read(run, "run.json"))["counts"]
    assert all(count["refused"] == {} for count in counts)


def test_the_reasons_of_refused_and_unscored_images_are_counted(
    reported, photographs, tmp_path, pixels, write_images
):
    reference = write_images(tmp_path / "reference", {"a/0.png": pixels(0), "a/2.png": b""})
    run = reported(
        {
            "restored": photographs["restored"],
            "natural": photographs["natural"],
            "reference": reference,
        },
        shards={"images": 3, "max_bad_fraction": 0.5},
    )
    counts = {count["step"]: count for count in json.loads(read(run, "run.json"))["counts"]}
    assert counts["shard reference"] == {
        "step": "shard reference",
        "images": 2,
        "refused": {"empty file": 1},
    }
    assert counts["enhance run"]["refused"] == {"no reference": 7}
    assert "7 × no reference" in read(run, "report.html")
    assert "| enhance run | 8 | 7 × no reference |" in read(run, "report.md")


def test_missing_lpips_weights_are_a_gap_with_its_remedy(reported, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("no download")
    )
    run = reported(evaluate={"lpips": "alex"})
    page = read(run, "report.html")
    assert "LPIPS is missing: the weights of its network (alex) could not be had" in page
    assert "TORCH_HOME" in page
    assert "<code>dotpipe weights pull</code>" in page
    assert "`" not in re.sub(r"(?s)<(script|style)>.*?</\1>", "", page)


def test_lpips_that_was_not_asked_for_is_a_stated_gap(finished):
    assert "LPIPS was not asked for (evaluate.lpips is null)" in read(finished, "report.html")


def test_a_missing_reference_is_a_stated_gap(reported, photographs):
    page = read(reported(photographs), "report.html")
    assert "No reference corpus is given, so there are no distortion metrics." in page


def test_lpips_of_altered_weights_is_named_so(
    reported, tmp_path, monkeypatch, photographs, pixels, softened, write_images
):
    from torchvision.models import squeezenet1_1

    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(0)  # torchvision initialises from the global state
    weights = squeezenet1_1(weights=None).state_dict()
    torch.save(weights, folder / "squeezenet1_1-b8a52dc0.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    perceptual._load_lpips.cache_clear()
    natural = {f"{i}.png": pixels(i, 32, 40) for i in range(2)}
    corpora = {
        "restored": write_images(
            tmp_path / "restored", {name: softened(image) for name, image in natural.items()}
        ),
        "reference": write_images(tmp_path / "reference", natural),
    }
    run = reported(corpora, evaluate={"lpips": "squeeze"}, enhance={"alphas": [0]})
    perceptual._load_lpips.cache_clear()
    page = read(run, "report.html")
    assert "weights other than the published ones: LPIPS-squeeze (altered" in page
    rows = {row["signal"]: row for row in json.loads(read(run, "run.json"))["results"]}
    assert rows["input"]["lpips"] > 0


def test_the_run_file_is_json_that_every_tool_reads(finished):
    json.loads(read(finished, "run.json"), parse_constant=pytest.fail)


def test_the_run_file_has_in_numbers_what_the_page_shows(finished):
    run = json.loads(read(finished, "run.json"))
    assert run["operator"]["branch"] == "deterministic"
    assert run["operator"]["source_count"] > 1000
    assert run["fit"]["codec"] == {"kind": "pixel", "factor": 2}
    assert run["weights"] == {"lpips": None, "features": None}
    assert run["columns"]["psnr"] == {
        "title": "PSNR",
        "unit": "dB",
        "better": "more",
        "error": "psnr_error",
        "change": "psnr_change",
        "change_error": "psnr_change_error",
        "change_images": "psnr_change_images",
    }
    assert {tuple(sorted(row)) for row in run["results"]} == {tuple(sorted(run["results"][0]))}
    assert [ends["metric"] for ends in run["extremes"]["metrics"]] == ["psnr", "ssim"]
    assert len(run["spectra"]["gains"]) == 12
    assert any("LPIPS was not asked for" in gap for gap in run["gaps"])
    assert run["config"]["patches"]["size"] == 1


def test_the_run_file_times_every_step(finished):
    timings = {t["step"]: t for t in json.loads(read(finished, "run.json"))["timings"]}
    assert {"shard run", "shard reference", "enhance run"} <= timings.keys()
    enhance = timings["enhance run"]
    assert enhance["images"] == 8
    assert enhance["seconds"] == pytest.approx(sum(enhance["parts"].values()))
    assert enhance["images_per_second"] == pytest.approx(8 / enhance["seconds"])


def test_the_short_report_has_table_gaps_operator_and_counts(finished):
    (artifact, _), _ = plan_report(finished.fitted)
    text = report_markdown(finished.workspace, artifact)
    assert text == read(finished, "report.md")
    for line in (
        "| alpha 0.5 | 8 | ",
        "- LPIPS was not asked for (evaluate.lpips is null).",
        "Measured on the images of the fit: the operator was fitted on 8 of the 8 images that",
        "| branch | deterministic | ",
        "| fit on reference | 8 | none |",
    ):
        assert line in text


def test_a_report_is_written_once_and_again_when_the_configuration_changes(finished):
    operator = find_operator(finished.opened)
    assert plan_report(finished.fitted)[1] is None
    with_lpips = finished.config.evaluate.model_copy(update={"lpips": "alex"})
    changed = finished.config.model_copy(update={"evaluate": with_lpips})
    job = plan_report(FittedRun(changed, finished.workspace, operator))[1]
    assert job.target.replaces


def test_where_the_work_is_done_is_nothing_that_a_report_is_made_of(finished):
    operator = find_operator(finished.opened)
    tree = finished.config.model_dump()
    tree["compute"] |= {"runner": {"kind": "ray", "gpus": 0.5}, "shards_at_once": 7}
    tree["blocks"] = {"shards": 3}
    elsewhere = Config.model_validate(tree)
    assert elsewhere != finished.config
    assert plan_report(FittedRun(elsewhere, finished.workspace, operator))[1] is None


def test_a_report_without_enhanced_images_is_told_with_the_command(steps, photographs, tmp_path):
    run = steps(tmp_path / "workspace", photographs)
    run.shard()
    run.fit()
    for job in run.enhancement_jobs(with_images=False):
        write_enhanced(job)
    for unit in plan_fidelity(run.fitted):
        write_fidelity(unit.job)
    write_summary(plan_summary(run.fitted)[1])
    with pytest.raises(StepMissing, match="run `dotpipe enhance CONFIG` first"):
        plan_report(run.fitted)


def test_a_bad_file_more_is_counted_in_the_report_though_no_mean_changes(
    reported, photographs, tmp_path
):
    corpora = {
        "restored": photographs["restored"],
        "natural": photographs["natural"],
        "reference": shutil.copytree(photographs["natural"], tmp_path / "reference"),
    }
    run = reported(corpora, shards={"images": 3, "max_bad_fraction": 0.2})
    before = json.loads(read(run, "run.json"))
    (corpora["reference"] / "z.jpg").write_bytes(b"a text file named .jpg")
    run.shard()
    assert run.fit() == []
    assert run.enhance() == []
    assert plan_report(run.fitted)[1].target.replaces
    assert plan_summary(run.fitted)[1] is None
    run.report()
    after = json.loads(read(run, "run.json"))
    assert after["results"] == before["results"]
    (count,) = (count for count in after["counts"] if count["step"] == "shard reference")
    assert count["images"] == 9
    assert count["refused"] == {
        "no image in one of the formats JPEG, PNG, WebP, TIFF, BMP, AVIF, HEIC, JPEG XL": 1
    }


def test_an_image_that_the_fit_could_not_decode_is_counted_under_its_data_set(
    reported, photographs, tmp_path, pixels
):
    natural = shutil.copytree(photographs["natural"], tmp_path / "natural")
    (natural / "a" / "2.png").unlink()
    (natural / "a" / "2.jpg").write_bytes(encode(pixels(2), "jpeg")[:-300])
    run = reported({"restored": photographs["restored"], "natural": natural})
    counts = {count["step"]: count for count in json.loads(read(run, "run.json"))["counts"]}
    assert counts["shard natural"]["refused"] == {}  # the header is whole
    assert (counts["fit on natural"]["images"], counts["fit on run"]["images"]) == (8, 8)
    assert counts["fit on natural"]["refused"] == {"damaged": 1}
    assert counts["fit on run"]["refused"] == {}


def test_the_newest_report_is_where_its_configuration_says(finished):
    page = finished.workspace.store.read("reports/run/latest.html").decode()
    assert f'content="0; url={finished.operator}/report.html"' in page
    assert page.count("http:") == page.count("https:") == 0


def test_a_report_says_what_it_was_made_with_and_where_and_when(finished):
    made = json.loads(read(finished, "run.json"))["made_with"]
    assert made["packages"]["torch"] == version("torch")
    assert made["dot-pipeline"] == version("dot-pipeline")
    assert made["commit"] is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", made["commit"])
    assert len(made["enhanced"]) == 2
    ((device, shards),) = made["devices"].items()
    assert (device.partition(" of ")[0], shards) == ("cpu", 3)
    page = read(finished, "report.html")
    for text in (made["reported"], f"torch {version('torch')}", f"{device} (3 shards)"):
        assert text in page


def test_other_templates_renew_the_page(finished, monkeypatch):
    monkeypatch.setattr("tasks.report.report._template_digests", lambda: {"report.css": "another"})
    assert plan_report(finished.fitted)[1].target.replaces


def test_every_template_is_part_of_what_a_page_was_made_of():
    folder = files("tasks.report") / "templates"
    own = {template.name for template in folder.iterdir()} - {
        "compare.html",
        "study.css",
        "study.html",
        "study.js",
    }
    assert _template_digests().keys() == own


def test_page_and_short_report_say_what_an_error_is(finished):
    for name, mark in (("report.html", "★ marks"), ("report.md", "Bold marks")):
        text = read(finished, name)
        assert "± is the standard error of one row. All rows share the same images" in text
        assert f"{mark} the best enhanced value of a column." in text


def test_features_are_timed_for_the_network_of_this_run_only(finished):
    facts = {"network": "squeezenet", "features_sha256": "a" * 64}
    expected = [f"features/reference/squeezenet-{'a' * 12}"]
    assert _feature_folders(finished.config, facts) == [expected]
    facts |= {"more_networks": "clip-rn50", "clip-rn50_sha256": "b" * 64}
    more = [f"features/reference/clip-rn50-{'b' * 12}"]
    assert _feature_folders(finished.config, facts) == [expected, more]
    assert _feature_folders(finished.config, {}) == []


def test_every_form_of_the_report_has_the_changes_against_the_input(finished):
    page, text = read(finished, "report.html"), read(finished, "report.md")
    (row, *_) = json.loads(read(finished, "run.json"))["results"]
    change, error = row["psnr_change"], row["psnr_change_error"]
    assert row["alpha"] == 0
    assert "<h3>Change against the input</h3>" in page
    assert re.search(rf"\n\| alpha 0 \| \{change:+.2f}\d* ± {error:.2f}\d* ", text)
    assert re.search(rf"<td[^>]*>\{change:+.2f}\d* <small>± {error:.2f}\d*</small>", page)
    for form in (page, text):
        assert "The value less that of the same images as they came" in form


def test_without_controls_there_are_no_changes_and_it_is_said_why(reported, photographs):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    run = reported(corpora, evaluate={"controls": False})
    for name in ("report.html", "report.md"):
        text = read(run, name)
        assert "Change against the input" not in text
        assert "not known, as evaluate.controls is false." in text
