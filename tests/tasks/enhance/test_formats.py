"""Enhanced images are written in the wanted format, with what stood beside the pixels."""

import dataclasses
import io
import tarfile

import imagecodecs
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import tasks.io.shards.loader
from tasks.config import Config
from tasks.io.images import Metadata
from tests.support import colour_profiles

SAID = Metadata(icc=colour_profiles.display_p3(), xmp=b"<x:xmpmeta/>", resolution=(300, 300))
KINDS = {"a": "png", "b": "jpeg", "c": "tiff", "d": "bmp", "e": "webp"}
ENDINGS = {"png": "png", "jpeg": "jpg", "tiff": "tif", "bmp": "bmp", "webp": "webp"}


@pytest.fixture
def written(tmp_path, steps, pixels, softened, monkeypatch):
    """Runs images of all formats up to their tars; returns the run and its files by name."""
    for role, made in (("natural", lambda image: image), ("restored", softened)):
        for number, (key, kind) in enumerate(KINDS.items()):
            path = tmp_path / role / f"{key}.{ENDINGS[kind]}"
            path.parent.mkdir(exist_ok=True)
            out = io.BytesIO()
            Image.fromarray(made(pixels(number))).save(
                out, kind, **({"lossless": True} if kind == "webp" else {})
            )
            path.write_bytes(out.getvalue())

    def run(changed=lambda raster: raster, **enhance):
        monkeypatch.setattr(tasks.io.shards.loader, "decode", lambda *args: changed(decoded(*args)))
        corpora = {role: tmp_path / role for role in ("natural", "restored")}
        whole = steps(tmp_path / "w", corpora, enhance={"alphas": [0.5], **enhance})
        whole.shard()
        whole.fit()
        whole.enhance()
        folder = whole.workspace.store.local(f"enhanced/run/{whole.operator}/alpha=+0.50")
        found = {}
        for path in sorted(folder.glob("*.tar")):
            with tarfile.open(path) as tar:
                found |= {m.name: tar.extractfile(m).read() for m in tar}
            index = pq.read_table(path.with_suffix(".parquet"))
            assert set(index["member"].to_pylist()) <= {*found, None}
        return whole, found

    return run


decode = tasks.io.shards.loader.decode


def decoded(*args):
    """An image as it will be decoded where its file has a profile, XMP and a resolution."""
    raster = decode(*args)
    said = SAID._replace(xmp=b"") if raster.file_format == "bmp" else SAID
    return dataclasses.replace(raster, metadata=said)


def test_each_image_is_kept_in_its_own_format_with_what_stood_beside_it(written):
    _, found = written(format="keep")
    assert set(found) == {f"{key}.{ENDINGS[kind]}" for key, kind in KINDS.items()}
    for name, data in found.items():
        with Image.open(io.BytesIO(data)) as image:
            assert image.format.lower() == KINDS[name[0]]
            if image.format != "BMP":
                assert image.info["icc_profile"] == SAID.icc
                assert SAID.xmp in data


@pytest.mark.parametrize("form", ["png", "tiff", "avif", "jxl", "webp"])
def test_profiles_reach_every_format(written, form):
    _, found = written(format=form)
    assert {name.rpartition(".")[2] for name in found} == {ENDINGS.get(form, form)}
    for name, data in found.items():
        assert (SAID.xmp in data) == (name[0] != "d")  # no BMP has any
        if form == "jxl":
            assert imagecodecs.jpegxl_decode(data).shape == (24, 32, 3)
            continue
        with Image.open(io.BytesIO(data)) as image:
            assert image.info["icc_profile"] == SAID.icc


def deep(raster):
    return dataclasses.replace(raster, pixels=raster.pixels.astype(np.uint16) * 257, bits=16)


def test_deep_images_are_written_deep_where_the_format_can(written):
    _, found = written(deep, format="png")
    for data in found.values():
        levels = imagecodecs.png_decode(data)
        assert levels.dtype == np.uint16
        assert (levels % 257).any()  # it is no widened image of 8 bits


def test_a_transparent_image_is_a_refused_row_where_the_format_has_no_alpha(written):
    def transparent(raster):
        if raster.file_format != "png":
            return raster
        return dataclasses.replace(raster, alpha=np.full(raster.pixels.shape[:2], 9, np.uint8))

    run, found = written(transparent, format="jpeg")
    assert set(found) == {f"{key}.jpg" for key in KINDS if key != "a"}
    folder = run.workspace.store.local(f"enhanced/run/{run.operator}/alpha=+0.50")
    tables = [pq.read_table(path).to_pylist() for path in folder.glob("*.parquet")]
    rows = {row["key"]: row["reason"] for table in tables for row in table}
    assert rows["a"] == "transparent, which jpeg cannot hold; png holds it"


@pytest.mark.parametrize(
    ("file_format", "is_made_anew"), [("png", False), ("jpeg", True), ("keep", True)]
)
def test_quality_makes_lossy_images_anew_and_no_others(written, file_format, is_made_anew):
    run, _ = written(format=file_format)
    tree = run.config.model_dump()
    tree["enhance"] |= {"quality": 50, "subsampling": "4:2:0"}
    again = type(run)(Config.model_validate(tree))
    assert [bool(job.enhanced) for job in again.enhancement_jobs()] == [True] * 2 * is_made_anew
