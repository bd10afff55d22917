"""What a megapixel costs with each codec: encoded, moved, decoded, at all levels; and its metrics.

`python tests/benchmarks/devices/unit_costs.py` prints the table of infra/docs/speed.md. Codecs
whose weights are not in the folder `--weights` are made up: random numbers cost the same.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from device_timing import added, seconds
from diffusers import AutoencoderKL, AutoencoderTiny
from diffusers.utils import logging

from dot_kernels import (
    AutoencoderCodec,
    Codec,
    GaussianMoments,
    LevelledOperator,
    PixelCodec,
    patch_moments,
    solve_transport,
    transport_images,
    transport_latents,
)
from dot_kernels.level_fitting import solve_level
from dot_kernels.levels import level_channels
from dot_kernels.metrics import distortion_of_written
from tasks.io.errors import DotpipeError
from tasks.io.images.pixels import as_levels, to_pixels
from tasks.io.networks.autoencoders.taef2 import TinyFlux2
from tasks.io.networks.codecs import load_codec
from tasks.io.networks.features.extractors import load_extractor, see
from tasks.io.networks.features.judges import load_judge
from tasks.io.networks.features.perceptual import load_lpips
from tasks.io.networks.model_folders import placed

STABLE_DIFFUSION: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
}
"""The architecture of Stable Diffusion's auto-encoder."""

SMALL: dict[str, Any] = {
    "encoder_block_out_channels": (8, 8),
    "decoder_block_out_channels": (8, 8),
    "num_encoder_blocks": (1, 1),
    "num_decoder_blocks": (1, 1),
}


def codecs(folder: Path | None, device: str, tiny: bool) -> Mapping[str, Callable[[], Codec]]:
    """What makes each codec, as a run would load it, by what the table calls it."""
    made: dict[str, Callable[[], Codec]] = {"pixel, factor 8": lambda: PixelCodec(8)}
    if tiny:
        return made | {"a very small one": lambda: _placed(AutoencoderTiny(**SMALL), device)}
    made["taesd"] = lambda: _placed(_tiny(folder, "taesd", 4), device)
    made["taesd3"] = lambda: _placed(_tiny(folder, "taesd3", 16), device)
    if folder is not None and (folder / "taef2").is_dir():
        spec = TinyFlux2(kind="taef2", weights=str(folder / "taef2"))
        made["taef2"] = lambda: load_codec(spec, device, "float32")
    made["autoencoder-kl"] = lambda: _placed(AutoencoderKL(**STABLE_DIFFUSION), device)
    return made


def _placed(module: Any, device: str) -> Codec:
    """A network as a run has it: on its device, channels last."""
    return AutoencoderCodec(placed(module.eval(), device))


def _tiny(folder: Path | None, name: str, channels: int) -> AutoencoderTiny:
    if folder is not None and (folder / name).is_dir():
        return AutoencoderTiny.from_pretrained(folder / name, local_files_only=True)
    return AutoencoderTiny(latent_channels=channels)


def codec_row(
    codec: Codec, device: str, side: int, rounds: int, with_levels: bool = True
) -> list[str]:
    """Seconds a megapixel: encode, transport, decode, and with levels one image more than without.

    With levels an image is decoded twice, as without: once as it is, and once moved.
    """
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(1, 3, side, side, generator=draw).to(device)
    megapixels = side * side / 1e6
    with torch.inference_mode():
        latents = codec.encode(images)
        size = 1 if isinstance(codec, PixelCodec) else 3
        some = torch.randn(8, *latents.shape[1:], generator=draw).to(device)
        operator = solve_transport(patch_moments(some, size), patch_moments(some * 0.5, size))
        times = [
            seconds(lambda: codec.encode(images), device, rounds),
            seconds(lambda: transport_latents(latents, operator), device, rounds),
            seconds(lambda: codec.decode(latents), device, rounds),
        ]
        widths = level_channels(codec) if with_levels else ()
        if widths:
            levelled = _levelled(operator, widths, draw)
            more = partial(transport_images, images, codec, levelled)
            less = partial(transport_images, images, codec, operator)
            times.append(added(more, less, device, rounds))
    words = [f"{each / megapixels:.3g}" for each in times]
    return [*words, *[""] * (4 - len(words))]


def _levelled(operator: Any, widths: Sequence[int], draw: torch.Generator) -> LevelledOperator:
    """The operator with a map between random activations of each level."""

    def moments(width: int) -> GaussianMoments:
        return GaussianMoments.of(torch.randn(4 * width, width, generator=draw))

    maps = {k: solve_level(moments(width), moments(width)) for k, width in enumerate(widths)}
    return LevelledOperator(operator, maps)


def metrics(device: str) -> Iterator[tuple[str, Callable[[torch.Tensor, torch.Tensor], object]]]:
    """Metrics of an image (1, 3, h, w) in [0, 1] against another, by name.

    Raises:
        DotpipeError: the weights of one are not on this machine.
    """
    yield "PSNR and SSIM", _distortion
    lpips = load_lpips("squeeze", device)
    yield "LPIPS (squeeze)", lambda ours, theirs: lpips(theirs)(ours)
    extractor = load_extractor("squeezenet", device)
    yield (
        "features (squeezenet)",
        lambda ours, _: see(extractor, (ours * 255).round().to(torch.uint8)),
    )
    niqe = load_judge("niqe", device)
    yield "NIQE", lambda ours, _: niqe(ours, None, None)


def _distortion(ours: torch.Tensor, theirs: torch.Tensor) -> object:
    return distortion_of_written(*(as_levels(to_pixels(each[0])) for each in (ours, theirs)))


def metric_rows(device: str, side: int, rounds: int) -> Iterator[tuple[str, str]]:
    """Seconds a megapixel of each metric whose weights are here; the last may say what is not."""
    draw = torch.Generator().manual_seed(0)
    ours, theirs = (torch.rand(1, 3, side, side, generator=draw).to(device) for _ in range(2))
    try:
        for name, measure in metrics(device):
            with torch.inference_mode():
                spent = seconds(lambda m=measure: m(ours, theirs), device, rounds)
            yield name, f"{spent / (side * side / 1e6):.3g}"
    except DotpipeError as error:
        yield "the others", f"not measured: {error}"


def main(words: Sequence[str]) -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="unit_costs", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--weights", type=Path, help="folder with taesd, taesd3, taef2")
    parser.add_argument("--side", type=int, default=512, help="of the image, in pixels")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="codecs to measure, and no metrics")
    parser.add_argument("--no-levels", action="store_true", help="which take most of the time")
    parser.add_argument("--tiny", action="store_true", help="very small networks: a trial")
    given = parser.parse_args(words)
    logging.set_verbosity_error()
    print(f"{given.side} × {given.side}, float32, {given.device}, torch {torch.__version__}")
    print("| codec | encode | transport | decode | levels |\n| --- | --- | --- | --- | --- |")
    for name, make in codecs(given.weights, given.device, given.tiny).items():
        if given.only and name not in given.only:
            continue
        row = codec_row(make(), given.device, given.side, given.rounds, not given.no_levels)
        print(f"| `{name}` | {' | '.join(row)} |", flush=True)
    if given.only:
        return 0
    print("\n| metric | seconds |\n| --- | --- |")
    for name, spent in metric_rows(given.device, given.side, given.rounds):
        print(f"| {name} | {spent} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
