"""Moments of shards: independent of the cut, and refusals counted by their reason."""

import shutil

import pytest
import torch
from PIL import Image

import tasks.fit.measure
from dot_kernels import GaussianMoments, PixelCodec, patch_moments
from tasks.config import Config, Run
from tasks.fit.measure import WHOLE, image_name
from tasks.fit.measurement_plan import measure_name, plan_both_measurements
from tasks.fit.select import choice_of
from tasks.io.artifacts.moments import load_moments
from tasks.io.errors import WeightsMissing
from tasks.io.images.pixels import to_tensor
from tasks.jobs.progress import reporting_to
from tests.support.pictures import encode


@pytest.fixture
def measured(tmp_path, steps, photographs):
    """Shards and measures the photographs."""

    def measure(name="workspace", corpora=None, **sections):
        run = steps(tmp_path / name, corpora or photographs, **sections)
        run.shard()
        run.outcomes = run.fit()
        return run

    return measure


def moments_of(run, dataset):
    """The folder of moments of a run's choice of images."""
    measure, choice = measure_name(run.config), choice_of(run.config)
    return run.workspace.store.local(f"moments/{dataset}/{measure}/{choice}")


def moments(run, dataset):
    folder = moments_of(run, dataset)
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
    assert [(outcome.images, outcome.refused) for outcome in refused] == [(3, {"damaged": 1})]
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
    monkeypatch.setattr(tasks.fit.measure, "load_codec", lambda *_: NanAt(2))
    run = measured(corpora=corpora)
    assert [outcome.refused for outcome in run.outcomes if outcome.refused] == [
        {"latents are not finite": 1}
    ]
    assert whole(run, "natural").count == 3 * 12 * 16
    assert bool(torch.isfinite(whole(run, "natural").scatter).all())


def test_a_second_run_measures_nothing_and_a_changed_option_everything(measured):
    run = measured()
    assert run.fit() == []
    other = Config.model_validate(run.config.model_dump() | {"patches": {"size": 3}})
    planned = plan_both_measurements(Run(other, run.workspace))
    assert all(unit.job is not None for unit in planned)
    assert sum(unit.images for unit in planned) == 16


def test_missing_weights_are_told_before_anything_is_measured(measured, tmp_path):
    codec = {"kind": "autoencoder-tiny", "weights": str(tmp_path / "absent")}
    with pytest.raises(WeightsMissing, match=r"codec.weights is a folder with config.json"):
        measured(codec=codec)


def test_moments_of_large_patches_are_not_kept_image_by_image(measured, monkeypatch):
    monkeypatch.setattr(tasks.fit.measure, "KEPT_DIMENSION", 12)
    kept, whole_only = measured("w1"), measured("w3", patches={"size": 3}, fit={"ridge": 0.01})
    assert all(len(parts) > 1 for parts in moments(kept, "natural").values())
    assert all(list(parts) == [WHOLE] for parts in moments(whole_only, "natural").values())


class Counting(PixelCodec):
    """Counts the images it encodes."""

    encoded = 0

    def encode(self, images):
        type(self).encoded += len(images)
        return super().encode(images)


@pytest.fixture
def encoded(monkeypatch):
    """Tells how many images were encoded since it was asked the last time."""
    monkeypatch.setattr(Counting, "encoded", 0)
    monkeypatch.setattr(tasks.fit.measure, "load_codec", lambda *_: Counting(2))

    def count():
        counted, Counting.encoded = Counting.encoded, 0
        return counted

    return count


def files(run):
    """The files of moments of a run's choice of images."""
    folder = run.workspace.store.local("moments")
    paths = sorted(folder.glob(f"*/*/{choice_of(run.config)}/shard-*"))
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def facts(run):
    """What the records of moments say."""
    survey, ledger = run.workspace.ledger.survey("moments"), run.workspace.ledger
    return [
        ledger.facts(record)
        for artifact in survey.artifacts()
        for record in survey.records(artifact)
        if "shard-" in artifact
    ]


def test_an_image_taken_out_of_the_choice_costs_no_encoding(measured, monkeypatch, encoded):
    measured()
    assert encoded() == 16
    monkeypatch.setattr(tasks.fit.measure, "load_codec", None)
    fewer = measured(fit={"images": 7})
    monkeypatch.setattr(tasks.fit.measure, "load_codec", lambda *_: Counting(2))
    assert files(fewer) == files(measured("fresh", fit={"images": 7}))


def test_an_image_added_to_the_choice_is_encoded_alone(measured, encoded):
    measured(fit={"images": 5})
    assert encoded() == 10
    more = measured(fit={"images": 6})
    assert encoded() == 2
    assert files(more) == files(measured("fresh", fit={"images": 6}))


@pytest.fixture
def changing(photographs, tmp_path):
    """The photographs, whose natural ones may be changed."""
    return photographs | {"natural": shutil.copytree(photographs["natural"], tmp_path / "natural")}


def test_a_changed_image_is_encoded_alone(measured, changing, encoded, pixels, write_images):
    measured(corpora=changing)
    assert encoded() == 16
    write_images(changing["natural"], {"a/4.png": pixels(99)})
    run = measured(corpora=changing)
    assert encoded() == 1
    assert files(run) == files(measured("fresh", changing))


