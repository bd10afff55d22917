"""A finished run as other programs read it, wherever it lies and however."""

import hashlib
import io
import pickle
import shutil
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from PIL import Image, ImageCms
from torch.utils.data import DataLoader
from workspaces.read_by_workers import Enhanced

from tasks.io.errors import ConfigurationError, ShardDamaged, StepMissing
from tasks.io.shards import read_index
from tasks.io.workspace import Workspace
from tasks.library import FinishedRun, asked
from tests.support.pictures import encode
from tests.support.standins.packages_on_path import installed, project

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def run(finished):
    return FinishedRun.of(finished.config)


@pytest.fixture(params=["a bucket", "files of their own"])
def elsewhere(request, finished, photographs, steps, tmp_path):
    """The same run, laid down otherwise."""
    if request.param == "a bucket":
        url = request.getfixturevalue("bucket").upload(Path(finished.config.workspace), "copy")
        return FinishedRun.of(finished.config.model_copy(update={"workspace": url}))
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    again = steps(tmp_path / "work", corpora, enhance={"alphas": [0, 0.5, 1], "outputs": "files"})
    again.run()
    return FinishedRun.of(again.config)


def everything(run):
    """All that a caller can read, in order, as values."""
    versions = (*run.alphas, "input", "reference")
    decoded = {
        v: [(p.key, p.shard, p.pixels.tobytes(), p.file_format) for p in run.images(v)]
        for v in versions
    }
    files = {v: list(run.files(v)) for v in versions}
    metrics = run.metrics().drop_columns("fingerprint").to_pydict()
    return decoded, files, metrics, run.fidelity().to_pydict()


def test_what_is_read_does_not_depend_on_where_it_lies(run, elsewhere):
    assert repr(everything(elsewhere)) == repr(everything(run))  # NaN is equal to none


def test_images_are_those_that_were_written_in_the_order_of_shards(run, photographs):
    assert (len(run), run.alphas, len(run.shards)) == (8, (0.0, 0.5, 1.0), 3)
    given = {
        str(path.relative_to(photographs["restored"]).with_suffix("")): np.asarray(Image.open(path))
        for path in photographs["restored"].rglob("*.png")
    }
    for version in (1.0, "input"):
        found = {picture.key: picture.pixels for picture in run.images(version)}
        assert found.keys() == given.keys()
        for key, pixels in found.items():
            np.testing.assert_array_equal(pixels, given[key])
    natural = next(run.images("reference"))
    source = photographs["natural"] / f"{natural.key}.png"
    np.testing.assert_array_equal(natural.array(), np.asarray(Image.open(source)))
    places = [(picture.shard, picture.key) for picture in run.images(0)]
    assert places == [(file.shard, file.key) for file in run.files(0)]
    assert [shard for shard, _ in places] == sorted(shard for shard, _ in places)


def test_files_are_the_bytes_of_the_shards(run, finished):
    folder = f"enhanced/run/{finished.operator}/alpha=+0.50"
    files = list(run.files(0.5))
    assert {file.extension for file in files} == {"webp"}
    for shard in run.shards:
        table = read_index(finished.workspace.store, f"{folder}/{shard}.parquet")
        ours = [hashlib.sha256(file.data).hexdigest() for file in files if file.shard == shard]
        assert ours == table["sha256"].to_pylist()
    assert Image.open(io.BytesIO(files[0].data)).format == "WEBP"


def test_workers_share_the_shards_and_one_image_is_found_by_its_key(run):
    halves = [[p.key for p in run.images(0, run.shards[i::2])] for i in range(2)]
    assert all(halves)
    assert sorted(halves[0] + halves[1]) == sorted(p.key for p in run.images(0))
    assert next(run.images(-0.0)).key == next(run.images(0)).key
    for picture in run.images(0.5):
        again = run.image(picture.key, 0.5)
        assert again.shard == picture.shard
        np.testing.assert_array_equal(again.pixels, picture.pixels)


