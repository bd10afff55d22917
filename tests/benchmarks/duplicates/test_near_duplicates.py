"""In how many bits hashes of photographs and of their copies differ, and what hashing costs.

Photographs are images/imagenet_samples and images/bsds/train; copies are of the first 150.
"""

import io
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from dot_kernels.perceptual_hash import RADIUS, near_duplicates
from tasks.duplicates.hashes import _hash
from tasks.io.images import Raster

pytestmark = pytest.mark.benchmark_suite


def as_jpeg(image, quality):
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    with Image.open(data) as opened:
        return opened.convert("RGB")


def noisy(image):
    levels = np.asarray(image, np.float32)
    noise = np.random.default_rng(0).normal(0, 50, levels.shape)
    return Image.fromarray((levels + noise).clip(0, 255).astype(np.uint8))


def without_margin(image):
    width, height = image.size
    return image.crop((width // 50, height // 50, width - width // 50, height - height // 50))


COPIES = {
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2)),
    "JPEG of quality 10": lambda image: as_jpeg(image, 10),
    "darker by a fifth": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "noise of sigma 50": noisy,
    "without a margin of 2 %": without_margin,
}


def hash_of(image):
    return _hash(Raster(pixels=np.array(image)))


def differing(first, second):
    return (first ^ second).bit_count()


def test_photographs_are_told_apart_and_their_copies_are_not(test_data):
    folders = ("imagenet_samples", "bsds/train")
    paths = [path for f in folders for path in sorted((test_data / "images" / f).iterdir())]
    images = [Image.open(path).convert("RGB") for path in paths]
    begun = time.process_time()
    hashes = [hash_of(image) for image in images]
    print(
        f"\n{len(images)} photographs, {1e3 * (time.process_time() - begun) / len(images):.1f} ms"
    )
    nearest = next(r for r in range(64) if len(near_duplicates(torch.tensor(hashes), r)))
    print(f"no two of them differ in fewer than {nearest} bits")
    assert nearest > RADIUS
    for name, change in COPIES.items():
        bits = [
            differing(hash_of(change(i)), h) for i, h in zip(images[:150], hashes, strict=False)
        ]
        far = sum(each > RADIUS for each in bits)
        print(f"{name}: {np.mean(bits):.1f} bits, {max(bits)} at most, {far} beyond {RADIUS}")
        assert far <= (10 if name == "without a margin of 2 %" else 0)


def test_a_hundred_thousand_hashes_are_compared_in_minutes():
    hashes = torch.randint(1, 1 << 62, (100_000,), generator=torch.Generator().manual_seed(0))
    begun = time.monotonic()
    assert len(near_duplicates(hashes)) < 20  # of 5 · 10⁹ pairs a few are near by chance
    print(f"\n{time.monotonic() - begun:.0f} s")
    times = []
    for count in (10_000, 20_000):
        begun = time.process_time()
        near_duplicates(hashes[:count])
        times.append(time.process_time() - begun)
    assert all(b < 6 * a for a, b in pairwise(times))  # by the square of their number
