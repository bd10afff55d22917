"""Images that are degraded already: restored as a step, and known wherever a corpus is."""

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from tasks.config import Run
from tasks.config.registry import taken_over
from tasks.io.errors import ConfigurationError, CorpusError, StepMissing
from tasks.io.images import Limits
from tasks.pipeline import require_shards, steps_of
from tasks.report.provenance import run_facts
from tasks.restore.plan import plan_restoration
from tasks.upkeep.check import check
from tasks.upkeep.forecasts.steps import forecast
from tests.support.pictures import images_of

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 20)
HALVED = {"kind": "bicubic", "undoes": [{"kind": "downscale", "factor": 2}]}
SMOOTH = {"kind": "gaussian-blur", "size": 3, "sigma": 0.8}


@pytest.fixture
def corpora(tmp_path, pixels, write_images):
    """Eight images of half the size of their references."""
    clean = {f"{'ab'[i % 2]}/{i}.png": pixels(i) for i in range(8)}
    small = {
        name: np.asarray(Image.fromarray(image).resize((16, 12), Image.Resampling.BICUBIC))
        for name, image in clean.items()
    }
    return {
        "degraded": write_images(tmp_path / "small", small),
        "reference": write_images(tmp_path / "clean", clean),
    }


def test_a_run_goes_from_degraded_images_to_the_report(steps, tmp_path, corpora):
    run = steps(tmp_path / "w", corpora, restore=HALVED)
    rows = run.run()
    assert {row["images"] for row in rows} == {8}
    assert list(run.workspace.keys("run")) == list(run.workspace.keys("degraded"))
    restored, clean = images_of(run), images_of(run, "reference")
    for key, image in restored.items():
        assert image.shape == clean[key].shape
        small = images_of(run, "degraded")[key]
        expected = Image.fromarray(small).resize((32, 24), Image.Resampling.BICUBIC)
        assert np.abs(image.astype(int) - np.asarray(expected)).max() <= 1  # it rounds in between
    assert run.select().pairing == "paired"
    assert all(unit is None for unit in run.shard().values())


def test_without_a_reference_natural_images_are_aimed_at(steps, tmp_path, corpora, photographs):
    given = {"degraded": corpora["degraded"], "natural": photographs["natural"]}
    run = steps(tmp_path / "w", given, restore=SMOOTH)
    run.run()
    assert [step.name for step in steps_of(run.opened)][:3] == [
        "shard natural",
        "shard degraded",
        "restore run",
    ]
    assert {image.shape for image in images_of(run).values()} == {(12, 16, 3)}


def test_borders_that_a_blur_left_out_come_back_with_alpha_and_all(
    steps, tmp_path, photographs, pixels, write_images
):
    small = np.dstack([pixels(3)[:8, :12], np.full((8, 12), 200, np.uint8)])
    corpora = {
        "degraded": write_images(tmp_path / "small", {"a.png": small}),
        "natural": photographs["natural"],
    }
    undoes = [{"kind": "gaussian-blur", "size": 6, "sigma": 1.0, "stride": 2}]
    run = steps(tmp_path / "w", corpora, restore={"kind": "bicubic", "undoes": undoes})
    run.shard()
    assert {image.shape for image in images_of(run).values()} == {(20, 28, 3)}
    assert run.config.enlargement("degraded") is None


@pytest.mark.parametrize(
    ("corpora", "sections", "sentence"),
    [
        ("degraded restored natural", {"restore": SMOOTH}, "must not both be given"),
        ("degraded natural", {}, "corpora.degraded needs a restore section"),
        (
            "degraded reference",
            {"restore": SMOOTH, "degrade": [{"kind": "noise", "sigma": 0.1}]},
            "corpora.degraded must be left out where degrade makes",
        ),
        (
            "reference",
            {"restore": SMOOTH},
            "restore needs a degrade section .*or corpora.degr",
        ),
        ("degraded", {"restore": SMOOTH}, "corpora.natural must be given"),
        ("degraded natural", {"restore": {"kind": "bicubic"}}, "undoes must hold what reduced"),
        (
            "degraded natural",
            {"restore": {"kind": "non-local-means"}},
            "undoes must hold the noise, as",
        ),
        (
            "degraded natural",
            {"restore": {"kind": "ddrm", "model": "m"}},
            "undoes must say what the images went through",
        ),
        (
            "degraded natural",
            {"restore": {"kind": "ddrm", "model": "m", "undoes": [{"kind": "jpeg", "quality": 9}]}},
            "restore by ddrm cannot undo undoes: degradations must be linear",
        ),
        (
            "reference",
            {
                "restore": HALVED,
                "degrade": [{"kind": "downscale", "factor": 2}],
            },
            "restore.undoes must be left out where degrade says",
        ),
        (
            "degraded natural",
            {"restore": SMOOTH, "name": "degraded"},
            "data sets must have different names, got degraded, degraded, natural",
        ),
    ],
)
def test_a_broken_rule_between_sections_is_told_in_a_sentence(steps, corpora, sections, sentence):
    given = {role: f"/{role}" for role in corpora.split()}
    with pytest.raises(ValidationError, match=sentence):
        steps("/w", given, **sections)