def test_tables_are_arrow_with_a_row_for_each_image_and_signal(run):
    table = run.metrics()
    assert table.num_rows == 8 * (3 + 3)  # three alphas, three controls
    half = run.metrics(0.5, columns=["key", "alpha", "psnr", "mse"])
    assert half.column_names == ["key", "alpha", "psnr", "mse"]
    ours = table.filter((pc.field("signal") == "enhanced") & (pc.field("alpha") == 0.5))
    assert half["psnr"].to_pylist() == ours["psnr"].to_pylist()
    assert set(run.metrics("input")["signal"].to_pylist()) == {"input"}
    assert [t.num_rows for t in run.metrics_by_shard(0)] == [3, 3, 2]
    for row, picture in zip(half.to_pylist(), run.images(0.5), strict=True):
        assert row["key"] == picture.key
        truth = run.image(picture.key, "reference").pixels / 255
        assert row["mse"] == pytest.approx(((picture.pixels / 255 - truth) ** 2).mean())
    means = run.fidelity().filter(pc.field("alpha") == 0.5)
    assert means["psnr"].to_pylist() == [pytest.approx(np.mean(half["psnr"].to_pylist()))]
    assert run.fidelity().schema.metadata


def test_what_was_not_made_is_told_with_what_was_and_at_once(run):
    with pytest.raises(ConfigurationError, match=r"0, 0\.5, 1, 'input', 'reference', got 0\.3; "):
        run.images(0.3)
    with pytest.raises(ConfigurationError, match="got 'curve'"):
        run.files("curve")
    with pytest.raises(ConfigurationError, match=r"one of run\.shards, got 'shard-000009'"):
        run.images(0, ["shard-000000", "shard-000009"])
    with pytest.raises(ConfigurationError, match="has as alpha 0, got 'a/none'"):
        run.image("a/none", 0)
    with pytest.raises(
        ConfigurationError, match=r"of a signal: 0, 0\.5, 1, 'input', 'codec', 'cod"
    ):
        run.metrics("curve")
    with pytest.raises(ConfigurationError, match=r"got 0\.3"):
        run.metrics(0.3)


def test_a_run_that_is_not_finished_is_refused_in_a_sentence(finished, steps, photographs):
    config = finished.config
    more = config.enhance.model_copy(update={"alphas": (0.0, 0.25, 0.5)})
    told = r"'run' must be finished to be read, .* at alpha 0\.25 .*; run `dotpipe run CONFIG`"
    with pytest.raises(StepMissing, match=told):
        FinishedRun.of(config.model_copy(update={"enhance": more}))
    other = config.enhance.model_copy(update={"format": "png"})
    with pytest.raises(StepMissing, match=r"at alpha 0, 0\.5, 1 with these options and images"):
        FinishedRun.of(config.model_copy(update={"enhance": other}))


def test_before_and_after_each_step_it_says_what_is_missing(steps, photographs, tmp_path):
    corpora = {"restored": photographs["restored"], "natural": photographs["natural"]}
    made = steps(tmp_path / "work", corpora, enhance={"alphas": [0]})
    for step in (lambda: None, made.shard, made.fit):
        step()
        with pytest.raises(StepMissing, match=r"run `dotpipe \w+ CONFIG` first"):
            FinishedRun.of(made.config)
    made.enhance()
    run = FinishedRun.of(made.config)
    assert len(list(run.images(0))) == 8
    with pytest.raises(StepMissing, match="run `dotpipe evaluate CONFIG` first"):
        run.fidelity()
    with pytest.raises(ConfigurationError, match="by name: 0, 'input', got 'reference'"):
        run.images("reference")
    made.report()
    assert FinishedRun.of(made.config).fidelity().num_rows > 1