def test_pixels_that_are_only_stored_anew_give_the_same_operator(
    measured, changing, encoded, pixels
):
    first = measured(corpora=changing).operator
    Image.fromarray(pixels(4)).save(changing["natural"] / "a/4.png", compress_level=0)
    assert encoded() == 16
    assert measured(corpora=changing).operator == first
    assert encoded() == 1


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_without_the_old_moments_all_images_of_a_shard_are_encoded(
    measured, changing, encoded, pixels, write_images, damage
):
    run = measured(corpora=changing)
    encoded()
    folder = moments_of(run, "natural")
    damage(folder / "shard-000000.safetensors")
    write_images(changing["natural"], {"a/0.png": pixels(99)})
    run = measured(corpora=changing)
    assert encoded() == 3
    assert files(run) == files(measured("fresh", changing))


def test_moments_that_no_record_vouches_for_are_measured_again(measured, encoded):
    run = measured()
    encoded()
    shutil.rmtree(run.workspace.store.local("ledger/moments"))
    measured()
    assert encoded() == 16


def test_fits_on_more_and_fewer_of_the_same_images_keep_their_moments(measured, encoded):
    few, more = ({"fit": {"images": images}} for images in (3, 6))
    first = measured(**few).operator
    assert encoded() == 6
    second = measured(**more).operator
    assert encoded() == 6  # those of the first fit are known
    assert measured(**few).outcomes == measured(**more).outcomes == []
    assert first != second
    assert encoded() == 0


def test_moments_of_an_earlier_version_are_taken_as_they_are(measured, encoded):
    run = measured()
    encoded()
    without_folder_of_choice(run)
    assert (again := measured()).outcomes == []
    assert again.operator == run.operator
    assert encoded() == 0


def without_folder_of_choice(run):
    """Lays moments, and their records, where versions before folders of choices had them."""
    root, choice = run.workspace.store.local(""), choice_of(run.config)
    for folder in sorted(root.glob(f"**/{choice}")):
        for path in sorted(folder.iterdir()):
            text = path.read_bytes()
            if path.suffix == ".json":
                text = text.replace(f"/{choice}/".encode(), b"/")
            (folder.parent / path.name).write_bytes(text)
        shutil.rmtree(folder)


class Cramped(PixelCodec):
    """A network on a device with memory for two images, and for none of 32 × 24 pixels."""

    def encode(self, images):
        if len(images) > 2 or images.shape[2] == 24:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().encode(images)


def test_batches_that_do_not_fit_are_halved_and_images_that_do_not_are_refused(
    measured, monkeypatch, memory_limits
):
    expected = moments(measured("roomy", shards={"images": 8}), "natural")["shard-000000"]
    monkeypatch.setattr(tasks.fit.measure, "load_codec", lambda *_: Cramped(2))
    run = measured(shards={"images": 8})
    found = moments(run, "natural")["shard-000000"]
    assert set(found) == {WHOLE, *(image_name(key) for key in ("a/6", "b/5", "b/7"))}
    for name in found.keys() - {WHOLE}:
        assert torch.equal(found[name].scatter, expected[name].scatter)
    for outcome in run.outcomes:
        assert outcome.refused == {"out of memory on the device": 5}
        assert outcome.remarks == {"batch_reduced_to": 1}
    assert [fact["batch_reduced_to"] for fact in facts(run)] == [1, 1]


def in_half(network):
    """Loads the network in bfloat16, and one without its flaws in float32."""
    return lambda _, __, precision, ___: PixelCodec(2) if precision == "float32" else network


def test_what_overflows_in_half_precision_is_encoded_again_in_float32(
    measured, photographs, pixels, tmp_path, write_images, monkeypatch
):
    images = {f"{seed}.png": pixels(seed) for seed in range(4)}
    images["2.png"][0, 0] = 255
    corpora = {
        "restored": photographs["restored"],
        "natural": write_images(tmp_path / "bright", images),
    }
    expected = whole(measured("exact", corpora), "natural")
    monkeypatch.setattr(tasks.fit.measure, "load_codec", in_half(NanAt(2)))
    run = measured(corpora=corpora, compute={"precision": "bfloat16"})
    torch.testing.assert_close(whole(run, "natural").scatter, expected.scatter)
    assert [outcome.refused for outcome in run.outcomes if outcome.refused] == []
    again = [fact["again_in_float32"] for fact in facts(run) if "again_in_float32" in fact]
    assert again == [1]


def test_every_chosen_image_is_told_as_progress(tmp_path, steps, photographs):
    run = steps(
        tmp_path / "workspace",
        {"restored": photographs["restored"], "natural": photographs["natural"]},
    )
    run.shard()
    told = []
    with reporting_to(told.append):
        run.fit()
    assert sum(told) == 16


def test_a_tile_is_in_the_name_of_moments_only_where_tiles_are_blended(run_of):
    published = {"weights": "some/where", "revision": "0" * 40}
    names = {
        kind: [measure_name(run_of({"kind": kind, **rest}, tile)) for tile in (512, 1024)]
        for kind, rest in [
            ("pixel", {}),
            ("autoencoder-tiny", published),
            ("autoencoder-kl", published),
        ]
    }
    assert [len(set(each)) for each in names.values()] == [1, 1, 2]


@pytest.fixture
def run_of(tmp_path):
    """A configuration with a codec and a tile."""

    def make(codec, tile):
        corpora = {"restored": {"path": str(tmp_path)}, "natural": {"path": str(tmp_path)}}
        return Config.model_validate(
            {
                "name": "run",
                "workspace": str(tmp_path / "workspace"),
                "corpora": corpora,
                "codec": codec,
                "compute": {"tile": tile},
            }
        )

    return make
