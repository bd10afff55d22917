"""Perceptual hashes against SciPy's transform, and what of photographs they see and do not."""

import io

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from scipy.fft import dctn
from torch.nn.functional import avg_pool2d, interpolate

from dot_kernels.perceptual_hash import BITS, RADIUS, near_duplicates, perceptual_hash

NAMES = ("astronaut", "coffee", "chelsea", "rocket", "immunohistochemistry", "retina")


@pytest.fixture(scope="module")
def photographs():
    found = [torch.from_numpy(getattr(skimage.data, name)()).permute(2, 0, 1) for name in NAMES]
    return [(each[None].float() / 255)[..., :384, :384] for each in found]


def differing(a, b):
    return (int(perceptual_hash(a)) ^ int(perceptual_hash(b))).bit_count()


def as_jpeg(image):
    data = io.BytesIO()
    Image.fromarray((image[0] * 255).byte().permute(1, 2, 0).numpy()).save(data, "JPEG", quality=30)
    with Image.open(data) as opened:
        return torch.from_numpy(np.array(opened)).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize(
    "change",
    [
        as_jpeg,
        lambda image: interpolate(image, scale_factor=0.5, mode="bicubic").clamp(0, 1),
        lambda image: image * 0.8,
        lambda image: (image + 0.2 * torch.randn(image.shape, generator=g())).clamp(0, 1),
        lambda image: image[..., 2:, 2:],
    ],
    ids=["jpeg", "half size", "darker", "noise", "cut"],
)
def test_a_photograph_is_near_to_itself_however_it_was_kept(photographs, change):
    assert max(differing(image, change(image)) for image in photographs) <= RADIUS


def g():
    return torch.Generator().manual_seed(0)


def test_different_photographs_and_mirrored_ones_are_far(photographs):
    others = [*photographs, *(image.flip(-1) for image in photographs)]
    hashes = torch.cat([perceptual_hash(image) for image in others])
    assert len(near_duplicates(hashes)) == 0
    assert len(near_duplicates(torch.cat([hashes, hashes[3:4]]))) == 1


def test_bits_are_signs_of_the_lowest_waves_of_the_luma(photographs):
    for image in photographs:
        luma = 0.299 * image[0, 0] + 0.587 * image[0, 1] + 0.114 * image[0, 2]
        coarse = avg_pool2d(luma.double()[None, None], 12)[0, 0].numpy()
        low = dctn(coarse, norm=None)[:8, :8].ravel()[1:]
        bits = low > np.sort(low)[BITS // 2]
        (found,) = perceptual_hash(image)
        assert [int(found) >> place & 1 for place in range(BITS)] == bits.tolist()


def test_an_image_of_one_colour_has_no_bits_at_any_level():
    for level in (0.0, 0.3, 1.0):
        assert perceptual_hash(torch.full((1, 3, 50, 70), level)).tolist() == [0]


def test_pairs_are_those_of_a_search_one_by_one(monkeypatch):
    monkeypatch.setattr("dot_kernels.perceptual_hash._BLOCK", 7)
    hashes = torch.randint(1, 1 << 62, (40,), generator=g())
    hashes[[5, 21, 39]] = hashes[4] ^ torch.tensor([1, 0b1010110, (1 << 62) | 1])
    expected = [
        [a, b]
        for a in range(40)
        for b in range(a + 1, 40)
        if (int(hashes[a]) ^ int(hashes[b])).bit_count() <= 4
    ]
    assert near_duplicates(hashes, 4).tolist() == expected
    assert len(expected) >= 4
    assert near_duplicates(hashes[:0]).shape == (0, 2)


def test_of_many_copies_each_is_in_a_pair_with_the_first_and_empty_images_in_none():
    hashes = torch.tensor([0, 0b111, 1 << 40, 0b111, 0, 0b111, 0b110])
    assert near_duplicates(hashes, 2).tolist() == [[1, 3], [1, 5], [1, 6]]
