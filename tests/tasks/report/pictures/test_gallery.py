"""Pictures of the report: which, from where, and in which states."""

import base64
import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.evaluate.summarise import NAMES
from tasks.report.pictures.gallery import SAMPLES, gallery, input_is_a_knot, sample_keys
from tasks.report.pictures.worst_and_best import find_extremes


def comparisons(run):
    ends = find_extremes(run.fitted)
    return gallery(run.fitted, NAMES, ends)


def test_every_image_is_in_one_comparison_whatever_it_is_shown_for(finished):
    chosen, extremes = comparisons(finished)
    assert [comparison.key for comparison in chosen] == list(sample_keys(finished.opened))
    keys = [comparison.key for comparison in (*chosen, *extremes)]
    assert len(keys) == len(set(keys))
    assert len({comparison.name for comparison in (*chosen, *extremes)}) == len(keys)


def test_images_at_the_ends_say_so_wherever_they_are_shown(finished):
    ends = find_extremes(finished.fitted)
    ranks = {shown.key: shown.ranks for group in comparisons(finished) for shown in group}
    worst = ends[0].worst[0]
    assert f"worst change of PSNR at alpha 0: {worst.value:+.2f}" in ranks[worst.key]
    assert any("second best change of SSIM" in rank for rank in ranks[ends[1].best[1].key])


def test_a_comparison_has_every_version_and_the_knots_of_its_slider(finished):
    for comparison in comparisons(finished)[0]:
        assert [(p.name, p.role, p.alpha) for p in comparison.pictures] == [
            ("input x*", "input", None),
            ("alpha 0", "enhanced", 0.0),
            ("alpha 0.5", "enhanced", 0.5),
            ("alpha 1", "enhanced", 1.0),
            ("reference", "reference", None),
        ]
        sizes = {(p.cutout.width, p.cutout.height) for p in comparison.pictures}
        assert len(sizes) == 1


def test_pictures_are_those_of_their_keys(finished, pixels):
    (comparison,) = (c for group in comparisons(finished) for c in group if c.key == "a/4")
    (reference,) = (p for p in comparison.pictures if p.role == "reference")
    data = base64.b64decode(reference.cutout.address.partition(",")[2])
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), pixels(4))


def test_pictures_have_their_metrics_at_their_alpha(finished):
    (comparison,) = (c for group in comparisons(finished) for c in group if c.key == "a/4")
    values = {picture.name: picture.values for picture in comparison.pictures}
    assert values["reference"] == ""
    (row,) = (
        row
        for path in (
            finished.workspace.store.local(f"metrics/run/{finished.operator}/alpha+0.50")
        ).glob("*.parquet")
        for row in pq.read_table(path).to_pylist()
        if row["key"] == "a/4"
    )
    assert values["alpha 0.5"] == f"PSNR {row['psnr']:.2f} dB, SSIM {row['ssim']:.4f}"
    assert values["input x*"] == values["alpha 1"]


@pytest.mark.parametrize(
    ("options", "is_knot"),
    [
        ({"alphas": [0, 0.5]}, True),
        ({"alphas": [0, 1]}, False),
        ({"alphas": [0], "decoding": "direct"}, True),
        ({"alphas": [0], "interpolation": "latent"}, True),
        ({"alphas": [0], "interpolation": "latent", "decoding": "direct"}, False),
    ],
)
def test_the_input_is_a_knot_where_it_is_what_alpha_1_gives(steps, options, is_knot):
    run = steps("/nowhere", {"restored": "/r", "natural": "/n"}, enhance=options)
    assert input_is_a_knot(run.config) == is_knot


def test_images_are_sampled_of_the_first_shards_that_have_any(
    tmp_path, steps, write_images, pixels
):
    names = [f"{number:02d}.png" for number in range(12)]
    images = {name: pixels(number) for number, name in enumerate(names)}
    bad = dict.fromkeys(names[:4], b"no image")
    corpora = {
        "natural": write_images(tmp_path / "natural", images),
        "restored": write_images(tmp_path / "restored", images | bad),
    }
    run = steps(tmp_path / "w", corpora, shards={"images": 3, "max_bad_fraction": 1})
    run.shard()
    accepted = run.workspace.shards("run")
    assert 0 in accepted.values()
    sampled = sample_keys(run.opened)
    assert len(sampled) == SAMPLES
    found = {m.key: shard for shard in accepted for m in run.workspace.members("run", shard)}
    assert sampled.items() <= found.items()