def test_tables_of_before_are_not_given_for_those_of_now(
    steps, photographs, pixels, write_images, tmp_path
):
    restored = tmp_path / "restored"
    shutil.copytree(photographs["restored"], restored)
    corpora = {"restored": restored, "reference": photographs["natural"]}
    made = steps(tmp_path / "work", corpora, enhance={"alphas": [0]}, fit={"images": 4})
    made.run()
    opened, operator = FinishedRun.of(made.config), made.operator
    before = opened.fidelity().num_rows
    # evaluated, then grown
    write_images(restored, {"z/new.png": pixels(99)})
    made.shard()
    made.fit()
    made.enhance()
    assert made.operator == operator  # the new image is none of the four
    again = FinishedRun.of(made.config)
    assert len(again) == len(opened) + 1
    with pytest.raises(StepMissing, match="with the images and options of now; run `dotpipe eval"):
        again.fidelity()
    made.run()
    assert FinishedRun.of(made.config).fidelity().num_rows == before
    # a metric is asked for that is in no table yet
    told = made.config.evaluate.model_copy(update={"curve": None, "controls": False})
    fewer = made.config.model_copy(update={"evaluate": told})
    FinishedRun.of(fewer)
    with pytest.raises(StepMissing, match="run `dotpipe evaluate CONFIG` first"):
        FinishedRun.of(fewer).fidelity()


def test_a_metric_that_was_not_asked_for_before_makes_a_run_unfinished(
    steps, photographs, tmp_path
):
    corpora = {"restored": photographs["restored"], "natural": photographs["natural"]}
    package = (
        project("metric", "mean:Mean"),
        (
            "class Mean:\n    better = 'more'\n    def __init__(self, device): pass\n"
            "    def __call__(self, image): return image.mean()\n"
        ),
    )
    made = steps(tmp_path / "work", corpora, enhance={"alphas": [0]})
    made.run()
    told = made.config.evaluate.model_copy(update={"plug_ins": ("mean",)})
    more = made.config.model_copy(update={"evaluate": told})
    with (
        installed(tmp_path / "site", *package),
        pytest.raises(StepMissing, match=r"but 3 of its 3 shards have not all metrics of these op"),
    ):
        FinishedRun.of(more)
    FinishedRun.of(more)  # it cannot be known without the package


def test_one_image_after_the_other_opens_no_catalogue_again(run, monkeypatch):
    pictures, opened = list(run.images(0.5)), []
    monkeypatch.setattr(Workspace, "catalogue", watched(Workspace.catalogue, opened))
    asked._catalogue.cache_clear()
    for picture in pictures:
        assert run.image(picture.key, "reference", picture.shard).shard == picture.shard
    assert opened == []
    for picture in pictures:  # the shard that is named is the first, and not the only one
        assert run.image(picture.key, "reference", run.shards[0]).shard == picture.shard
        assert run.image(picture.key, "reference", "none").shard == picture.shard
    assert len(opened) == 1


def watched(function, calls):
    return lambda *given: calls.append(given) or function(*given)


def test_images_keep_what_their_files_are(steps, pixels, write_images, tmp_path):
    colour = [pixels(i) for i in range(4)]
    deep = encode(colour[3].astype(np.uint16) * 257 + 3, "png")
    opacity = np.where(colour[1][..., 0] > 128, 255, 100).astype(np.uint8)
    known = io.BytesIO()
    Image.fromarray(colour[2]).save(known, "PNG", icc_profile=PROFILE, dpi=(300, 300))
    given = {
        "clear.png": np.dstack([colour[1], opacity]),
        "deep.png": deep,
        "grey.png": colour[0][..., 0],
        "known.png": known.getvalue(),
    }
    natural = {f"{i}.png": pixels(i + 9) for i in range(4)}
    corpora = {
        "restored": write_images(tmp_path / "restored", given),
        "natural": write_images(tmp_path / "natural", natural),
    }
    made = steps(tmp_path / "work", corpora, enhance={"alphas": [0], "format": "png"})
    made.run()
    run = FinishedRun.of(made.config)
    found = {picture.key: picture for picture in run.images(0)}
    assert found["deep"].pixels.dtype == np.uint16
    assert (found["deep"].bits, found["deep"].file_format) == (16, "png")
    np.testing.assert_array_equal(found["clear"].opacity, opacity)
    assert found["clear"].array().shape == (24, 32, 4)
    assert found["clear"].pil().mode == "RGBA"
    assert found["grey"].is_grey
    assert (found["grey"].array().shape, found["grey"].pil().mode) == ((24, 32), "L")
    assert found["known"].icc == PROFILE
    assert found["known"].pil().info["icc_profile"] == PROFILE
    assert found["known"].resolution == pytest.approx((300, 300), abs=0.1)
    shown = np.asarray(found["deep"].pil()).astype(float)
    np.testing.assert_allclose(shown, found["deep"].pixels / 257, atol=0.5)
    pipe = run.operator("cpu")
    for picture in run.images("input"):
        enhanced = pipe.enhance(picture.array(), 0.0)
        np.testing.assert_array_equal(enhanced, found[picture.key].array())


