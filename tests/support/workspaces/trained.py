"""A training by plain functions, and what it has left in the workspace."""

import pyarrow.parquet as pq
from workspaces.plain_pipeline import do

from tasks.io.artifacts.tensors import load_tensors
from tasks.train.plan import trained_map


def train(made):
    """Do the steps up to the trained restorer; the digest of its weights."""
    do(made.opened, lambda step: step.verb in ("shard", "train"))
    return trained_map(made.opened).digest


def weights_of(made):
    """The weights that restore, by name."""
    path = f"{trained_map(made.opened).artifact}.safetensors"
    return load_tensors(made.workspace.store.local(path), "residual map")[0]


def losses_of(made):
    """The rows of the table of the training."""
    path = f"{trained_map(made.opened).artifact}.parquet"
    return pq.read_table(made.workspace.store.local(path)).to_pylist()
