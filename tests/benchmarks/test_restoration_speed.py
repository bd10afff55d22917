"""The restoration of a shard against a bare batched loop of the same network on its images."""

import shutil

import torch
from workspaces import plain_pipeline as pipeline

from tasks.config import Run
from tasks.config.corpora import Corpora, Corpus
from tasks.io.images.pixels import to_pixels, to_tensor
from tasks.io.networks.restorers import SpandrelCheckpoint, load_restorer
from tasks.io.shards import read_members
from tasks.io.workspace import Workspace
from tests.support.pictures import decode, encode


def test_restoring_a_shard_costs_little_more_than_a_bare_loop(
    compared, make_config, photographs, test_data, tmp_path
):
    checkpoint = test_data / "weights" / "restorers" / "cdncnn_color_sigma50.safetensors"
    folder = Corpus(path=str(photographs(16, 128)))
    config = make_config(
        None,
        corpora=Corpora(degraded=folder, natural=folder.model_copy(update={"name": "natural"})),
        degrade=(),
        restore=SpandrelCheckpoint(kind="spandrel", checkpoint=str(checkpoint)),
    )
    workspace = Workspace(config.workspace)
    pipeline.do(Run(config, workspace), lambda step: step.verb == "shard")
    network = load_restorer(config.restore, "cpu").descriptor
    members, limits = workspace.members("degraded", "shard-000000"), config.shards.limits()

    def ours():
        for root in ("datasets/bench", "ledger/datasets/bench"):
            shutil.rmtree(workspace.store.local(root), ignore_errors=True)
        pipeline.do(Run(config, workspace), lambda step: step.name == "restore bench")

    @torch.inference_mode()
    def bare_loop():
        for start in range(0, len(members), config.compute.batch):
            window = members[start : start + config.compute.batch]
            read = list(read_members(workspace.store, window))
            restored = network(to_tensor([decode(data, limits) for _, data in read]))
            for (member, _), image in zip(read, restored, strict=True):
                (tmp_path / f"{member.key}.webp").write_bytes(encode(to_pixels(image), "webp"))

    assert compared(ours, bare_loop, 3) < 1 / 0.9
