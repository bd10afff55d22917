"""A codec whose networks see the whole image: tiles are blended, and their seams are told."""

import pytest
import torch
from diffusers import AutoencoderKL

from dot_kernels import AutoencoderCodec, SeamError, TiledCodec
from tasks.enhance.pairs import Gathered
from tasks.jobs import Outcome


@pytest.fixture
def variational():
    """diffusers' architecture with random weights: factor 2, 3 latent channels."""
    return AutoencoderCodec(
        AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(4, 4),
            latent_channels=3,
            norm_num_groups=2,
            layers_per_block=1,
        )
    )


def test_bands_of_blended_tiles_are_those_of_the_whole_and_their_seams_are_gathered(
    variational, rng
):
    gathered = Gathered(moments={})
    codec = TiledCodec(variational, 16, gathered.hear)
    assert not codec.is_exact
    images = torch.rand(1, 3, 60, 44, generator=rng)
    with torch.inference_mode():
        latents = codec.encode(images)
        bands = codec.encode_bands(iter(images.split(7, dim=2)), 60, 44)
        torch.testing.assert_close(torch.cat(list(bands), dim=2), latents)
        decoded = codec.decode(latents)
        first = gathered.seams
        bands = codec.decode_bands(iter(latents.split(3, dim=2)), 30, 22)
        torch.testing.assert_close(torch.cat(list(bands), dim=2), decoded)
    assert first.count > 0
    assert gathered.seams.count == 2 * first.count
    assert gathered.seams.rms == pytest.approx(first.rms)


def test_a_record_has_the_error_at_seams_where_there_was_one():
    assert SeamError().numbers == {}
    seams = SeamError(4, 16.0, 3.0).numbers
    assert Outcome(images=1, seams=seams).facts()["seams"] == {"rms": 2, "largest": 3, "count": 4}
    assert "seams" not in Outcome(images=1).facts()
