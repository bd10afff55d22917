"""Features are taken in the enhance pass, once, before any encoding; the same for every cut."""

import dataclasses
import json
import shutil
import tarfile

import polars
import pytest
import torch
from prefect.logging import disable_run_logger
from torchvision.models import squeezenet1_1
from workspaces import plain_pipeline as pipeline

import tasks.enhance.enhance
import tasks.enhance.perception
import tasks.evaluate.extract
import tasks.fit.measure
from dot_kernels import PixelCodec
from tasks.enhance.signals import fetch_metric_weights, networks_in_use
from tasks.evaluate import overlap
from tasks.io.artifacts.moments import load_moments
from tasks.io.draws import draw_of
from tasks.io.errors import WeightsMissing
from tasks.io.images import Limits
from tasks.io.images.pixels import to_bytes, to_tensor
from tasks.io.networks.features import extractors
from tasks.io.networks.features.extractors import load_extractor
from tasks.io.networks.features.feature_networks import Extracted
from tasks.io.networks.published_weights import PUBLISHED
from tasks.report.outcome import read_results
from tasks.report.report import make_report, plan_report
from tasks.upkeep.status import status_of_steps
from tests.support.pictures import decode, encode

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 20)
SIGNALS = ("alpha+0.00", "alpha+0.50", "alpha+1.00", "input", "codec", "codec_input")
KEYS = ["a/0", "a/2", "a/4", "a/6", "b/1", "b/3", "b/5", "b/7"]


def save_random_weights(path, seed=0):
    torch.manual_seed(seed)  # torchvision initialises from the global state
    torch.save(squeezenet1_1(weights=None).state_dict(), path)
    extractors._load_extractor.cache_clear()


@pytest.fixture(scope="module")
def torch_home(tmp_path_factory):
    """A hub folder with random weights of SqueezeNet, and no way to any other."""
    home = tmp_path_factory.mktemp("torch")
    checkpoints = home / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    save_random_weights(checkpoints / PUBLISHED["squeezenet"].name)

    def closed(*_, **__):
        raise OSError("no route to host")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        patch.setattr(torch.hub, "download_url_to_file", closed)
        yield checkpoints
    extractors._load_extractor.cache_clear()


@pytest.fixture
def weights(torch_home):
    """The file of random weights; it is put back as it was."""
    path = torch_home / PUBLISHED["squeezenet"].name
    kept = path.read_bytes()
    yield path
    path.write_bytes(kept)
    extractors._load_extractor.cache_clear()


@pytest.fixture
def corpora(photographs):
    return {"restored": photographs["restored"], "reference": photographs["natural"]}


@pytest.fixture
def featured(tmp_path, torch_home, steps, corpora):
    """Makes the steps of a configuration with features, in a workspace of this name."""

    def make(name="workspace", images=None, **sections):
        sections["evaluate"] = {"features": "squeezenet", **sections.get("evaluate", {})}
        return steps(tmp_path / name, images or corpora, **sections)

    return make


@pytest.fixture(scope="module")
def whole(tmp_path_factory, torch_home, steps, photographs):
    """A run with features, and its rows; to read."""
    run = steps(
        tmp_path_factory.mktemp("whole"),
        {"restored": photographs["restored"], "reference": photographs["natural"]},
        evaluate={"features": "squeezenet"},
    )
    return run, pipeline.run(run.config)


@pytest.fixture
def changeable(whole, tmp_path, featured):
    """The same run, in a workspace that may be changed."""
    shutil.copytree(whole[0].config.workspace, tmp_path / "workspace")
    return featured()


@pytest.fixture
def looks(monkeypatch):
    """Counts the images that the network looks at, by who asks: the pass, or the extraction."""
    seen = {}
    for module in (tasks.enhance.perception, tasks.evaluate.extract):
        seen[module.__name__] = 0

        def counted(*arguments, name=module.__name__):
            extractor = load_extractor(*arguments)

            def run(images):
                seen[name] += len(images)
                return extractor.run(images)

            return dataclasses.replace(extractor, run=run)

        monkeypatch.setattr(module, "load_extractor", counted)
    return seen


def files_of(run, signal, extension="parquet"):
    folder = run.workspace.store.local(f"features/run/{run.operator}/{signal}")
    return sorted(folder.glob(f"*.{extension}"))


