"""Grey, deep and transparent pictures go through fit and pass as what they are.

The files here are plain; what is decoded of them is made grey, deep or transparent, so that this
does not hang on what any format can hold.
"""

import dataclasses

import numpy as np
import pyarrow.parquet as pq
import pytest

import tasks.enhance.signal_images
import tasks.io.shards.loader
from tasks.enhance.scoring import Finisher
from tests.support.pictures import encode

WIDE = np.dtype(np.uint16)


@pytest.fixture
def passed(tmp_path, steps, photographs, monkeypatch):
    """Runs the photographs up to their metrics, decoded as another kind of picture.

    Returns the metric rows, and the images of every signal as they are written, by key.
    """

    def run(changed, name="workspace"):
        written, decode = {}, tasks.io.shards.loader.decode

        def kept(_, item):
            files = {}
            for signal, pixels in item.images.items():
                raster = item.picture.raster.showing(pixels)
                written[item.picture.member.key, signal.label] = raster
                narrow = (pixels / 257).astype(np.uint8) if raster.depth == WIDE else pixels
                files[signal] = encode(narrow, "webp")
            return files

        with monkeypatch.context() as patch:
            patch.setattr(tasks.io.shards.loader, "decode", lambda *args: changed(decode(*args)))
            patch.setattr(Finisher, "_files", kept)
            corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
            whole = steps(tmp_path / name, corpora, enhance={"alphas": [0.0, 1.0]})
            whole.shard()
            whole.fit()
            whole.enhance()
        folder = whole.workspace.store.local(f"metrics/run/{whole.operator}")
        rows = [row for row in pq.read_table(folder).to_pylist() if row["status"] == "ok"]
        return rows, written

    return run


def grey(raster):
    return dataclasses.replace(
        raster, pixels=raster.pixels[..., :1].repeat(3, axis=2), is_grey=True
    )


def deep(raster):
    return dataclasses.replace(raster, pixels=raster.pixels.astype(np.uint16) * 257, bits=16)


def spoiled(raster, colour):
    """A picture whose right half is transparent, with a colour there that is not seen."""
    alpha = np.full(raster.pixels.shape[:2], 255, np.uint8)
    alpha[:, raster.width // 2 :] = 0
    pixels = raster.pixels.copy()
    pixels[alpha == 0] = colour
    return dataclasses.replace(raster, pixels=pixels, alpha=alpha)


def without_marks(rows):
    return [{name: value for name, value in row.items() if name != "fingerprint"} for row in rows]


def test_grey_pictures_stay_grey(passed):
    rows, written = passed(grey)
    assert rows
    for raster in written.values():
        assert raster.is_grey
        assert (raster.pixels == raster.pixels[..., :1]).all()


def test_deep_pictures_are_measured_at_the_depth_that_they_are_written_at(passed, monkeypatch):
    monkeypatch.setattr(
        tasks.enhance.signal_images, "depth_written", lambda raster, _: raster.depth
    )
    shallow, coarse = passed(lambda raster: raster, "plain")
    rows, written = passed(deep)
    assert {raster.depth for raster in written.values()} == {WIDE}
    assert any((raster.pixels % 257 != 0).any() for raster in written.values())
    assert set(written) == set(coarse)
    for name, fine in written.items():
        assert np.abs(fine.pixels / 257 - coarse[name].pixels).max() <= 0.502
    by_name = {(r["key"], r["signal"], r["alpha"]): r for r in shallow}
    assert {(r["key"], r["signal"], r["alpha"]) for r in rows} == set(by_name)
    for row in rows:
        other = by_name[row["key"], row["signal"], row["alpha"]]
        exact = row["signal"] == "input" or row["alpha"] == 1
        assert row["mse"] == pytest.approx(other["mse"], rel=1e-6 if exact else 0.02, abs=1e-6)


def test_what_is_hidden_moves_nothing_that_is_seen(passed):
    """Neither statistics nor pixels nor metrics depend on the colours below alpha 0."""
    rows, written = passed(lambda raster: spoiled(raster, 0), "dark")
    others, too = passed(lambda raster: spoiled(raster, 255), "light")
    assert without_marks(rows) == without_marks(others)
    assert set(written) == set(too)
    for name, first in written.items():
        second, seen = too[name], first.alpha > 0
        np.testing.assert_array_equal(first.pixels[seen], second.pixels[seen])
        assert (first.pixels[~seen] == 0).all()
        assert (second.pixels[~seen] == 255).all()
        np.testing.assert_array_equal(first.alpha, second.alpha)


def test_metrics_weigh_by_alpha(passed):
    """The half that is hidden does not count: rows are those of the other half."""
    rows, _ = passed(lambda raster: spoiled(raster, 77))
    for row in rows:
        if row["signal"] == "input" or row["alpha"] == 1:
            assert row["mse"] < 0.05  # the hidden colour is far from any reference


def transparent(raster):
    return dataclasses.replace(raster, alpha=np.full(raster.pixels.shape[:2], 200, np.uint8))


@pytest.mark.parametrize(("changed", "first"), [(deep, "webp"), (transparent, "jpeg")])
def test_another_format_measures_again_at_its_depth_and_what_it_does_not_refuse(
    tmp_path, steps, photographs, monkeypatch, changed, first
):
    decode = tasks.io.shards.loader.decode
    monkeypatch.setattr(tasks.io.shards.loader, "decode", lambda *args: changed(decode(*args)))
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}

    def rows(name, *formats):
        for file_format in formats:
            options = {"alphas": [0.0], "format": file_format}
            whole = steps(tmp_path / name, corpora, enhance=options)
            whole.shard()
            whole.fit()
            whole.enhance()
        folder = whole.workspace.store.local(f"metrics/run/{whole.operator}")
        return without_marks(pq.read_table(folder).to_pylist())

    assert rows("changed", first, "png") == rows("fresh", "png")


def test_a_reference_that_shows_nothing_where_the_picture_does_measures_nothing(passed):
    def half_hidden_truths(raster):
        is_truth = raster.pixels.std() > 40
        return spoiled(raster, 0) if is_truth else raster

    rows, _ = passed(half_hidden_truths)
    assert rows == []
