"""Deep Optimal Transport (Adrai et al. 2023) on tensors.

Moments of latent patches, the transport map between two Gaussians, codecs between
images and latents, and the enhancement of images.

Everything here is a function of its arguments: no files, no clock, no logger, no
global randomness. Images are float tensors (b, 3, h, w) in [0, 1].
"""

from dot_kernels.autoencoders import AutoencoderCodec
from dot_kernels.blending import SeamError
from dot_kernels.codecs import Codec, LocalCodec, PixelCodec
from dot_kernels.diagnostics import TransportDiagnostics
from dot_kernels.enhancement import Transported, enhance, transport_images
from dot_kernels.gelbrich import gelbrich_distance
from dot_kernels.latent_transport import transport_latents
from dot_kernels.level_fitting import fit_levels
from dot_kernels.levels import LevelledOperator
from dot_kernels.moments import GaussianMoments
from dot_kernels.patches import patch_moments
from dot_kernels.rounds import RepeatedOperator
from dot_kernels.staged_codecs import GreyCodec, StagedCodec
from dot_kernels.tiling import TiledCodec
from dot_kernels.transport import TransportOperator, solve_transport

__all__ = [
    "AutoencoderCodec",
    "Codec",
    "GaussianMoments",
    "GreyCodec",
    "LevelledOperator",
    "LocalCodec",
    "PixelCodec",
    "RepeatedOperator",
    "SeamError",
    "StagedCodec",
    "TiledCodec",
    "TransportDiagnostics",
    "TransportOperator",
    "Transported",
    "enhance",
    "fit_levels",
    "gelbrich_distance",
    "patch_moments",
    "solve_transport",
    "transport_images",
    "transport_latents",
]
