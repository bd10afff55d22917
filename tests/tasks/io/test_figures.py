"""The curve and the pages of a report."""

import io

import numpy as np
from PIL import Image

from tasks.io.figures import perception_distortion_curve
from tasks.io.pages import render_table, thumbnail


def row(signal="enhanced", alpha=0.0, psnr=20.0, lpips=None, gelbrich=1.0):
    return {"signal": signal, "alpha": alpha, "psnr": psnr, "lpips": lpips, "gelbrich": gelbrich}


def test_a_curve_is_a_picture_and_the_same_every_time():
    rows = [row(), row(alpha=1.0, psnr=22.0, gelbrich=2.0), row("input", None, 23.0)]
    first = perception_distortion_curve(rows, "LPIPS-alex")
    assert first == perception_distortion_curve(rows, "LPIPS-alex")
    with Image.open(io.BytesIO(first)) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300


def test_there_is_no_curve_without_distortion_or_perception():
    assert perception_distortion_curve([row(psnr=None)], "LPIPS") is None
    assert perception_distortion_curve([row(gelbrich=None)], "LPIPS") is None
    assert perception_distortion_curve([], "LPIPS") is None


def test_infinite_psnr_is_left_out_of_the_curve():
    rows = [row(), row(alpha=1.0, psnr=float("inf"), gelbrich=float("inf"))]
    assert perception_distortion_curve(rows, "LPIPS") is not None


def test_a_table_is_markdown():
    assert render_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


def test_a_thumbnail_is_an_address_that_holds_a_small_picture():
    address = thumbnail(np.zeros((400, 1000, 3), np.uint8))
    assert address.startswith("data:image/webp;base64,")
    assert len(address) < 2000
