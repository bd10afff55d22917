"""An operator as a pipeline of diffusers: images of any kind go in, and come out as they came."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from dot_kernels import PixelCodec, patch_moments, solve_transport
from tasks.io.artifacts.moments import save_operator
from tasks.io.errors import ConfigurationError
from tasks.io.networks.codecs import codec_identity
from tasks.io.networks.plug_ins.codec import PlugInCodec
from tasks.library import DeepOptimalTransport
from tests.support.standins.packages_on_path import as_editable, installed, project


@pytest.fixture(scope="module")
def file(finished):
    return finished.workspace.store.local(f"operators/run/{finished.operator}.safetensors")


@pytest.fixture(scope="module")
def pipe(file):
    return DeepOptimalTransport.from_pretrained(file)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """An operator that adds noise, as the images that it was fitted on vary in few directions."""
    rng, codec = torch.Generator().manual_seed(1), PixelCodec(2)
    natural = torch.rand(4, 3, 32, 32, generator=rng)
    flat = natural.mean(dim=1, keepdim=True).expand_as(natural)
    sides = [codec.encode(each) for each in (flat, natural)]
    operator = solve_transport(*(patch_moments(each, 1) for each in sides))
    assert operator.is_stochastic
    path = tmp_path_factory.mktemp("noisy") / "operator.safetensors"
    save_operator(operator, {}, path, codec={"kind": "pixel", "factor": 2})
    return DeepOptimalTransport.from_pretrained(path)


@pytest.fixture
def colour(rng):
    return (torch.rand(20, 24, 3, generator=rng) * 255).byte().numpy()


def by_tensors(pipe, images, alpha):
    """What the operator makes of (h, w, 3) in [0, 1], by tensors."""
    batch = torch.from_numpy(images).movedim(-1, 0)[None].float()
    return pipe.file.enhance(batch, [alpha])[0, 0].movedim(0, -1).numpy()


def test_an_array_comes_back_as_it_came(pipe, colour):
    expected = by_tensors(pipe, colour / 255, 0.25)
    eight = pipe.enhance(colour, 0.25)
    assert (eight.shape, eight.dtype) == (colour.shape, np.uint8)
    np.testing.assert_array_equal(eight, np.rint(expected * 255))
    np.testing.assert_array_equal(pipe.enhance(colour), eight)  # 0.25 is the default
    sixteen = pipe.enhance(colour.astype(np.uint16) * 257, 0.25)
    np.testing.assert_allclose(sixteen, expected * 65535, atol=1)
    floats = pipe.enhance((colour / 255).astype(np.float32), 0.25)
    assert floats.dtype == np.float32
    np.testing.assert_allclose(floats, expected, atol=1e-6)
    np.testing.assert_array_equal(pipe.enhance(colour, 1.0), colour)


def test_grey_stays_grey_and_opacity_stays(pipe, colour):
    grey, opacity = colour[..., 0], colour[..., 1]
    made = pipe.enhance(grey, 0.0)
    assert made.shape == grey.shape
    assert (made != grey).any()
    one = grey[..., None]
    np.testing.assert_array_equal(pipe.enhance(one, 0.0), made[..., None])
    clear = np.dstack([colour, np.full_like(opacity, 9)])
    enhanced = pipe.enhance(clear, 0.0)
    np.testing.assert_array_equal(enhanced[..., 3], 9)
    np.testing.assert_array_equal(enhanced[..., :3], pipe.enhance(colour, 0.0))
    both = pipe.enhance(np.dstack([grey, opacity]), 0.0)
    np.testing.assert_array_equal(both[..., 1], opacity)
    hidden = np.dstack([colour, np.zeros_like(opacity)])
    np.testing.assert_array_equal(pipe.enhance(hidden, 0.0), hidden)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_an_image_of_pillow_comes_back_in_its_mode_with_what_it_knows(pipe, colour, mode):
    if mode == "I;16":
        image = Image.fromarray(colour[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(colour).convert(mode)
    image.info["icc_profile"] = b"a profile"
    made = pipe.enhance(image, 0.0)
    assert (made.mode, made.size, made.info) == (mode, image.size, image.info)
    np.testing.assert_array_equal(np.asarray(made), pipe.enhance(np.asarray(image), 0.0))


def test_a_call_takes_one_image_several_or_a_tensor(pipe, colour, rng):
    other = Image.fromarray(colour[:16])
    first, second = pipe([colour, other], alpha=0.5).images
    np.testing.assert_array_equal(first, pipe.enhance(colour, 0.5))
    assert second.size == other.size
    (alone,) = pipe(other, 0.5).images
    np.testing.assert_array_equal(np.asarray(alone), np.asarray(second))
    batch = torch.rand(70, 3, 16, 20, generator=rng, dtype=torch.float64)
    made = pipe(batch, alpha=0.5).images
    assert (made.shape, made.dtype) == (batch.shape, torch.float64)
    for one, image in zip(made[::23], batch[::23], strict=True):
        expected = by_tensors(pipe, image.movedim(0, -1).numpy(), 0.5)
        np.testing.assert_allclose(one.movedim(0, -1), expected, atol=1e-6)


def test_large_tensors_are_processed_in_bands(pipe, file, rng):
    batch = torch.rand(2, 3, 61, 75, generator=rng)
    codec = replace(pipe.file.codec, tile=8)
    large = replace(pipe, file=replace(pipe.file, codec=codec))
    torch.testing.assert_close(large(batch, 0.3).images, pipe(batch, 0.3).images)


def test_noise_is_seeded(noisy, colour):
    assert noisy.is_stochastic
    assert (noisy.enhance(colour, 0) == noisy.enhance(colour, 0)).all()
    assert (noisy.enhance(colour, 0, key="a") != noisy.enhance(colour, 0, key="b")).any()
    first, second = noisy([colour, colour], 0).images
    assert (first != second).any()
    again = noisy([colour, colour], 0).images
    assert (again[1] == second).all()
    seeded = [
        noisy([colour, colour], 0, torch.Generator().manual_seed(seed)).images for seed in (1, 1, 2)
    ]
    assert (np.array(seeded[0]) == np.array(seeded[1])).all()
    assert (seeded[0][1] != seeded[2][1]).any()
    batch = torch.from_numpy(colour / 255).movedim(-1, 0).float().expand(2, 3, 20, 24)
    made = noisy(batch, 0).images
    np.testing.assert_array_equal(made[1].movedim(0, -1).mul(255).round().numpy(), second)


@pytest.mark.parametrize(
    ("image", "error", "told"),
    [
        (np.zeros((9, 9, 3)), TypeError, "numbers of uint8, uint16, float32, got float64"),
        (np.zeros((9, 9, 5), np.uint8), ValueError, r"1 to 4 channels .* got \(9, 9, 5\)"),
        (np.zeros((1, 9, 9, 3), np.uint8), ValueError, r"got \(1, 9, 9, 3\)"),
        (np.full((9, 9), 1.5, np.float32), ValueError, r"in \[0, 1\], got 1\.5 to 1\.5"),
        (np.full((9, 9), np.nan, np.float32), ValueError, "got nan to nan"),
        (Image.new("P", (9, 9)), ValueError, r"got P; convert it, as by image.convert\('RGB'\)"),
        (torch.zeros(3, 9, 9), ValueError, r"must be \(b, 3, h, w\) .* got \(3, 9, 9\)"),
        (torch.zeros(1, 3, 9, 9, dtype=torch.uint8), ValueError, "got .* of torch.uint8"),
        (torch.full((1, 3, 9, 9), 2.0), ValueError, r"in \[0, 1\], got 2 to 2"),
        (torch.zeros(0, 3, 9, 9), ValueError, "must hold some"),
        ("x.png", TypeError, r"got 'x.png'; open it, as by PIL.Image.open\(path\)"),
        (["x.png"], TypeError, r"got 'x.png'; open it"),
        ([torch.zeros(3, 9, 9)] * 2, TypeError, r"got Tensor; .* torch.stack\(images\)"),
        (None, TypeError, "got NoneType; give them as a list"),
        ([[1, 2]], TypeError, r"got list; convert it, as by numpy.asarray\(image\)"),
        (np.zeros((0, 9, 3), np.float32), ValueError, r"must have pixels, got \(0, 9, 3\)"),
        (np.zeros((9, 0), np.uint8), ValueError, r"must have pixels, got \(9, 0\)"),
    ],
)
def test_what_is_no_image_is_refused(pipe, image, error, told):
    with pytest.raises(error, match=told):
        pipe(image)


def test_an_operator_is_loaded_from_a_bucket_too(pipe, file, bucket, colour):
    bucket.put("mine/operator.safetensors", file.read_bytes())
    url = f"s3://{bucket.name}/mine/operator.safetensors"
    again = DeepOptimalTransport.from_pretrained(url)
    np.testing.assert_array_equal(again.enhance(colour), pipe.enhance(colour))
    for missing in (f"s3://{bucket.name}/mine/none.safetensors", str(file) + "x"):
        with pytest.raises(
            ConfigurationError, match=r"an operator must be a .*file of `operators/"
        ):
            DeepOptimalTransport.from_pretrained(missing)


def test_it_says_what_it_is_and_goes_to_a_device(pipe, file, colour):
    assert pipe.facts["codec"] == {"kind": "pixel", "factor": 2}
    moved = pipe.to(torch.device("cpu"))
    assert moved.device == "cpu"
    np.testing.assert_array_equal(moved.enhance(colour), pipe.enhance(colour))
    assert not pipe.is_stochastic
    with pytest.raises(ConfigurationError, match="the one that the operator was fitted with"):
        DeepOptimalTransport.from_pretrained(file, codec="pixel")
    with pytest.raises(ConfigurationError, match=r"codec must be a section .*'kind': 'pixels'"):
        DeepOptimalTransport.from_pretrained(file, codec={"kind": "pixels"})
    named = DeepOptimalTransport.from_pretrained(file, codec={"kind": "pixel", "factor": 2})
    np.testing.assert_array_equal(named.enhance(colour), pipe.enhance(colour))
    all_move = DeepOptimalTransport.from_pretrained(file, low_share=1.0)
    assert (all_move.enhance(colour) != pipe.enhance(colour)).any()
    with pytest.raises(ValueError, match="low_share"):
        DeepOptimalTransport.from_pretrained(file, low_share=2.0)


CODEC = """
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

