"""A plug-in as a codec: what is none is told, and what it makes is looked at each time."""

import pytest
import torch

from flows.cli.verbs.init import codec_section
from tasks.direct.known_codecs import codec_named
from tasks.io.errors import ConfigurationError
from tasks.io.networks.codecs import codec_identity, load_codec, precision_and_tile
from tasks.io.networks.plug_ins.codec import PlugInCodec, pinned_codec
from tests.support.standins.packages_on_path import installed, project

CODE = """
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

class Make:
    factor, channels = 2, 12

    def __init__(self, device, size=2):
        pass

    def encode(self, images):
        return pixel_unshuffle(images, 2).double()

    def decode(self, latents):
        return pixel_shuffle(latents, 2)
"""
SPEC = PlugInCodec(kind="plug-in", entry="blocks")


@pytest.fixture
def bring(tmp_path):
    def bring(code=CODE, version="1.0"):
        return installed(tmp_path / "site", project("codec", "blocks:Make", version), code)

    return bring


def test_it_encodes_and_decodes_in_float32(bring):
    images = torch.rand(2, 3, 8, 6)
    with bring():
        codec = load_codec(SPEC, "cpu", "bfloat16")
        latents = codec.encode(images)
        assert (codec.factor, codec.channels) == (2, 12)
        assert (latents.dtype, latents.shape) == (torch.float32, (2, 12, 4, 3))
        torch.testing.assert_close(codec.decode(latents), images)
        assert codec_identity(pinned_codec(SPEC)) == codec_identity(SPEC)
        assert load_codec(pinned_codec(SPEC), "cpu", "float32").name == "blocks"


def test_one_that_works_in_place_changes_its_own_copy_only(bring):
    in_place = CODE.replace("unshuffle(images,", "unshuffle(images.mul_(2),").replace(
        "shuffle(latents,", "shuffle(latents.add_(1),"
    )
    images, latents = torch.rand(2, 3, 8, 6), torch.rand(2, 12, 4, 3)
    given = images.clone(), latents.clone()
    with bring(in_place):
        codec = load_codec(SPEC, "cpu", "float32")
        assert (codec.encode(images).sum(), codec.decode(latents).sum()) != (0, 0)
    assert torch.equal(images, given[0])
    assert torch.equal(latents, given[1])


def test_precision_does_not_matter_to_it_and_tiles_do():
    assert precision_and_tile(SPEC, "bfloat16", 512) == {"precision": None, "tile": 512}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("def decode", "def decoded", "must have factor, channels, encode and decode, got Make"),
        ("factor, channels = 2, 12", "factor, channels = 2.0, 12", "factor of codec .* got 2.0"),
        ("factor, channels = 2, 12", "factor, channels = 2, 0", "channels of codec .* got 0"),
        (
            "factor, channels = 2, 12",
            "factor, channels = 2, 3",
            r"must encode a tensor \(2, 3, 64, 64\) as one \(2, 3, 32, 32\), got \(2, 12, 32, 32\)",
        ),
        ("return pixel_shuffle(latents, 2)", "return latents", "must decode a tensor"),
        ("return pixel_shuffle(latents, 2)", "return None", "got NoneType"),
        ("return pixel_shuffle(latents, 2)", "return {}[1]", "got KeyError: 1"),
        (".double()", " / 0", "must be finite, got NaN or infinity from encode"),
    ],
)
def test_what_is_no_codec_is_told_when_it_is_loaded(bring, old, new, said):
    assert old in CODE
    with bring(CODE.replace(old, new)), pytest.raises(ConfigurationError, match=said):
        load_codec(SPEC, "cpu", "float32")


def test_a_shape_that_is_wrong_later_is_told_too(bring):
    with bring(CODE.replace("unshuffle(images, 2)", "unshuffle(images, 2)[:2]")):
        codec = load_codec(SPEC, "cpu", "float32")
        with pytest.raises(ConfigurationError, match=r"one \(3, 12, 4, 4\), got \(2, 12, 4, 4\)"):
            codec.encode(torch.rand(3, 3, 8, 8))


def test_it_has_a_short_name_on_the_command_line(bring):
    with bring():
        assert codec_named("plug-in:blocks") == SPEC
        assert codec_section("plug-in:blocks") == "codec:\n  kind: plug-in\n  entry: blocks\n"
        with pytest.raises(ConfigurationError, match=r"--codec must name a codec .* got 'block'"):
            codec_named("plug-in:block")