def test_other_degraded_images_or_another_thing_undone_restore_again(
    steps, tmp_path, corpora, write_images, pixels
):
    run = steps(tmp_path / "w", corpora, restore=HALVED)
    run.shard()

    def to_do(config):
        units = plan_restoration(Run(config, run.workspace), "degraded", "run")
        return [unit.job is not None for unit in units]

    assert to_do(run.config) == [False] * 3
    other = run.config.restore.model_copy(update={"undoes": run.config.restore.undoes * 2})
    assert to_do(run.config.model_copy(update={"restore": other})) == [True] * 3
    write_images(corpora["degraded"], {"a/0.png": pixels(9, 12, 16)})
    assert to_do(run.config) == [False] * 3  # it is not sharded yet
    with pytest.raises(StepMissing, match=r"'degraded'.*run `dotpipe shard CONFIG` first"):
        require_shards(run.config)
    for step in steps_of(run.opened):
        if step.name == "shard degraded":
            for unit in step.plan():
                _ = unit.job and step.work.fn(unit.job)
    assert to_do(run.config) == [True, False, False]
    again = steps(tmp_path / "w", corpora | {"degraded": tmp_path / "clean"}, restore=SMOOTH)
    assert taken_over(again.config) == []  # nothing is registered without a flow


def test_captions_of_degraded_images_go_along(steps, tmp_path, corpora, write_images):
    write_images(corpora["degraded"], {"a/0.txt": b"a wave"})
    degraded = {"path": str(corpora["degraded"]), "beside": ["txt"]}
    run = steps(tmp_path / "w", corpora | {"degraded": degraded}, restore=HALVED)
    run.shard()
    sides = {
        member.key: [side.kind for side in member.sides]
        for shard in run.workspace.shards("run")
        for member in run.workspace.members("run", shard)
    }
    assert sides["a/0"] == ["txt"]
    assert sides["b/1"] == []


def test_a_restored_image_over_the_limit_is_a_row(steps, tmp_path, corpora, write_images, pixels):
    write_images(corpora["degraded"], {"c.png": pixels(1, 20, 25)})
    shards = {"images": 3, "max_pixels": 24 * 32, "max_bad_fraction": 0.5}
    run = steps(tmp_path / "w", corpora, restore=HALVED, shards=shards)
    assert run.shard()["run"].refused == {"too large when restored": 1}
    assert len(images_of(run)) == 8


def test_a_check_looks_at_degraded_images_as_at_restored_ones(steps, tmp_path, corpora, pixels):
    run = steps(tmp_path / "w", corpora, restore=HALVED)
    found = {each.what: each for each in check(run.config)}
    assert found["images of degraded"].state == "good"
    assert found["keys of reference"].said == (
        "8 of the first 8 degraded images have their key in reference"
    )
    assert "sizes of restored images and reference" not in found
    other = steps(tmp_path / "w", corpora, restore=SMOOTH)
    found = {each.what: each for each in check(other.config)}
    said = found["sizes of restored images and reference"].said
    assert "has 16×12 pixels and its reference 32×24" in said


def test_a_plan_and_a_report_name_the_degraded_images(steps, tmp_path, corpora):
    run = steps(tmp_path / "w", corpora, restore=HALVED)
    assert [each.step for each in forecast(run.config)][:3] == [
        "shard reference",
        "shard degraded",
        "restore run",
    ]
    facts = {fact.name: fact.value for fact in run_facts(run.config, {}, {})}
    assert facts["restored: run"] == (
        "made from degraded, after downscale (factor 2, kernel bicubic): bicubic"
    )
    assert facts["degraded: degraded"] == str(corpora["degraded"])


def test_the_same_folder_as_degraded_images_and_as_reference_is_refused(steps, tmp_path, corpora):
    from tasks.config.places import require_apart

    given = {"degraded": corpora["degraded"], "reference": corpora["degraded"]}
    config = steps(tmp_path / "w", given, restore=HALVED).config
    with pytest.raises(ConfigurationError, match=r"corpora\.degraded and corpora\.reference must"):
        require_apart(config.workspace, config.corpora)


def test_too_few_patches_count_by_the_size_of_the_restored_images(steps, tmp_path, corpora):
    codec = {"kind": "pixel", "factor": 8}
    small = {"path": str(corpora["degraded"]), "crop": 8, "limit": 6}
    given = corpora | {"degraded": small, "reference": {"path": str(corpora["reference"])}}
    blur = [{"kind": "downscale", "factor": 8}]
    steps(tmp_path / "w", given, codec=codec, restore={"kind": "bicubic", "undoes": blur})
    with pytest.raises(ValidationError, match="'degraded' must hold more patches"):
        steps(tmp_path / "w", given, codec=codec, restore=SMOOTH)


