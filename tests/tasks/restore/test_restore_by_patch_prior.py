"""The patch prior as a step of a run."""

import json

import numpy as np
import pytest
import torch

from dot_kernels.degradations import Noise, degrade
from tasks.config import load_config
from tasks.io.errors import ConfigurationError, CorpusError, ImageRefused
from tasks.io.networks.patch_prior.section import PatchPrior
from tasks.io.networks.restorers import load_restorer, restorer_identity
from tasks.upkeep.check import check
from tests.support.pictures import images_of

DEGRADE = [
    {"kind": "gaussian-blur", "size": 4, "sigma": 1.0, "stride": 2},
    {"kind": "noise", "sigma": 0.01},
]
QUICK = {"steps": 3, "samples": 50, "patch_size": 4, "levels": 1}


@pytest.fixture
def references(tmp_path, pixels, write_images):
    images = {f"{'ab'[i % 2]}/{i}.png": pixels(i + 20) for i in range(8)}
    return write_images(tmp_path / "references", images | {"wall.png": pixels(30)})


def made(steps, workspace, photographs, reference, restore=None, **sections):
    restore = {"kind": "patch-prior", "reference": str(reference)} | QUICK | (restore or {})
    given = {"degrade": DEGRADE, "restore": restore} | sections
    return steps(workspace, {"reference": photographs["natural"]}, **given)


@pytest.fixture
def run(steps, tmp_path, photographs, references):
    def make(name="w", reference="wall.png", **sections):
        found = made(steps, tmp_path / name, photographs, references / reference, **sections)
        found.shard()
        return found

    return make


def test_a_run_restores_fits_and_enhances(steps, tmp_path, photographs, references):
    run = made(steps, tmp_path / "w", photographs, references / "wall.png")
    rows = run.run()
    assert {row["images"] for row in rows} == {8}
    clean, found = images_of(run, "reference"), images_of(run)
    assert {key: image.shape for key, image in found.items()} == {
        key: image.shape for key, image in clean.items()
    }
    assert run.shard() == {"reference": None, "run": None}


def test_an_image_is_restored_alike_whatever_its_shard_and_batch(run):
    first, second = (images_of(run(f"w{n}", shards={"images": n})) for n in (3, 8))
    assert list(first) == list(second)
    for key, image in first.items():
        np.testing.assert_array_equal(second[key], image)


def test_references_by_key_are_each_image_s_own(run):
    one, own = run("w1"), run("w2", "{key}.png")
    assert any(not np.array_equal(x, images_of(own)[key]) for key, x in images_of(one).items())


def test_references_by_json_are_those_that_images_of_degraded_shards_name(
    steps, tmp_path, references, pixels, write_images
):
    small = write_images(tmp_path / "small", {f"{i}.png": pixels(i, 10, 14) for i in range(3)})
    for number in range(2):
        (small / f"{number}.json").write_text(json.dumps({"texture": f"a/{2 * number}"}))
    corpora = {
        "degraded": {"path": str(small), "beside": ["json"]},
        "natural": references,
    }
    restore = {"kind": "patch-prior", "reference": f"{references}/{{texture}}.png"} | QUICK
    run = steps(
        tmp_path / "w",
        corpora,
        restore=restore | {"undoes": DEGRADE},
        shards={"max_bad_fraction": 0.5},
    )
    outcome = run.shard()["run"]
    assert outcome.refused == {"its reference must be named by JSON beside it, got none": 1}
    assert {image.shape for image in images_of(run).values()} == {(22, 30, 3)}


def test_another_reference_or_option_restores_again(run, references, pixels, write_images):
    first = run()
    assert first.shard()["run"] is None
    assert run(restore={"seed": 1}).shard()["run"] is None
    write_images(references, {"wall.png": pixels(31)})
    before = images_of(first)
    assert first.shard()["run"] is not None
    assert any(not np.array_equal(x, before[key]) for key, x in images_of(first).items())


def test_an_image_is_drawn_by_its_key_and_the_seed(references, rng):
    spec = PatchPrior(kind="patch-prior", reference=str(references / "wall.png"), **QUICK)
    degradations = (Noise(sigma=0.1),)
    clean = torch.rand(3, 12, 14, generator=rng)
    degraded = degrade(clean, degradations, rng)[None]

    def restored(spec, key):
        return load_restorer(spec, "cpu").restore(degraded, degradations, [key], lambda _: None)

    first = restored(spec, "a")
    assert torch.equal(restored(spec, "a"), first)
    assert not torch.equal(restored(spec, "b"), first)
    assert not torch.equal(restored(spec.model_copy(update={"seed": 1}), "a"), first)
    assert (first.min() >= 0, first.max() <= 1) == (True, True)