def features_of(run, signal):
    """Features by key."""
    tables = [polars.read_parquet(path) for path in files_of(run, signal)]
    return {key: features for table in tables for key, features in table.iter_rows()}


def network_folders(run, dataset="reference"):
    folder = run.workspace.store.local(f"features/{dataset}")
    return sorted(path for path in folder.iterdir() if path.name.startswith("squeezenet-"))


def rows_of(run):
    return {(row["signal"], row["alpha"]): row for row in pipeline.run(run.config)}


def finished_up_to_scores(run):
    run.shard()
    run.fit()
    run.outcomes = run.enhance()
    return run


# What the network sees


def test_every_image_has_features_for_every_signal_in_order_of_keys(whole):
    run, _ = whole
    for signal in SIGNALS:
        tables = [polars.read_parquet(path) for path in files_of(run, signal)]
        assert [table["key"].to_list() for table in tables] == [KEYS[:3], KEYS[3:6], KEYS[6:]]
        assert {len(row) for table in tables for row in table["features"]} == {128}


def test_features_are_those_of_the_pixels_that_are_written(whole):
    run, _ = whole
    extractor = load_extractor("squeezenet", "cpu")
    for signal in ("alpha+0.00", "alpha+0.50"):
        found = features_of(run, signal)
        tars = f"enhanced/run/{run.operator}/{signal.replace('alpha', 'alpha=')}"
        for key, pixels in pixels_in(run, tars).items():
            expected = extractor(to_bytes(to_tensor([pixels]))).features[0]
            torch.testing.assert_close(torch.tensor(found[key]), expected)


def pixels_in(run, folder):
    """Decoded images of an enhanced data set by key."""
    found = {}
    for path in sorted(run.workspace.store.local(folder).glob("*.tar")):
        with tarfile.open(path) as archive:
            for info in archive.getmembers():
                data = archive.extractfile(info).read()
                found[info.name.rpartition(".")[0]] = decode(data, LIMITS)
    return found


def test_features_do_not_depend_on_the_format_of_the_files(featured, whole):
    run = finished_up_to_scores(featured(enhance={"alphas": [0, 0.5, 1], "format": "jpeg"}))
    for signal in SIGNALS:
        pairs = zip(files_of(run, signal), files_of(whole[0], signal), strict=True)
        for lossy, lossless in pairs:
            assert lossy.read_bytes() == lossless.read_bytes()


def test_features_of_the_codecs_controls_are_those_of_what_the_codec_gives_back(whole):
    run, _ = whole
    (folder,) = network_folders(run)
    reference = polars.concat([polars.read_parquet(path) for path in sorted(folder.iterdir())])
    # The pixel codec gives back what it takes, in another order in memory.
    same = [
        (features_of(run, "codec_input"), features_of(run, "input")),
        (features_of(run, "codec"), dict(reference.iter_rows())),
    ]
    for found, expected in same:
        assert found.keys() == expected.keys()
        torch.testing.assert_close(
            torch.tensor(list(found.values())), torch.tensor(list(expected.values()))
        )


# How often it looks


def test_the_network_looks_once_at_every_image_of_every_signal(featured, looks):
    run = featured()
    rows = rows_of(run)
    assert looks == {"tasks.enhance.perception": 8 * len(SIGNALS), "tasks.evaluate.extract": 8}
    assert {row["featured"] for row in rows.values()} == {8}
    assert rows_of(run) == rows
    assert looks == {"tasks.enhance.perception": 8 * len(SIGNALS), "tasks.evaluate.extract": 8}


def test_another_alpha_costs_one_look_at_its_images_and_none_at_the_reference(
    changeable, featured, looks
):
    run = featured(enhance={"alphas": [0, 0.25, 0.5, 1]})
    pipeline.run(run.config)
    assert looks == {"tasks.enhance.perception": 8, "tasks.evaluate.extract": 0}


def test_files_in_another_format_are_looked_at_again_their_references_not(
    changeable, featured, looks
):
    run = featured(enhance={"alphas": [0, 0.5, 1], "format": "png"})
    pipeline.run(run.config)
    assert looks == {"tasks.enhance.perception": 8 * len(SIGNALS), "tasks.evaluate.extract": 0}


