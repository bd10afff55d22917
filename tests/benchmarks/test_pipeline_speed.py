"""The pipeline against bare loops and plain tools that do the same work."""

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from workspaces import plain_pipeline as pipeline

from dot_kernels import transport_latents
from tasks.config import Run
from tasks.config.compute import Shards
from tasks.config.patches import Patches
from tasks.config.sections import Curve, Enhance, Fit
from tasks.enhance.several.enhance import enhance_several, plan_together
from tasks.fit.operators import find_operator, read_operator
from tasks.fit.operators import fitted as with_operator
from tasks.io.images import decoder_pool
from tasks.io.images.pixels import to_pixels, to_tensor
from tasks.io.machine.resources import cores
from tasks.io.networks.codecs import load_codec
from tasks.io.shards import read_members
from tasks.io.workspace import Workspace
from tasks.shard.shard import plan_shards, write_corpus_shard
from tests.support.pictures import decode, encode

ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)


@pytest.fixture
def fitted(make_config, photographs, tiny_autoencoder):
    """A configuration with 16 images of 256 × 256, sharded and fitted."""
    config = make_config(photographs(16, 256), tiny_autoencoder, patches=Patches(size=3))
    workspace = Workspace(config.workspace)
    pipeline.shard(config, workspace)
    pipeline.fit(config, workspace)
    return config


def with_alphas(config, alphas):
    return config.model_copy(update={"enhance": Enhance(alphas=alphas)})


def test_five_alphas_cost_little_more_than_one(compared, fitted):
    ratio = compared(
        lambda: pipeline.enhance_anew(with_alphas(fitted, ALPHAS)),
        lambda: pipeline.enhance_anew(with_alphas(fitted, ALPHAS[:1])),
        3,
    )
    assert ratio < 1.2


def test_a_curve_of_31_alphas_costs_little_more_than_one_alpha(compared, fitted):
    curve = fitted.evaluate.model_copy(update={"curve": Curve()})
    assert len(curve.curve.alphas) == 31
    ratio = compared(
        lambda: pipeline.enhance_anew(
            fitted.model_copy(update={"evaluate": curve}), with_images=False
        ),
        lambda: pipeline.enhance_anew(fitted, with_images=False),
        3,
    )
    assert ratio < 1.5


def test_overhead_over_a_bare_loop_is_small(compared, fitted, tmp_path):
    workspace = Workspace(fitted.workspace)
    codec = load_codec(fitted.codec, "cpu", "float32")
    name = find_operator(Run(fitted, workspace)).name
    operator = read_operator(workspace, fitted.restored_name, name)[0]
    members = workspace.members(fitted.restored_name, "shard-000000")
    limits = fitted.shards.limits()

    @torch.inference_mode()
    def bare_loop():
        for start in range(0, len(members), 8):
            read = list(read_members(workspace.store, members[start : start + 8]))
            images = to_tensor([decode(data, limits) for _, data in read])
            latents = codec.encode(images)
            mapped = transport_latents(latents, operator)
            difference = codec.decode(mapped) - codec.decode(latents)
            for (member, _), image in zip(read, (images + difference).clamp(0, 1), strict=True):
                (tmp_path / f"{member.key}.webp").write_bytes(encode(to_pixels(image), "webp"))

    ratio = compared(lambda: pipeline.enhance_anew(fitted), bare_loop, 3)
    assert ratio < 1.1


def test_sharding_runs_at_half_the_speed_of_tar(compared, make_config, photographs, tmp_path):
    folder = photographs(2000, 512)
    config = make_config(folder, shards=Shards(images=500))
    tar = shutil.which("tar")

    def ours():
        shutil.rmtree(config.workspace, ignore_errors=True)
        workspace = Workspace(config.workspace)
        corpus = config.corpora.reference
        units = plan_shards(Run(config, workspace), corpus, "reference")
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(lambda unit: write_corpus_shard(unit.job), units))

    def theirs():
        subprocess.run([tar, "cf", str(tmp_path / "plain.tar"), "-C", str(folder), "."], check=True)

    assert compared(ours, theirs) < 2


def test_children_decode_nearly_as_fast_as_threads_of_this_process(compared, photographs):
    files = [path.read_bytes() for path in photographs(32, 512).iterdir()] * 16
    limits = Shards().limits()

    def decoded(by):
        with ThreadPoolExecutor(cores()) as pool:
            for _ in pool.map(lambda data: by(data, limits), files):
                pass

    decoded(decoder_pool.decode)
    assert compared(lambda: decoded(decoder_pool.decode), lambda: decoded(decode)) < 1.3


def test_help_answers_within_a_second():
    command = [
        sys.executable,
        "-c",
        "import sys; from flows.cli import main; main()",
        "--help",
    ]
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    print(f"\ndotpipe --help: {min(seconds):.2f} s")
    assert min(seconds) < 1


OPERATORS = 4


@pytest.fixture
def operators(make_config, photographs, tiny_autoencoder):
    """Configurations of 16 images of 128 × 128 whose operators differ, sharded and fitted."""
    base = make_config(photographs(16, 128), tiny_autoencoder, patches=Patches(size=3))
    found = []
    for number in range(OPERATORS):
        update = {"fit": Fit(ridge=10.0**-number), "enhance": Enhance(alphas=(0.0,))}
        found.append(base.model_copy(update=update))
    for config in found:
        pipeline.shard(config, Workspace(config.workspace))
        pipeline.fit(config, Workspace(config.workspace))
    return found


def forget_enhanced(config):
    workspace = Workspace(config.workspace)
    for folder in ("enhanced", "metrics", "features"):
        for root in (folder, f"ledger/{folder}"):
            shutil.rmtree(workspace.store.local(root), ignore_errors=True)


def test_operators_together_cost_less_than_one_after_the_other(compared, operators):
    """Of encoding, decoding and decoding again, only the last is each operator's own."""

    def together():
        forget_enhanced(operators[0])
        for unit in plan_together([with_operator(Run.of(config)) for config in operators]):
            enhance_several.fn(unit.job)

    def one_by_one():
        forget_enhanced(operators[0])
        for config in operators:
            pipeline.enhance(config, Workspace(config.workspace))

    ratio = compared(together, one_by_one, 3)
    assert ratio < (OPERATORS + 2) / (3 * OPERATORS) + 0.1