def test_images_smaller_than_a_patch_are_refused_with_the_reason(
    steps, tmp_path, photographs, references
):
    run = made(
        steps,
        tmp_path / "w",
        photographs,
        references / "wall.png",
        {"patch_size": 19},
        shards={"max_bad_fraction": 0.5},
    )
    # the reference is 24×32, three of the images 21×17, restored as 22×18
    reason = "image must be at least as large as a patch, 19×19, got 22×18"
    assert run.shard()["run"].refused == {reason: 3}


def test_a_reference_smaller_than_a_patch_stops_the_run(steps, tmp_path, photographs, references):
    run = made(steps, tmp_path / "w", photographs, references / "wall.png", {"patch_size": 25})
    with pytest.raises(ConfigurationError, match="reference must be at least as large as a patch"):
        run.shard()


def test_a_missing_reference_is_told_by_the_check_and_by_the_run(
    steps, tmp_path, photographs, references
):
    run = made(steps, tmp_path / "w", photographs, references / "wall.png")
    found = {each.what: each for each in check(run.config)}
    assert found["reference of the restorer"].state == "good"
    (references / "wall.png").unlink()
    found = {each.what: each for each in check(run.config)}
    assert found["reference of the restorer"].state == "bad"
    with pytest.raises(ConfigurationError, match=r"must be an image file, got .*correct its path"):
        run.shard()


def test_images_that_have_no_reference_are_refused(steps, tmp_path, photographs, references):
    run = made(steps, tmp_path / "w", photographs, references / "a" / "{key}.png")
    with pytest.raises(CorpusError, match=r"reference 'a/0.png' is not in"):
        run.shard()


@pytest.mark.parametrize("sigma", [0.0, 0.02, 0.4])
@pytest.mark.parametrize("reference", ["grey.png", "wall.png"])
def test_a_grey_reference_is_refused_for_images_in_colour_only(
    references, pixels, write_images, rng, reference, sigma
):
    grey = np.repeat(pixels(30).mean(axis=2, keepdims=True).astype(np.uint8), 3, axis=2)
    write_images(references, {"grey.png": grey})
    spec = PatchPrior(kind="patch-prior", reference=str(references / reference), **QUICK)
    restorer, degradations = load_restorer(spec, "cpu"), (Noise(sigma=sigma or 1e-3),)
    without = torch.rand(1, 12, 14, generator=rng).expand(3, -1, -1)
    vivid = torch.tensor([0.0, 0.2, 1.0])[:, None, None].expand(3, 12, 14)

    def restored(image):
        degraded = degrade(image, degradations, torch.Generator().manual_seed(1))
        return restorer.restore(degraded[None], degradations, ["a"])

    assert restored(without).shape == (1, 3, 12, 14)
    if reference == "wall.png":
        assert restored(vivid).shape == (1, 3, 12, 14)
    else:
        with pytest.raises(ImageRefused, match="must be in colour as the image is, got a grey"):
            restored(vivid)


def test_a_relative_reference_counts_from_the_configuration(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        "workspace: w\ncorpora: {reference: {path: r}}\ndegrade: [{kind: noise, sigma: 0.1}]\n"
        "restore: {kind: patch-prior, reference: 'textures/{key}.png'}\n"
    )
    assert load_config(path).restore.reference == str(tmp_path / "textures" / "{key}.png")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rho": 0}, "greater than 0"),
        ({"eps": -1}, "greater than 0"),
        ({"marginal": "loose"}, "'balanced', 'semi', 'unbalanced' or 'wpp'"),
        ({"reference": "r/{}.png"}, "reference: braces must hold key"),
        ({"reference": "ftp://r/x.png"}, "reference: a location must be a folder or begin"),
    ],
)
def test_options_that_are_none_are_refused(change, said):
    with pytest.raises(ValueError, match=said):
        PatchPrior(**({"kind": "patch-prior", "reference": "r.png"} | change))


def test_jpeg_is_refused_at_once(steps, tmp_path, photographs):
    with pytest.raises(ValueError, match=r"by patch-prior cannot undo degrade: .* got jpeg"):
        made(steps, tmp_path / "w", photographs, "r.png", degrade=[{"kind": "jpeg", "quality": 9}])


def test_its_identity_has_all_options_and_the_digest(references):
    spec = PatchPrior(kind="patch-prior", reference=str(references / "wall.png"))
    identity = restorer_identity(spec)
    assert identity.keys() >= {"kind", "marginal", "eps", "rho", "seed", "sha256"}
    assert "reference" not in identity  # the same image elsewhere is the same