def test_another_network_sees_everything_again_and_has_features_of_its_own(
    changeable, weights, looks
):
    before = features_of(changeable, "input")
    save_random_weights(weights, seed=1)
    rows = rows_of(changeable)
    assert looks == {"tasks.enhance.perception": 8 * len(SIGNALS), "tasks.evaluate.extract": 8}
    assert len(network_folders(changeable)) == 2
    assert features_of(changeable, "input").keys() == before.keys()
    assert features_of(changeable, "input") != before
    assert rows["codec", None]["frechet"] == pytest.approx(0, abs=1e-9)


def test_weights_that_are_replaced_while_the_process_lives_are_used(changeable, weights):
    before = features_of(changeable, "input")
    extractors.load_extractor("squeezenet", "cpu")
    torch.manual_seed(1)
    torch.save(squeezenet1_1(weights=None).state_dict(), weights)
    pipeline.run(changeable.config)
    assert features_of(changeable, "input") != before


def test_a_changed_image_costs_a_look_at_its_shard_alone(
    featured, tmp_path, pixels, softened, write_images, looks
):
    names = [f"{i}.png" for i in range(7)]
    natural = {name: pixels(i) for i, name in enumerate(names)}
    images = {
        "restored": write_images(
            tmp_path / "restored", {name: softened(image) for name, image in natural.items()}
        ),
        "reference": write_images(tmp_path / "reference", natural),
        # The operator is fitted on the first three.
        "natural": write_images(tmp_path / "natural", {name: natural[name] for name in names[:3]}),
    }
    run = featured(images=images, enhance={"alphas": [0]}, evaluate={"controls": False})
    pipeline.run(run.config)
    looks.update(dict.fromkeys(looks, 0))
    write_images(tmp_path / "restored", {"4.png": softened(pixels(40))})
    pipeline.run(run.config)
    assert looks == {"tasks.enhance.perception": 3, "tasks.evaluate.extract": 0}
    looks.update(dict.fromkeys(looks, 0))
    write_images(tmp_path / "reference", {"6.png": pixels(60)})
    pipeline.run(run.config)
    assert looks == {"tasks.enhance.perception": 1, "tasks.evaluate.extract": 1}


# Who has none


def test_images_too_small_for_the_network_have_no_features_and_everything_else(
    featured, monkeypatch
):
    for module in (tasks.enhance.perception, tasks.evaluate.extract):
        monkeypatch.setattr(
            module,
            "load_extractor",
            lambda *_: dataclasses.replace(load_extractor("squeezenet", "cpu"), shortest_side=22),
        )
    run = featured()
    for row in pipeline.run(run.config):
        assert (row["images"], row["featured"]) == (8, 5)
        assert row["frechet"] is not None
    large = [key for key in KEYS if int(key[2:]) < 5]
    for signal in SIGNALS:
        assert list(features_of(run, signal)) == large
    assert len(pixels_in(run, f"enhanced/run/{run.operator}/alpha=+0.00")) == 8


def test_a_run_where_no_image_is_large_enough_goes_on(featured, monkeypatch):
    for module in (tasks.enhance.perception, tasks.evaluate.extract):
        monkeypatch.setattr(
            module,
            "load_extractor",
            lambda *_: dataclasses.replace(load_extractor("squeezenet", "cpu"), shortest_side=300),
        )
    for row in pipeline.run(featured().config):
        assert (row["images"], row["featured"], row["frechet"]) == (8, 0, None)
        assert row["mse"] is not None


def test_a_damaged_image_has_no_features(featured, corpora, tmp_path, pixels, softened):
    restored = shutil.copytree(corpora["restored"], tmp_path / "restored")
    (restored / "a/2.png").unlink()
    (restored / "a/2.jpg").write_bytes(encode(softened(pixels(2)), "jpeg")[:-300])
    run = finished_up_to_scores(featured(images=corpora | {"restored": restored}))
    for signal in SIGNALS:
        assert list(features_of(run, signal)) == [key for key in KEYS if key != "a/2"]


class NanInDecoder(PixelCodec):
    """A network that overflows where an image is bright in the corner."""

    def decode(self, latents):
        images = super().decode(latents).clone()
        images[images[:, 0, 0, 0] > 0.99] = torch.nan
        return images


def test_an_image_that_the_network_turned_into_nan_has_no_features(
    featured, corpora, tmp_path, write_images, monkeypatch, pixels, softened
):
    restored = shutil.copytree(corpora["restored"], tmp_path / "restored")
    bright = softened(pixels(3))
    bright[:2, :2] = 255
    write_images(restored, {"b/3.png": bright})
    for module in (tasks.fit.measure, tasks.enhance.enhance):
        monkeypatch.setattr(module, "load_codec", lambda *_: NanInDecoder(2))
    run = finished_up_to_scores(
        featured(images=corpora | {"restored": restored}, fit={"pairing": "unpaired"})
    )
    for signal in SIGNALS:
        assert list(features_of(run, signal)) == [key for key in KEYS if key != "b/3"]


