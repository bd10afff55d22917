"""An operator by itself: its file names its codec, and images come out as from the pipeline."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from dot_kernels import PixelCodec
from dot_kernels.dials import LowBand
from dot_kernels.rounds import Between
from tasks.direct.apply import apply, images_to_enhance
from tasks.direct.operator_file import OperatorFile
from tasks.io.artifacts.moments import load_operator, save_operator
from tasks.io.errors import ConfigurationError
from tasks.io.images import Limits, Raster
from tasks.io.networks.codecs import Pixel
from tasks.io.shards import members_of, read_index, read_members
from tasks.io.store import Store
from tasks.io.workspace import Signal, enhanced_folder
from tests.support.pictures import decode, encode

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 20)


@pytest.fixture(scope="module")
def operator(finished):
    """The file of the operator of a finished run."""
    return finished.workspace.store.local(f"operators/run/{finished.operator}.safetensors")


def enhanced_by_the_run(finished, alpha):
    """The enhanced images of the run, by key, as pixels."""
    folder = enhanced_folder("run", finished.operator, Signal("enhanced", alpha))
    store, found = finished.workspace.store, {}
    for shard in finished.workspace.shards("run"):
        members = members_of(read_index(store, f"{folder}/{shard}.parquet"), folder)
        found |= {m.key: decode(data, LIMITS) for m, data in read_members(store, members)}
    return found


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_images_are_those_of_the_pipeline(finished, operator, photographs, tmp_path, alpha):
    images = images_to_enhance([str(photographs["restored"])], str(tmp_path / "out"))
    done = list(apply(OperatorFile.load(operator), images, alpha, LIMITS))
    assert [each.reason for each in done] == [None] * 8
    for key, pixels in enhanced_by_the_run(finished, alpha).items():
        written = np.asarray(Image.open(tmp_path / "out" / f"{key}.png"))
        np.testing.assert_array_equal(written, pixels)


def test_the_header_names_the_codec_and_tensors_go_through(operator):
    file = OperatorFile.load(operator)
    assert isinstance(file.codec.codec, PixelCodec)
    assert file.facts["codec"] == {"kind": "pixel", "factor": 2}
    images = torch.rand(2, 3, 10, 12)
    enhanced = file.enhance(images, [0.0, 1.0])
    assert enhanced.shape == (2, 2, 3, 10, 12)
    torch.testing.assert_close(enhanced[1], images)


def test_another_codec_is_refused(operator):
    with pytest.raises(ConfigurationError, match="the one that the operator was fitted with"):
        OperatorFile.load(operator, Pixel(factor=4))


def test_a_codec_from_a_folder_must_be_given(operator, tmp_path):
    known, moments, facts = load_operator(operator)
    facts["codec"] = {"kind": "autoencoder-tiny", "sha256": ["a", "b"]}
    save_operator(known, moments, tmp_path / "mine.safetensors", **facts)
    with pytest.raises(ConfigurationError, match="must be given with --codec FOLDER"):
        OperatorFile.load(tmp_path / "mine.safetensors")


@pytest.mark.parametrize("content", [None, b"", b"no tensors", json.dumps({}).encode()])
def test_what_is_no_operator_is_told(tmp_path, content):
    path = tmp_path / "mine.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="an operator must be a whole file of"):
        OperatorFile.load(path)


def test_one_file_becomes_one_file_of_the_format_that_its_name_says(
    operator, photographs, tmp_path
):
    source = photographs["restored"] / "a" / "0.png"
    images = images_to_enhance([str(source)], str(tmp_path / "mine.webp"))
    list(apply(OperatorFile.load(operator), images, 0.0, LIMITS))
    with Image.open(tmp_path / "mine.webp") as written:
        assert (written.format, written.size) == ("WEBP", (32, 24))


def test_one_object_of_a_bucket_becomes_one_file_too(operator, photographs, bucket, tmp_path):
    store = Store(f"s3://{bucket.name}/in")
    store.write("0.png", (photographs["restored"] / "a" / "0.png").read_bytes())
    (image,) = images_to_enhance([store.address("0.png")], str(tmp_path / "mine.webp"))
    list(apply(OperatorFile.load(operator), [image], 0.0, LIMITS))
    assert (tmp_path / "mine.webp").is_file()


def test_an_image_whose_name_is_refused_is_told(operator, tmp_path, write_images):
    grey = np.full((9, 9, 3), 7, np.uint8)
    folder = write_images(tmp_path / "in", {"a.png": grey, "a.webp": grey, "b\n.png": grey})
    images = images_to_enhance([str(folder)], str(tmp_path / "out"))
    done = list(apply(OperatorFile.load(operator), images, 0.0, LIMITS))
    told = [each.reason.partition(":")[0] for each in done if each.reason is not None]
    assert told == ["key taken", "name holds control characters"]
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["a.png"]


def test_a_damaged_image_is_refused_and_the_others_are_written(operator, tmp_path, write_images):
    grey = np.full((9, 9, 3), 7, np.uint8)
    folder = write_images(tmp_path / "in", {"a.png": b"no image", "b.png": grey})
    images = images_to_enhance([str(folder)], str(tmp_path / "out"))
    first, second = apply(OperatorFile.load(operator), images, 0.0, LIMITS)
    assert first.reason
    assert second.reason is None
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["b.png"]


def test_nothing_that_is_there_is_replaced(photographs, tmp_path):
    (tmp_path / "out" / "a").mkdir(parents=True)
    (tmp_path / "out" / "a" / "0.png").write_bytes(b"an original")
    with pytest.raises(ConfigurationError, match=r"0\.png must not exist yet, got a file"):
        images_to_enhance([str(photographs["restored"])], str(tmp_path / "out"))


def test_images_are_not_written_among_those_that_are_read(photographs):
    folder = photographs["restored"]
    for out in (folder, folder / "out"):
        with pytest.raises(ConfigurationError, match="OUT must lie outside of what is read"):
            images_to_enhance([str(folder)], str(out))


def test_what_is_not_there_and_two_of_one_name_are_told(photographs, tmp_path):
    with pytest.raises(ConfigurationError, match="IN must be an image file or a folder"):
        images_to_enhance([str(tmp_path / "none")], str(tmp_path / "out"))
    with pytest.raises(ConfigurationError, match=r"two images would become 'a/0\.png'"):
        images_to_enhance(
            [str(photographs["restored"]), str(photographs["natural"])], str(tmp_path / "out")
        )


@pytest.mark.parametrize("band", [None, LowBand(share=0.25, sigma=2.0)])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_a_large_image_is_enhanced_in_bands_as_in_one_piece(operator, alpha, band, rng):
    raster = Raster(pixels=(torch.rand(61, 75, 3, generator=rng) * 255).byte().numpy())
    options = Between(low_band=band)
    large, small = (OperatorFile.load(operator, options=options, tile=tile) for tile in (8, 512))
    found, whole = (file.enhance_image(raster, alpha) for file in (large, small))
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, whole)
    if band is not None and alpha < 1:
        assert (found != OperatorFile.load(operator).enhance_image(raster, alpha)).any()
    with pytest.raises(ConfigurationError, match="at most eight tiles with interpolation: latent"):
        replace(large, interpolation="latent").enhance_image(raster, alpha)


def test_grey_deep_and_transparent_images_are_those_of_the_pipeline(
    steps, pixels, softened, write_images, tmp_path
):
    images = {f"{i}.png": pixels(i) for i in range(4)}
    images["grey.png"] = images["0.png"][..., 0]
    images["clear.png"] = np.dstack([images["1.png"], images["2.png"][..., 0] // 128 * 255])
    deep = encode(images["3.png"].astype(np.uint16) * 257 + 3, "png")
    natural = write_images(tmp_path / "natural", images)
    restored = write_images(
        tmp_path / "restored", {n: softened(i) for n, i in images.items()} | {"deep.png": deep}
    )
    corpora = {"restored": restored, "natural": natural}
    run = steps(tmp_path / "work", corpora, enhance={"alphas": [0], "format": "png"})
    run.shard()
    run.fit()
    run.enhance()
    file = run.workspace.store.local(f"operators/run/{run.operator}.safetensors")
    wanted = images_to_enhance([str(restored)], str(tmp_path / "out"))
    assert {each.reason for each in apply(OperatorFile.load(file), wanted, 0.0, LIMITS)} == {None}
    folder, store = f"enhanced/run/{run.operator}/alpha=+0.00", run.workspace.store
    for shard in run.workspace.shards("run"):
        members = members_of(read_index(store, f"{folder}/{shard}.parquet"), folder)
        for member, data in read_members(store, members):
            assert (tmp_path / "out" / f"{member.key}.png").read_bytes() == data, member.key
