"""Images a second on a GPU: eager, compiled, by CUDA graphs, at five alphas, and in a whole pass.

`make bench-gpu` prints the table. The network is TAESD's architecture with random weights, or
the auto-encoder of `--weights`. Where torch finds no GPU, it says so and measures nothing;
`--device cpu` measures on the processor. In the first rows images are on the device already.
The pass is the pipeline's, from a tar to a tar with metrics, and the bare loop does the same
without metrics, fingerprints and records: it reads, encodes, moves, decodes and writes.
"""

import argparse
import copy
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from device_timing import seconds, waited
from diffusers import AutoencoderTiny
from diffusers.utils import logging
from PIL import Image
from workspaces import plain_pipeline as pipeline

from dot_kernels import AutoencoderCodec, enhance, patch_moments, solve_transport
from tasks.config import Config, Run
from tasks.fit.operators import find_operator, read_operator
from tasks.io.images import Form, Raster, decoder_pool
from tasks.io.images import encode as encoded
from tasks.io.images.pixels import to_pixels, to_tensor
from tasks.io.networks.codecs import load_codec
from tasks.io.shards import read_members
from tasks.io.workspace import Workspace

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)

SMALL: dict[str, Any] = {
    "encoder_block_out_channels": (8, 8),
    "decoder_block_out_channels": (8, 8),
    "num_encoder_blocks": (1, 1),
    "num_decoder_blocks": (1, 1),
}