@pytest.fixture
def too_long(featured, photographs, tmp_path, pixels, write_images):
    """A run with an image that its format cannot hold."""
    # Not below the shortest side of the network, but too long for WebP.
    long = pixels(9, 8, 16_384)
    folder = write_images(tmp_path / "long", {"a.png": long, "b.png": pixels(1)})
    images = {"restored": folder, "natural": photographs["natural"]}
    run = featured(images=images, enhance={"alphas": [0]}, evaluate={"controls": False})
    return finished_up_to_scores(run)


def test_an_image_too_long_for_the_format_has_no_features(too_long):
    assert list(features_of(too_long, "alpha+0.00")) == ["b"]


def test_an_image_too_long_for_the_format_counts_in_no_distance_of_latents(too_long):
    (path,) = files_of(too_long, "alpha+0.00", "safetensors")
    assert load_moments(path)[0]["latent_patches"].count == 12 * 16


def test_unscored_images_have_features(featured, corpora, photographs, tmp_path):
    reference = shutil.copytree(corpora["reference"], tmp_path / "reference")
    (reference / "a/0.png").unlink()
    (reference / "b/7.png").unlink()
    natural = {"path": str(photographs["natural"]), "name": "originals"}
    run = featured(images=corpora | {"reference": reference, "natural": natural})
    for (signal, _), row in rows_of(run).items():
        assert row["images"] == 6
        assert row["featured"] == (6 if signal == "codec" else 8)  # it is the reference's
    assert list(features_of(run, "alpha+0.00")) == KEYS


def test_without_a_reference_features_are_compared_with_the_natural_images(featured, photographs):
    run = featured(images=photographs)
    rows = rows_of(run)
    assert len(network_folders(run, "natural")) == 1
    assert rows["enhanced", 0.0]["frechet"] < rows["input", None]["frechet"]
    assert rows["codec", None]["featured"] == 0
    assert rows["codec", None]["frechet"] is None


# What they are compared with

OF_TWO_SETS = ("frechet", "frechet_error", "kernel", "kernel_spread", "precision", "recall")


@pytest.fixture
def compared(featured, corpora, write_images, pixels, tmp_path):
    """Runs with other photographs beside the references, compared as asked; rows and facts."""
    others = {f"{number}.png": pixels(50 + number, 24, 32) for number in range(10)}
    corpora |= {"natural": write_images(tmp_path / "natural", others)}

    def compare(against):
        evaluate = {"against": against, "curve": {"step": 0.5, "networks": True}}
        run = featured(images=corpora, evaluate=evaluate, enhance={"alphas": [0.5]})
        rows = rows_of(run)
        _, job = plan_report(run.fitted)
        make_report(job)
        folder = run.workspace.store.local(f"reports/run/{run.operator}")
        return rows, json.loads((folder / "run.json").read_text("utf-8")), folder

    return compare


def test_one_run_compares_with_own_references_and_with_other_photographs(compared):
    own, record, _ = compared("reference")
    assert record["metrics"]["compared_with"] == "own references"
    others, record, _ = compared("natural")
    assert record["metrics"]["compared_with"] == "other photographs"
    both, record, folder = compared(["reference", "natural"])
    for signal, row in both.items():
        for name in OF_TWO_SETS:
            assert row[name] == own[signal][name]
            if signal[0] != "curve":
                assert row[f"{name}_second"] == others[signal][name]
                assert own[signal][f"{name}_second"] is None
    for ending in ("", "_second"):
        value, change = f"frechet{ending}", f"frechet_change{ending}"
        row, before = both["enhanced", 0.5], both["input", None]
        assert row[change] == pytest.approx(row[value] - before[value], abs=1e-12)
        errors = [one[f"frechet_error{ending}"] for one in (row, before)]
        assert 0 < row[f"frechet_change_error{ending}"] < sum(errors)
        assert before[change] is None
    unmoved = both["curve", 1.0]
    assert [unmoved["frechet_change"], unmoved["frechet_change_error"]] == [0, 0]
    assert both["enhanced", 0.5]["precision_error"] is None  # halves of eight images
    said = {name: record["metrics"][name] for name in record["metrics"] if "compared" in name}
    assert said == {
        "compared_with": "own references",
        "compared_dataset": "reference",
        "second_compared_with": "other photographs",
    }
    assert record["columns"]["frechet_second"]["title"].endswith(" to other photographs")
    legend = (
        "compare with the images' own references (data set reference); columns that say so, "
        "with other photographs (data set natural)"
    )
    assert legend in (folder / "report.html").read_text("utf-8").replace("&#39;", "'")


