"""What a network of 12 channels learns in 800 turns: four minutes of one core."""

import pytest
from ablation import measure

PAIRED = "paired 100"


@pytest.fixture(scope="module")
def rows(test_data, tmp_path_factory):
    """The metrics of noisy photographs, and of those restored by three maps, by their names."""
    wanted = ["noise: input", PAIRED, "noise: both, 2 passes"]
    return measure(test_data, tmp_path_factory.mktemp("rows"), wanted)


@pytest.mark.parametrize("passes", ["1 pass", "2 passes"])
def test_pairs_gain_at_least_five_decibels(rows, passes):
    gain = rows[f"noise: both, {passes}, {PAIRED}"]["psnr"] - rows["noise: input"]["psnr"]
    assert gain >= 5


def test_two_passes_are_no_worse_than_one(rows):
    one, two = (rows[f"noise: both, {each}, {PAIRED}"]["psnr"] for each in ("1 pass", "2 passes"))
    assert two >= one - 0.1


def test_without_pairs_images_come_closer_to_clean_ones(rows):
    """Both as a set, by the distance of features, and one by one."""
    noisy, moved = rows["noise: input"], rows["noise: both, 2 passes"]
    assert moved["fd"] < noisy["fd"]
    assert moved["psnr"] > noisy["psnr"]
