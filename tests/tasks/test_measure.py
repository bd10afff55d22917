"""Moments of shards: independent of the cut, and refusals counted by their reason."""

import pytest
import torch

import tasks.measure
from dot_kernels import GaussianMoments, PixelCodec, patch_moments
from tasks.config import Config
from tasks.io.artifacts import load_moments
from tasks.io.errors import WeightsMissing
from tasks.io.images import encode
from tasks.io.pictures import to_tensor
from tasks.jobs import Outcome
from tasks.measure import WHOLE, image_name, measure_name, plan_both_measurements


@pytest.fixture
def measured(tmp_path, steps, photographs):
    """Shards and measures the photographs."""

    def measure(name="workspace", corpora=None, **sections):
        run = steps(tmp_path / name, corpora or photographs, **sections)
        run.shard()
        run.outcomes = run.fit()
        return run

    return measure


def moments(run, dataset):
    folder = run.workspace.store.local(f"moments/{dataset}/{measure_name(run.config)}")
    return {path.stem: load_moments(path)[0] for path in sorted(folder.iterdir())}


def whole(run, dataset):
    parts = [parts[WHOLE] for parts in moments(run, dataset).values()]
    return sum(parts[1:], parts[0])


def test_moments_do_not_depend_on_sharding_or_batch(measured):
    runs = [
        measured(f"w{images}", shards={"images": images}, compute={"batch": batch})
        for images, batch in ((1, 1), (3, 8), (100, 2))
    ]
    for dataset in ("run", "natural"):
        first, *others = [whole(run, dataset) for run in runs]
        for other in others:
            assert other.count == first.count
            torch.testing.assert_close(other.mean, first.mean)
            torch.testing.assert_close(other.scatter, first.scatter)


def test_moments_are_those_of_the_latent_patches_of_every_image(measured, photographs, pixels):
    run = measured(patches={"size": 3})
    expected = GaussianMoments.zero(12 * 9)
    for seed in range(8):
        image = to_tensor([pixels(seed, *((24, 32) if seed < 5 else (21, 17)))])
        image = image[:, :, : image.shape[2] // 2 * 2, : image.shape[3] // 2 * 2]
        expected = expected + patch_moments(PixelCodec(2).encode(image), 3)
    found = whole(run, "natural")
    assert found.count == expected.count
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.scatter, expected.scatter)


def test_moments_of_single_images_add_up_to_their_shard(measured):
    for parts in moments(measured(), "natural").values():
        images = [value for name, value in parts.items() if name != WHOLE]
        assert len(images) in (2, 3)
        total = sum(images[1:], images[0])
        assert total.count == parts[WHOLE].count
        torch.testing.assert_close(total.scatter, parts[WHOLE].scatter)


def test_only_chosen_images_are_measured(measured):
    run = measured(fit={"images": 4})
    chosen = run.select().target
    names = {name for parts in moments(run, "natural").values() for name in parts} - {WHOLE}
    assert names == {image_name(key) for keys in chosen.values() for key in keys}


def test_an_image_that_is_damaged_behind_its_header_is_counted_and_harms_no_other(
    measured, photographs, pixels, tmp_path, write_images
):
    files = {
        str(path.relative_to(photographs["natural"])): path.read_bytes()
        for path in photographs["natural"].rglob("*.png")
    }
    del files["a/2.png"]
    files["a/2.jpg"] = encode(pixels(2), "jpeg")[:-200]
    broken = write_images(tmp_path / "broken", files)
    run = measured(corpora={"restored": photographs["restored"], "natural": broken})
    refused = [outcome for outcome in run.outcomes if outcome.refused]
    assert refused == [Outcome(images=3, refused={"damaged": 1})]
    names = {name for parts in moments(run, "natural").values() for name in parts} - {WHOLE}
    assert len(names) == 7


class NanAt(PixelCodec):
    """A network that overflows on images that are bright in a corner."""

    def encode(self, images):
        latents = super().encode(images).clone()
        latents[images[:, 0, 0, 0] > 0.99] = torch.nan
        return latents


def test_nan_from_the_network_is_a_reason_and_harms_no_other_image(
    measured, photographs, pixels, tmp_path, write_images, monkeypatch
):
    images = {f"{seed}.png": pixels(seed) for seed in range(4)}
    images["2.png"] = images["2.png"].copy()
    images["2.png"][0, 0] = 255
    corpora = {
        "restored": photographs["restored"],
        "natural": write_images(tmp_path / "bright", images),
    }
    monkeypatch.setattr(tasks.measure, "load_codec", lambda *_: NanAt(2))
    run = measured(corpora=corpora)
    assert [outcome.refused for outcome in run.outcomes if outcome.refused] == [
        {"latents are not finite": 1}
    ]
    assert whole(run, "natural").count == 3 * 12 * 16
    assert bool(torch.isfinite(whole(run, "natural").scatter).all())


def test_a_second_run_measures_nothing_and_a_changed_option_everything(measured):
    run = measured()
    assert run.fit() == []
    selection = run.select()
    other = Config.model_validate(run.config.model_dump() | {"patches": {"size": 3}})
    planned = plan_both_measurements(other, selection, run.workspace)
    assert all(unit.job is not None for unit in planned)
    assert sum(unit.images for unit in planned) == 16


def test_missing_weights_are_told_before_anything_is_measured(measured, tmp_path):
    codec = {"kind": "autoencoder-tiny", "weights": str(tmp_path / "absent")}
    with pytest.raises(WeightsMissing, match=r"codec.weights is a folder with config.json"):
        measured(codec=codec)


def test_moments_of_large_patches_are_not_kept_image_by_image(measured, monkeypatch):
    monkeypatch.setattr(tasks.measure, "KEPT_DIMENSION", 12)
    kept, whole_only = measured("w1"), measured("w3", patches={"size": 3}, fit={"ridge": 0.01})
    assert all(len(parts) > 1 for parts in moments(kept, "natural").values())
    assert all(list(parts) == [WHOLE] for parts in moments(whole_only, "natural").values())
