"""Every auto-encoder of diffusers that has latents of single images, small, with random weights."""

from pathlib import Path
from typing import Any

import torch
from diffusers.models import autoencoders

_TWO_LEVELS: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (4, 8),
    "norm_num_groups": 2,
    "layers_per_block": 1,
}

_OF_FRAMES: dict[str, Any] = {
    "base_dim": 4,
    "z_dim": 4,
    "dim_mult": [1, 1],
    "num_res_blocks": 1,
    "temperal_downsample": [False],
    "latents_mean": [0.1, -0.2, 0.3, 0.0],
    "latents_std": [2.0, 1.0, 0.5, 3.0],
}

SMALL: dict[str, dict[str, Any]] = {
    "AutoencoderKL": _TWO_LEVELS | {"latent_channels": 16},
    "AsymmetricAutoencoderKL": {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "down_block_out_channels": (4, 8),
        "up_block_types": ("UpDecoderBlock2D",) * 2,
        "up_block_out_channels": (8, 8),
        "norm_num_groups": 2,
        "latent_channels": 4,
    },
    "AutoencoderTiny": {
        "encoder_block_out_channels": (4, 4, 4),
        "decoder_block_out_channels": (4, 4, 4),
        "num_encoder_blocks": (1, 1, 1),
        "num_decoder_blocks": (1, 1, 1),
        "latent_channels": 3,
    },
    "AutoencoderDC": {
        "latent_channels": 8,
        "attention_head_dim": 2,
        "encoder_block_types": ("ResBlock", "EfficientViTBlock"),
        "decoder_block_types": ("ResBlock", "EfficientViTBlock"),
        "encoder_block_out_channels": (8, 8),
        "decoder_block_out_channels": (8, 8),
        "encoder_layers_per_block": (1, 1),
        "decoder_layers_per_block": (1, 1),
        "encoder_qkv_multiscales": ((), (5,)),
        "decoder_qkv_multiscales": ((), (5,)),
    },
    "AutoencoderKLFlux2": _TWO_LEVELS | {"latent_channels": 8},
    "AutoencoderKLHunyuanImage": {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "block_out_channels": (32, 32),
        "layers_per_block": 1,
        "spatial_compression_ratio": 2,
        "sample_size": 32,
    },
    "AutoencoderKLHunyuanImageRefiner": {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "block_out_channels": (8, 8),
        "layers_per_block": 1,
        "spatial_compression_ratio": 2,
        "temporal_compression_ratio": 1,
    },
    "AutoencoderKLKVAE": {
        "channels": 32,
        "num_enc_blocks": 1,
        "num_dec_blocks": 1,
        "z_channels": 4,
        "ch_mult": (1, 1),
    },
    "AutoencoderKLTemporalDecoder": {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "block_out_channels": (32, 32),
        "layers_per_block": 1,
        "latent_channels": 4,
    },
    "AutoencoderKLQwenImage": _OF_FRAMES,
    "AutoencoderKLWan": _OF_FRAMES | {"scale_factor_spatial": 2},
    "AutoencoderKLCogVideoX": {
        "down_block_types": ("CogVideoXDownBlock3D",) * 2,
        "up_block_types": ("CogVideoXUpBlock3D",) * 2,
        "block_out_channels": (8, 8),
        "latent_channels": 4,
        "layers_per_block": 1,
        "norm_num_groups": 2,
        "temporal_compression_ratio": 2,
    },
    "AutoencoderKLHunyuanVideo": {
        "latent_channels": 4,
        "down_block_types": ("HunyuanVideoDownBlock3D",) * 4,
        "up_block_types": ("HunyuanVideoUpBlock3D",) * 4,
        "block_out_channels": (8, 8, 8, 8),
        "layers_per_block": 1,
        "norm_num_groups": 4,
    },
    "VQModel": _TWO_LEVELS | {"latent_channels": 3, "num_vq_embeddings": 16},
}
"""Their classes, and options that make them small: as much as a test on any machine wants."""

WITH_FRAMES = (
    "AutoencoderKLHunyuanImageRefiner",
    "AutoencoderKLQwenImage",
    "AutoencoderKLWan",
    "AutoencoderKLCogVideoX",
    "AutoencoderKLHunyuanVideo",
)
"""Those that take videos, of which an image is one frame."""


def small(name: str, **options: Any) -> Any:
    """Return the auto-encoder of this class, with the same random weights every time.

    Args:
        name: of the class.
        options: in place of those of ``SMALL``, or beside them.
    """
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = getattr(autoencoders, name)(**SMALL[name] | options).eval()
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.data = tensor.data.nan_to_num()  # some are not initialised by diffusers
    return module


def tiny_codec(folder: Path) -> dict[str, str]:
    """Save a tiny auto-encoder of two channels with random weights; return the section `codec`."""
    torch.manual_seed(0)
    widths = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    blocks = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    autoencoders.AutoencoderTiny(**widths, **blocks, latent_channels=2).save_pretrained(folder)
    return {"kind": "autoencoder-tiny", "weights": str(folder)}