# Keys in which a folder is replaced


@pytest.fixture
def gopro(tmp_path, pixels, softened, write_images):
    """Blurred and sharp images side by side below one root."""
    sharp = {f"{scene}/sharp/{i:06d}.png": pixels(i) for i, scene in enumerate("xxyyz")}
    blur = {name.replace("sharp", "blur"): softened(image) for name, image in sharp.items()}
    return write_images(tmp_path / "gopro", sharp | blur)


def of_gopro(gopro, match=True):
    match = {"match": {"from": "/blur/", "to": "/sharp/"}} if match else {}
    return {
        "degraded": {"path": f"{gopro}/**/blur/*.png"} | match,
        "reference": {"path": f"{gopro}/**/sharp/*.png"},
    }


def test_blurred_images_match_the_sharp_ones_beside_them(steps, tmp_path, gopro):
    run = steps(tmp_path / "w", of_gopro(gopro), restore=SMOOTH)
    rows = run.run()
    assert {row["images"] for row in rows} == {5}
    keys = [key for key, _ in run.workspace.keys("run")]
    assert keys == [key for key, _ in run.workspace.keys("reference")]
    assert keys == sorted(keys)
    assert keys[0] == "x/sharp/000000"
    config = type(run.config).model_validate_json(run.config.model_dump_json())
    assert config == run.config
    assert '"from":"/blur/"' in run.config.model_dump_json()


def test_a_check_says_which_folder_to_replace(steps, tmp_path, gopro):
    config = steps(tmp_path / "w", of_gopro(gopro, match=False), restore=SMOOTH).config
    found = {each.what: each for each in check(config)}
    remedy = "5 would be with another folder: write `match: {from: /blur/, to: /sharp/}`"
    assert remedy in found["keys of reference"].said
    assert found["keys of reference"].state == "bad"


def test_another_match_makes_the_shards_again_and_says_why(steps, tmp_path, gopro):
    run = steps(tmp_path / "w", of_gopro(gopro), restore=SMOOTH)
    run.shard()
    other = of_gopro(gopro)
    other["degraded"]["match"] = {"from": "blur", "to": "sharp"}
    run = steps(tmp_path / "w", other, restore=SMOOTH)
    whys = {each.step: each.why for each in forecast(run.config)}
    assert "the corpus's match changed" in whys["shard degraded"]


def test_a_misspelt_field_of_match_is_named_with_those_that_are_known(tmp_path):
    from tasks.config import load_config

    path = tmp_path / "run.yaml"
    path.write_text(
        "workspace: w\ncorpora: {restored: {path: a, match: {form: x, to: y}}, natural: {path: b}}"
    )
    with pytest.raises(
        ConfigurationError, match=r"match\.form: no such field; known here: from, to"
    ):
        load_config(path)


def test_no_image_at_all_is_told_of_the_degraded_corpus(steps, tmp_path, corpora):
    (tmp_path / "none").mkdir()
    run = steps(tmp_path / "w", corpora | {"degraded": tmp_path / "none"}, restore=HALVED)
    with pytest.raises(CorpusError, match="degraded must hold at least one image"):
        run.shard()


def test_an_export_names_files_as_the_degraded_ones_were_called(steps, tmp_path, gopro):
    from tasks.export.export import write_exported
    from tasks.export.plan import Export

    run = steps(tmp_path / "w", of_gopro(gopro), restore=SMOOTH, enhance={"format": "png"})
    run.run()
    export = Export(run.fitted, str(tmp_path / "out"), 0.5)
    units = export.units()
    export.prepare(units)
    for unit in units:
        write_exported(unit.job)
    out = tmp_path / "out"
    names = sorted(str(path.relative_to(out)) for path in out.glob("*/*/*.png"))
    assert names == sorted(f"{scene}/blur/{i:06d}.png" for i, scene in enumerate("xxyyz"))
    with pytest.raises(ConfigurationError, match="must lie apart"):
        Export(run.fitted, str(gopro / "out"), 0.5)


@pytest.mark.parametrize("hidden", [0, 255])
def test_colours_under_transparency_reach_no_pixel_that_is_seen(
    steps, tmp_path, corpora, write_images, hidden
):
    shown = np.full((12, 16, 4), 128, np.uint8)
    shown[:, 8:] = (hidden, hidden, hidden, 0)
    folder = write_images(tmp_path / "half", {f"{'ab'[i % 2]}/{i}.png": shown for i in range(8)})
    run = steps(tmp_path / "w", {**corpora, "degraded": folder}, restore=HALVED)
    run.shard()
    for image in images_of(run).values():
        assert np.unique(image[:, :16]).tolist() == [128]