def main(words: Sequence[str]) -> int:
    """Print the table, or why nothing is measured."""
    given = _arguments(words)
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        built = torch.version.cuda or "none"
        print(
            f"torch {torch.__version__} (CUDA: {built}) finds no GPU on this machine, so nothing "
            "was measured; --device cpu measures on the processor"
        )
        return 0
    logging.set_verbosity_error()
    name = torch.cuda.get_device_name(given.device) if given.device.startswith("cuda") else "cpu"
    print(
        f"{name}, torch {torch.__version__}, {given.batch} images of {given.side} × {given.side} "
        f"at a time\n\n| what | images/s | against eager |\n| --- | --- | --- |"
    )
    module = _network(given)
    eager: float | None = None
    for title, speed in _rows(module, given):
        eager = eager or speed
        print(f"| {title} | {speed:.4g} | {speed / eager:.2f} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        bare, whole = _passes(module, Path(folder), given)
    print(
        f"\na bare loop over files: {bare:.4g} images/s; the pass: {whole:.4g} images/s, ", end=""
    )
    print(f"which is {whole / bare:.0%} of it")
    return 0


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="throughput", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--weights", type=Path, help="folder of an AutoencoderTiny")
    parser.add_argument("--side", type=int, default=512, help="of the images, in pixels")
    parser.add_argument("--batch", type=int, default=8, help="images at a time")
    parser.add_argument("--images", type=int, default=64, help="files of the pass")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backend", default="inductor", help="of torch.compile; none: leave out")
    parser.add_argument("--tiny", action="store_true", help="a very small network: a trial")
    return parser.parse_args(words)


def _network(given: argparse.Namespace) -> AutoencoderTiny:
    if given.weights is not None:
        return AutoencoderTiny.from_pretrained(given.weights, local_files_only=True)
    return AutoencoderTiny(**(SMALL if given.tiny else {}))


def _rows(module: AutoencoderTiny, given: argparse.Namespace) -> Iterator[tuple[str, float]]:
    """What is measured with images on the device, and images a second; the first is eager."""
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(given.batch, 3, given.side, given.side, generator=draw).to(given.device)
    with torch.inference_mode():
        for title, codec, alphas in _variants(module, given):
            some = codec.encode(images).float()
            operator = solve_transport(patch_moments(some, 3), patch_moments(some * 0.5, 3))
            work = partial(enhance, images, codec, operator, alphas)
            yield title, given.batch / seconds(work, given.device, given.rounds)


def _variants(
    module: AutoencoderTiny, given: argparse.Namespace
) -> Iterator[tuple[str, AutoencoderCodec, Sequence[float]]]:
    """Codecs to compare, each with what it is called and the alphas that are made."""
    ways: list[tuple[str, dict[str, Any]]] = [("compiled", {})]
    if given.device.startswith("cuda"):
        ways.append(("compiled, CUDA graphs", {"mode": "reduce-overhead"}))
    bfloat16 = [torch.bfloat16] if given.device.startswith("cuda") else []
    for dtype in [torch.float32, *bfloat16]:
        words = str(dtype).removeprefix("torch.")
        plain = AutoencoderCodec(_placed(module, given.device, dtype))
        yield f"{words}, eager", plain, ALPHAS[:1]
        yield f"{words}, eager, five alphas", plain, ALPHAS
        for title, options in ways if given.backend != "none" else []:
            network = _placed(module, given.device, dtype)
            for part in (network.encoder, network.decoder):
                part.compile(backend=given.backend, **options)
                if options:  # else the next run of a graph overwrites what the last one gave
                    part.register_forward_hook(lambda *told: told[-1].clone())
            yield f"{words}, {title}", AutoencoderCodec(network), ALPHAS[:1]


def _placed(module: AutoencoderTiny, device: str, dtype: torch.dtype) -> AutoencoderTiny:
    network: AutoencoderTiny = copy.deepcopy(module).to(device)
    return network if dtype == torch.float32 else network.to(dtype)


def _passes(
    module: AutoencoderTiny, folder: Path, given: argparse.Namespace
) -> tuple[float, float]:
    """Images a second of a bare loop over a shard, and of the pipeline's pass over it."""
    config = _fitted(module, folder, given)
    workspace = Workspace(config.workspace)
    codec = load_codec(config.codec, given.device, "float32")
    name = find_operator(Run(config, workspace)).name
    operator = read_operator(workspace, config.restored_name, name)[0]
    members = workspace.members(config.restored_name, "shard-000000")
    limits = config.shards.limits()

    @torch.inference_mode()
    def bare_loop() -> None:
        for start in range(0, len(members), given.batch):
            read = list(read_members(workspace.store, members[start : start + given.batch]))
            pixels = [decoder_pool.decode(data, limits).pixels for _, data in read]
            made = enhance(to_tensor(pixels, given.device), codec, operator, ALPHAS[:1])[0].cpu()
            for (member, _), image in zip(read, made, strict=True):
                data = encoded(Raster(pixels=to_pixels(image)), Form("webp"))
                (folder / f"{member.key}.webp").write_bytes(data)

    bare = given.images / waited(bare_loop, given.rounds)
    whole = given.images / waited(lambda: pipeline.enhance_anew(config), given.rounds)
    return bare, whole


def _fitted(module: AutoencoderTiny, folder: Path, given: argparse.Namespace) -> Config:
    """The configuration of a workspace with one shard of photographs, sharded and fitted."""
    module.save_pretrained(folder / "network")
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    for number in range(given.images):
        side = max(given.side // 8, 1)
        coarse = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((given.side, given.side), Image.Resampling.BICUBIC)
        image.save(folder / "images" / f"{number:05d}.jpg", quality=90)
    tree = {
        "name": "speed",
        "workspace": str(folder / "workspace"),
        "corpora": {"reference": {"path": str(folder / "images")}},
        "degrade": [{"kind": "noise", "sigma": 0.1}],
        "restore": {"kind": "bicubic"},
        "codec": {"kind": "autoencoder-tiny", "weights": str(folder / "network")},
        "patches": {"size": 3},
        "transport": {"levels": "none"},
        "fit": {"images": min(16, given.images)},
        "enhance": {"alphas": [0.0]},
        "evaluate": {"lpips": None, "features": None, "controls": False, "curve": None},
        "shards": {"images": given.images},
        "compute": {"device": given.device, "batch": given.batch},
    }
    config = Config.model_validate(tree)
    workspace = Workspace(config.workspace)
    pipeline.shard(config, workspace)
    pipeline.fit(config, workspace)
    return config


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
