"""A sheet of pictures: some images as they came, by every codec at two alphas, and the truth."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tasks.direct.codec_choice import SHOWN_ALPHAS
from tasks.direct.codec_trials import Trial
from tasks.io.images import Pixels

_SIDE = 192
"""Pixels of an image that are shown along a side, as large again on the sheet."""

_ZOOM, _GAP, _HEAD, _LETTER = 2, 8, 40, 22

PICTURES = 4
"""Images of a sheet."""


def sheet(trials: Sequence[Trial], truths: Mapping[str, Pixels]) -> Image.Image:
    """Return the sheet: a row of each image, a column of each version.

    Args:
        trials: with the images that they kept to look at.
        truths: ground truth by key; without any there is no such column.
    """
    columns = [("input", {key: made[1.0] for key, made in trials[0].shown.items()})]
    for alpha in SHOWN_ALPHAS:
        for trial in trials:
            pictures = {key: made[alpha] for key, made in trial.shown.items()}
            columns.append((f"{trial.name}, alpha {alpha:g}", pictures))
    if truths:
        columns.append(("truth", dict(truths)))
    step = _SIDE * _ZOOM + _GAP
    keys = list(trials[0].shown)
    page = Image.new("RGB", (len(columns) * step + _GAP, _HEAD + len(keys) * step), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(_LETTER)
    for column, (title, pictures) in enumerate(columns):
        left = _GAP + column * step
        draw.text((left, _GAP), title, fill="black", font=font)
        for row, key in enumerate(keys):
            if key in pictures:
                page.paste(_cut(pictures[key]), (left, _HEAD + row * step))
    return page


def _cut(pixels: Pixels) -> Image.Image:
    """Return the middle of an image, every pixel as a square of its own."""
    height, width = pixels.shape[:2]
    tall, wide = min(_SIDE, height), min(_SIDE, width)
    top, left = (height - tall) // 2, (width - wide) // 2
    levels = np.ascontiguousarray(pixels[top : top + tall, left : left + wide])
    zoomed = (wide * _ZOOM, tall * _ZOOM)
    return Image.fromarray(levels).resize(zoomed, Image.Resampling.NEAREST)
