"""Textures cut for the study of the patch prior: opposite corners, and a defect of a fifth."""

import sys

import cut_textures
import numpy as np
import pytest
from PIL import Image

SIDE = 30


@pytest.fixture
def textures(tmp_path):
    """A folder of two textures whose corners differ: level 40 and up, and level 200 and up."""
    folder = tmp_path / "textures"
    folder.mkdir()
    for number, level in enumerate((40, 200)):
        pixels = np.full((64, 70, 3), level, np.uint8)
        pixels[:SIDE, :SIDE] += 1
        pixels[-SIDE:, -SIDE:] += 2
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["cut_textures", *map(str, arguments)])
    cut_textures.main()


def test_each_corner_has_the_opposite_one_as_its_reference(textures, tmp_path, monkeypatch):
    run(monkeypatch, textures, tmp_path / "out", "--side", SIDE)
    found = {
        folder: {path.name: pixels_of(path) for path in (tmp_path / "out" / folder).iterdir()}
        for folder in ("images", "clean", "spoilt")
    }
    assert {len(images) for images in found.values()} == {8}
    assert found["images"].keys() == found["clean"].keys() == found["spoilt"].keys()
    name = "texture-0-high-left.png"
    assert (found["images"][name] == 41).all()
    assert (found["clean"][name] == 42).all()
    share = (found["spoilt"][name] >= 200).all(axis=-1).mean()
    assert share == pytest.approx(1 / 5, abs=0.02)


def test_one_texture_or_small_ones_are_refused(textures, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, textures, tmp_path / "out", "--side", 40)
    assert "80 pixels a side" in capsys.readouterr().err
    (textures / "1.png").unlink()
    with pytest.raises(SystemExit):
        run(monkeypatch, textures, tmp_path / "out")
    assert "two textures" in capsys.readouterr().err
