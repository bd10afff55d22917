"""A sheet of pictures: some images as they came, by every codec at two alphas, and the truth."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tasks.direct.codec_choice import SHOWN_ALPHAS
from tasks.direct.codec_trials import Trial
from tasks.direct.codec_way import in_8_bits
from tasks.io.images import Pixels

CELL = 384
"""Pixels of a picture on the sheet along a side."""

GAP, HEAD = 8, 40
"""Pixels between pictures, and of the line of names above them."""

PICTURES = 4
"""Images of a sheet."""

_CUT, _LETTER = 128, 22
"""Pixels of an image along a side that are shown, and the height of letters."""


def sheet(trials: Sequence[Trial], truths: Mapping[str, Pixels]) -> Image.Image:
    """Return the sheet: two rows of each image, one for each alpha, and a column of each codec.

    Every picture is the middle of an image. Before the codecs' stands the image as it came, after
    them the ground truth.

    Args:
        trials: with the images that they kept to look at.
        truths: ground truth by key; without any there is no such column.
    """
    keys = list(trials[0].shown)
    names = ["input", *(trial.name for trial in trials), *(["truth"] if truths else [])]
    rows = [(key, alpha) for key in keys for alpha in SHOWN_ALPHAS]
    step = CELL + GAP
    page = Image.new("RGB", (len(names) * step + GAP, HEAD + len(rows) * step), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(_LETTER)
    for column, name in enumerate(names):
        draw.text((GAP + column * step, GAP), name[-CELL // _LETTER * 2 :], fill=0, font=font)
    for row, (key, alpha) in enumerate(rows):
        made = [trial.shown[key][alpha] for trial in trials]
        versions = [
            trials[0].shown[key][1.0],
            *made,
            *([in_8_bits(truths[key])] if key in truths else []),
        ]
        for column, pixels in enumerate(versions):
            corner = (GAP + column * step, HEAD + row * step)
            page.paste(_cut(pixels), corner)
            if 0 < column <= len(made):
                place = (corner[0] + GAP, corner[1] + GAP)
                draw.text(
                    place, f"alpha {alpha:g}", "white", font, stroke_width=2, stroke_fill="black"
                )
    return page


def _cut(pixels: Pixels) -> Image.Image:
    """Return the middle of an image, each pixel as a square as large as the cell has room for."""
    height, width = pixels.shape[:2]
    tall, wide = min(_CUT, height), min(_CUT, width)
    top, left = (height - tall) // 2, (width - wide) // 2
    region = np.ascontiguousarray(pixels[top : top + tall, left : left + wide])
    zoom = CELL // max(tall, wide)
    return Image.fromarray(region).resize((wide * zoom, tall * zoom), Image.Resampling.NEAREST)
