"""What the curve and the map of two dials know of each other, from hand-made rows."""

from tasks.evaluate.curve import with_map


def row(signal, alpha, share=None, **numbers):
    empty = dict.fromkeys(("psnr", "ssim", "indrmse", "frechet", "lpips"))
    return {"signal": signal, "alpha": alpha, "low_share": share, **empty, **numbers}


def test_the_curve_has_what_the_map_knows_of_the_same_images_and_of_no_others():
    rows = [
        row("enhanced", 0.0, psnr=25.0, indrmse=4.0),
        row("curve", 0.0, psnr=25.0, indrmse=4.0, lpips_change_images=0),
        row("curve", 0.5, psnr=26.0, indrmse=2.0),
        row("map", 0.0, 0.25, psnr=25.0, indrmse=4.0, lpips=0.2, lpips_change_images=3),
        row("map", 0.0, 1.0, psnr=24.0, indrmse=5.0, frechet=8.0),
        row("map", 0.5, 1.0, psnr=26.0, indrmse=2.5, frechet=12.0),
    ]
    first, second, *others = with_map(rows)
    assert second == {**rows[3], "signal": "curve", "low_share": None}
    assert [first, *others] == [rows[0], *rows[2:]]


def test_without_a_reference_they_are_the_same_images_where_the_input_is_as_near():
    rows = [row("curve", 0.0, indrmse=4.0), row("map", 0.0, 0.0, indrmse=4.0, frechet=9.0)]
    assert with_map(rows)[0]["frechet"] == 9.0