def test_the_operator_makes_of_other_images_what_the_run_makes(run):
    pipe = run.operator("cpu")
    for alpha in run.alphas:
        written = {picture.key: picture.pixels for picture in run.images(alpha)}
        for picture in run.images("input"):
            np.testing.assert_array_equal(pipe.enhance(picture.pixels, alpha), written[picture.key])


@pytest.mark.parametrize(
    "sections",
    [
        {"enhance": {"alphas": [0.5], "decoding": "direct", "low_share": 0.5}},
        {"enhance": {"alphas": [0.5], "interpolation": "latent"}, "patches": {"size": 3}},
        {"enhance": {"alphas": [0.5], "seed": 3}, "codec": {"kind": "pixel", "factor": 4}},
    ],
)
def test_it_has_the_options_of_the_configuration(steps, photographs, tmp_path, sections):
    corpora = {"restored": photographs["restored"], "natural": photographs["natural"]}
    flat = tmp_path / "flat"  # its patches of few dimensions need noise
    shutil.copytree(photographs["restored"], flat)
    if "codec" in sections:
        for path in flat.rglob("*.png"):
            image = Image.open(path)
            width, height = image.size
            small = image.resize((width // 4, height // 4), Image.Resampling.BOX)
            small.resize((width // 4 * 4, height // 4 * 4), Image.Resampling.NEAREST).save(path)
        corpora["restored"] = flat
    made = steps(tmp_path / "work", corpora, **sections)
    made.shard()
    made.fit()
    made.enhance()
    run = FinishedRun.of(made.config)
    pipe = run.operator("cpu")
    assert pipe.is_stochastic == ("codec" in sections)
    written = {picture.key: picture.pixels for picture in run.images(0.5)}
    for picture in run.images("input"):
        again = pipe.enhance(picture.pixels, 0.5, key=picture.key)
        np.testing.assert_array_equal(again, written[picture.key])


def test_a_damaged_shard_is_an_error_that_names_the_remedy(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished.config.workspace, copy)
    run = FinishedRun.of(finished.config.model_copy(update={"workspace": str(copy)}))
    (tar, *_) = sorted((copy / "enhanced").rglob("alpha=+0.50/*.tar"))
    data = tar.read_bytes()
    tar.write_bytes(data[:600] + bytes([data[600] ^ 1]) + data[601:])
    with pytest.raises(ShardDamaged, match="run `dotpipe verify CONFIG`"):
        list(run.images(0.5))
    assert len(list(run.images(0))) == 8


def test_it_goes_to_other_processes(run):
    again = pickle.loads(pickle.dumps(run))
    assert repr(again) == repr(run)
    assert [f.data for f in again.files(0.5)] == [f.data for f in run.files(0.5)]


@pytest.mark.slow  # a page is run with forked workers, in a process of its own
@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_of_a_data_loader_read_a_bucket(finished, bucket, context):
    url = bucket.upload(Path(finished.config.workspace), "copy")
    run = FinishedRun.of(finished.config.model_copy(update={"workspace": url}))
    expected = {picture.key: picture.pixels.sum() for picture in run.images(0.5)}  # opened here
    loader = DataLoader(
        Enhanced(run, 0.5), batch_size=None, num_workers=2, multiprocessing_context=context
    )
    assert {key: pixels.sum() for key, pixels in loader} == expected
