"""A child process that renders, scores and encodes one picture, and says what memory that took.

``python tests/support/large_picture.py HEIGHT WIDTH TILE`` prints its resident memory before the
picture, and at the most, in bytes. The auto-encoder has TAESD's layers with eight channels in place
of 64, so that it is fast; LPIPS and features are computed where TORCH_HOME has SqueezeNet's
weights.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from costs.process_memory import used
from diffusers import AutoencoderTiny

from dot_kernels import AutoencoderCodec, TiledCodec, patch_moments, solve_transport
from tasks.config.sections import Enhance
from tasks.enhance.curves.points import Curves
from tasks.enhance.features import no_moments
from tasks.enhance.outputs import Output
from tasks.enhance.pairs import Gathered, Window
from tasks.enhance.perception import Networks
from tasks.enhance.rendering import Renderer
from tasks.enhance.scoring import Finisher, finished
from tasks.io.errors import WeightsMissing
from tasks.io.images import Raster
from tasks.io.machine.scratch import on_disk
from tasks.io.networks.batches import Batches
from tasks.io.networks.features.extractors import load_extractor
from tasks.io.networks.features.perceptual import load_lpips
from tasks.io.shards import Member
from tasks.io.shards.loader import Picture
from tasks.io.workspace import CODEC_INPUT, CONTROLS, CURVE, Signal
from tasks.jobs import Target
from tasks.jobs.stopwatch import Stopwatch, TimedCodec

ALPHAS = (0.0, 0.5)


def pixels(height: int, width: int, seed: int) -> np.ndarray:
    """Smooth noise with a grain, repeated as often as needed, on disk."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (64, 64, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    cell = (coarse + random.integers(-12, 13, coarse.shape)).clip(0, 255).astype(np.uint8)
    whole = np.broadcast_to(cell[None, :, None], (-(-height // 512), 512, -(-width // 512), 512, 3))
    return on_disk(whole.reshape(-1, whole.shape[2] * 512, 3)[:height, :width])


def networks() -> Networks:
    """SqueezeNet's, if its weights are there."""
    try:
        return Networks(
            lpips=load_lpips("squeeze", "cpu"),
            extractors={"features": load_extractor("squeezenet", "cpu")},
        )
    except WeightsMissing:
        return Networks()


def renderer(tile: int) -> Renderer:
    """For two alphas, the controls and a curve, by a stochastic operator."""
    torch.manual_seed(0)
    widths = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    codec, watch = AutoencoderCodec(AutoencoderTiny(**widths)), Stopwatch()
    source, target = torch.randn(2, 1, 4, 40, 40)
    source[:, 1] = source[:, 0]
    operator = solve_transport(patch_moments(source, 3), patch_moments(target, 3))
    signals = (*(Signal("enhanced", alpha) for alpha in ALPHAS), *CONTROLS)
    moments = dict.fromkeys([s for s in signals if s != CODEC_INPUT], no_moments(36))
    return Renderer(
        codec=TimedCodec(TiledCodec(codec, tile), watch),
        operator=operator,
        options=Enhance(alphas=ALPHAS),
        fold="uniform",
        signals=signals,
        scored=frozenset(signals),
        batch=8,
        batches=Batches("enhance", "cpu"),
        networks=networks(),
        watch=watch,
        gathered=Gathered(moments=moments),
        curves=Curves((CURVE,), (0.0, 0.5, 1.0)),
    )


def done(height: int, width: int, by: Renderer) -> int:
    """Render, score and encode a picture; return the bytes of its files."""
    member = Member(**dict.fromkeys(Member.__annotations__, 0))
    member = member._replace(key="a", file="t/s.tar", width=width, height=height)
    ours, theirs = (Raster(pixels=pixels(height, width, seed)) for seed in (0, 1))
    window = Window([Picture(member, ours, None)], {"a": Picture(member, theirs, None)}, {})
    outputs = [Output(signal, Target.model_construct(fingerprint="")) for signal in by.signals]
    with ThreadPoolExecutor(2) as pool:
        finisher = Finisher(tables=outputs, enhanced=outputs[:2], form=by.options.form, pool=pool)
        pending = finisher.begin(by.render(window, ""), window.pictures)
        (item,) = finished(pending, by.watch)
        assert item.reason is None
        assert all(row["ssim"] > -1 for rows in item.rows.values() for row in rows)
        return sum(len(item.files[output.signal]) for output in outputs[:2])


if __name__ == "__main__":
    size, rendering = [int(text) for text in sys.argv[1:3]], renderer(int(sys.argv[3]))
    done(64, 64, rendering)
    before = used("VmRSS")
    done(*size, rendering)
    sys.stdout.write(f"{before} {used('VmHWM')}\n")