def test_the_change_is_over_the_same_images_where_those_of_the_fit_are_left_out(
    featured, monkeypatch
):
    monkeypatch.setattr(overlap, "ENOUGH", 3)
    curve = {"curve": {"step": 0.5, "networks": True}}
    run = featured(evaluate=curve, enhance={"alphas": [0.5]}, fit={"images": 4})
    rows = rows_of(run)
    after, before, unmoved = rows["enhanced", 0.5], rows["input", None], rows["curve", 1.0]
    assert [row["featured"] for row in (after, before, unmoved)] == [4, 4, 4]
    assert after["frechet_change"] == pytest.approx(after["frechet"] - before["frechet"], abs=1e-12)
    assert 0 < after["frechet_change_error"] < after["frechet_error"] + before["frechet_error"]
    assert [unmoved["frechet_change"], unmoved["frechet_change_error"]] == [0, 0]


def test_the_order_says_which_data_set_comes_first(compared):
    rows, record, _ = compared(["natural", "reference"])
    assert record["metrics"]["compared_dataset"] == "natural"
    assert record["metrics"]["second_dataset"] == "reference"
    row = rows["enhanced", 0.5]
    assert row["kernel_corrected"] is None  # no key is shared
    assert row["kernel_corrected_second"] is not None


def test_points_of_the_curve_have_errors_of_the_frechet_distance(compared):
    rows, _, _ = compared("reference")
    points = [row for (signal, _), row in rows.items() if signal == "curve"]
    assert len(points) > 2
    assert all(row["frechet_error"] > 0 for row in points)
    (point,) = (row for row in points if row["alpha"] == 0.5)
    assert point["frechet_error"] == pytest.approx(rows["enhanced", 0.5]["frechet_error"], rel=0.1)


# Weights that are not there


def test_missing_weights_leave_a_gap_and_the_rest_unharmed(featured, weights, whole):
    weights.unlink()
    run = featured()
    rows = rows_of(run)
    for row in whole[1]:
        found = rows[row["signal"], row["alpha"]]
        for name in ("images", "mse", "psnr", "ssim", "gelbrich", "mse_error"):
            assert found[name] == row[name]
        assert found["featured"] == 0
        for name in ("frechet", "kernel", "precision", "recall", "inception_score"):
            assert found[name] is None
    assert files_of(run, "input") == []
    assert networks_in_use(run.fitted) == {}
    with disable_run_logger():  # goes on without
        fetch_metric_weights(run.fitted)


def test_weights_that_arrive_later_fill_the_gap(featured, weights, whole, looks):
    kept = weights.read_bytes()
    weights.unlink()
    run = featured()
    pipeline.run(run.config)
    weights.write_bytes(kept)
    assert pipeline.run(run.config) == whole[1]
    assert looks == {"tasks.enhance.perception": 8 * len(SIGNALS), "tasks.evaluate.extract": 8}


def test_tables_with_features_are_kept_when_the_weights_go_missing(changeable, weights):
    run = changeable
    assert networks_in_use(run.fitted) == {"features": "squeezenet"}
    weights.unlink()
    with pytest.raises(WeightsMissing, match=r"feature network squeezenet needs .*put it at"):
        fetch_metric_weights(run.fitted)


def test_a_finished_table_can_be_chosen_from_where_the_weights_are_not(changeable, weights):
    assert not any("up to date" in note for note in read_results(changeable.config).notes)
    weights.unlink()
    results = read_results(changeable.config)
    assert results.rows
    assert results.notes[-1] == (
        "it cannot be known whether the fidelity table is up to date: the weights of squeezenet "
        f"must be on this machine, but are not in {weights.parent}; set TORCH_HOME as it was when "
        "the configuration ran, or do this where it runs"
    )


