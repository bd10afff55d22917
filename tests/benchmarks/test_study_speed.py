"""Several operators over the same shards: together against one after the other."""

import shutil

import pytest
from workspaces import plain_pipeline as pipeline

from tasks.config import Run
from tasks.config.patches import Patches
from tasks.config.sections import Enhance, Fit
from tasks.enhance.several.enhance import enhance_several, plan_together
from tasks.fit.operators import fitted
from tasks.io.workspace import Workspace

OPERATORS = 4


@pytest.fixture
def configs(make_config, photographs, tiny_autoencoder):
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


def test_operators_together_cost_less_than_one_after_the_other(compared, configs):
    """Of encoding, decoding and decoding again, only the last is each operator's own."""

    def together():
        forget_enhanced(configs[0])
        for unit in plan_together([fitted(Run.of(config)) for config in configs]):
            enhance_several.fn(unit.job)

    def one_by_one():
        forget_enhanced(configs[0])
        for config in configs:
            pipeline.enhance(config, Workspace(config.workspace))

    ratio = compared(together, one_by_one, 3)
    assert ratio < (OPERATORS + 2) / (3 * OPERATORS) + 0.1