class Make:
    factor, channels = 2, 12

    def __init__(self, device, weights=None):
        assert weights is None or weights.read_text() == "weights"

    def encode(self, images):
        return pixel_unshuffle(images, 2)

    def decode(self, latents):
        return pixel_shuffle(latents, 2)
"""


@pytest.fixture
def of_plug_in(pipe, tmp_path):
    """Gives the operator's file as if it had been fitted with a plug-in of today."""

    def fitted(**told):
        spec = PlugInCodec(kind="plug-in", entry="blocks", **told)
        path = tmp_path / "operator.safetensors"
        save_operator(pipe.file.operator, {}, path, codec=codec_identity(spec))
        return path

    return fitted


def test_another_source_of_an_editable_codec_than_that_of_the_fit_is_refused(
    of_plug_in, tmp_path, colour
):
    def edited(code):
        package = installed(tmp_path / "site", project("codec", "blocks:Make"), code)
        return as_editable(package, tmp_path / "site")

    with edited(CODEC):
        path = of_plug_in()
        assert DeepOptimalTransport.from_pretrained(path).enhance(colour).shape == colour.shape
    with (
        edited(CODEC + "\n# edited"),
        pytest.raises(ConfigurationError, match="must be the one that the operator was fitted wit"),
    ):
        DeepOptimalTransport.from_pretrained(path)


def test_a_codec_with_files_is_given_as_a_section(of_plug_in, tmp_path, colour, monkeypatch):
    (tmp_path / "w.pth").write_text("weights")
    monkeypatch.chdir(tmp_path)
    with installed(tmp_path / "site", project("codec", "blocks:Make"), CODEC):
        path = of_plug_in(files={"weights": str(tmp_path / "w.pth")})
        with pytest.raises(ConfigurationError, match=r"from_pretrained\(operator, codec=\{'kind'"):
            DeepOptimalTransport.from_pretrained(path)
        codec = {"kind": "plug-in", "entry": "blocks", "files": {"weights": "w.pth"}}
        pipe = DeepOptimalTransport.from_pretrained(path, codec)
        assert pipe.enhance(colour).shape == colour.shape