def test_status_tells_weights_that_are_gone_from_a_network_that_is_another(changeable, weights):
    weights.unlink()
    told = {step.name: set(step.reasons) for step in status_of_steps(changeable.config)}
    (reason,) = told["enhance run"]
    assert reason == (
        "the weights or network of the features (none now: not asked for, or not on this machine, "
        "see TORCH_HOME) changed"
    )


# What an earlier run left


def with_classes(module, monkeypatch):
    """A network with classes in place of SqueezeNet."""

    def loaded(*arguments):
        extractor = load_extractor(*arguments)

        def run(images):
            features, _ = extractor.run(images)
            return Extracted(features, features[:, :5] * 10)

        return dataclasses.replace(extractor, classes=5, run=run)

    monkeypatch.setattr(module, "load_extractor", loaded)


def many(pixels, count=40, size=(16, 16)):
    """Images of all ten groups."""
    images = {f"{i:02d}.png": pixels(i, *size) for i in range(count)}
    groups = {draw_of(name.removesuffix(".png")) % 10 for name in images}
    assert groups == set(range(10))
    return images


@pytest.fixture
def plenty(tmp_path, pixels, softened, write_images):
    """Forty images, so that every group has some."""
    natural = many(pixels)
    return {
        "restored": write_images(
            tmp_path / "plenty" / "restored", {n: softened(image) for n, image in natural.items()}
        ),
        "reference": write_images(tmp_path / "plenty" / "reference", natural),
    }


ALONE = {"enhance": {"alphas": [0]}, "evaluate": {"controls": False}}


def test_class_sums_of_the_network_before_give_no_inception_score(
    featured, plenty, weights, monkeypatch
):
    run = featured(images=plenty, shards={"images": 50}, **ALONE)
    with monkeypatch.context() as patch:
        with_classes(tasks.enhance.perception, patch)
        (row,) = pipeline.run(run.config)
    assert row["inception_score"] > 1
    save_random_weights(weights, seed=1)  # another network, without classes
    (row,) = pipeline.run(run.config)
    assert row["inception_score"] is None


def test_features_that_are_no_longer_wanted_are_not_counted(changeable, featured):
    run = featured(evaluate={"features": None})
    assert {row["featured"] for row in pipeline.run(run.config)} == {0}


# Sharding


def colours(images):
    """A network whose answer for an image cannot depend on the batch: means of blocks."""
    features = images[:, :, ::4, ::4].flatten(1).float()
    return Extracted(features[:, :12] / 255, features[:, :4] / 60)


def fidelity_by_shards(featured, images, name, size, batch=8, **sections):
    shards, compute = {"images": size}, {"batch": batch}
    return rows_of(featured(name, images, shards=shards, compute=compute, **sections))


FIDELITY = [
    "frechet",
    "frechet_error",
    "frechet_extrapolated",
    "kernel",
    "kernel_spread",
    "precision",
    "recall",
    "inception_score",
    "inception_score_spread",
]


def test_fidelity_does_not_depend_on_sharding(featured, plenty, monkeypatch):
    for module in (tasks.enhance.perception, tasks.evaluate.extract):
        monkeypatch.setattr(
            module,
            "load_extractor",
            lambda *_: extractors.Extractor(12, 4, 4, colours),
        )
    three = fidelity_by_shards(featured, plenty, "three", 3)
    eight = fidelity_by_shards(featured, plenty, "eight", 8)
    assert three.keys() == eight.keys()
    for signal, row in three.items():
        for name in FIDELITY:
            assert row[name] is not None
            # The latent transport is float32, and the operator's moments merge in another
            # order; rounding to eight bits hides that. Sums of classes merge so too.
            assert eight[signal][name] == pytest.approx(row[name], rel=1e-9, abs=1e-9)


def test_fidelity_of_a_real_network_depends_on_sharding_by_its_batches_alone(featured, plenty):
    three, eight = (
        fidelity_by_shards(featured, plenty, f"alone-{size}", size, 1, **ALONE) for size in (3, 8)
    )
    batches = fidelity_by_shards(featured, plenty, "batches", 8, 8, **ALONE)
    (signal,) = three
    for name in FIDELITY[:7]:
        assert eight[signal][name] == pytest.approx(three[signal][name], rel=1e-9, abs=1e-9)
        # A convolution of eight images may sum in another order than one of one: float32.
        assert batches[signal][name] == pytest.approx(three[signal][name], rel=1e-4, abs=1e-6)
