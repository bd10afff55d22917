"""Where the work is done: on which device and runner, and in which pieces by many workers."""

from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    model_validator,
)

from tasks.io.networks.codecs import Precision
from tasks.io.section import Section


class Threads(Section):
    """Tasks run in threads of this process."""

    kind: Literal["threads"] = "threads"


class Ray(Section):
    """Tasks run on a Ray cluster that is there already; needs the extra ``ray``."""

    kind: Literal["ray"]
    address: str | None = None
    """ray://head:10001 from anywhere, head:6379 from one of its machines; by default what
    RAY_ADDRESS names, or the cluster that this machine is part of."""
    gpus: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of a GPU that a task with a network asks for; has no effect where ``device`` is
    cpu."""
    cpus: Annotated[float, Field(gt=0, le=1024)] | None = None
    """Processors that it asks for, which decode and score: by default its share of the machine's
    by its share of the GPUs there, or one where it asks for no GPU. A task that copies files
    has one."""


def _named(runner: object) -> object:
    """A runner that is given by its kind alone, as the section of that kind."""
    return {"kind": runner} if isinstance(runner, str) else runner


class Compute(Section):
    """Where the work runs; has no effect on the results beyond rounding."""

    runner: Annotated[Threads | Ray, Field(discriminator="kind"), BeforeValidator(_named)] = (
        Threads()
    )
    """threads, ray, or ray in full: {kind: ray, address: ray://head:10001}."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """cpu, cuda, cuda:1, or auto (cuda where there is one)."""
    precision: Precision = "float32"
    """Of the network; statistics are float64 always."""
    batch: Annotated[int, Field(ge=1, le=1024)] = 8
    """Images of equal size that run together."""
    shards_at_once: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Tasks side by side: by default one per core where files are copied, and one per GPU, or
    one, where the network is the bottleneck; on a Ray cluster as many as it has room for."""

    @model_validator(mode="after")
    def _a_cluster_gives_out_its_devices(self) -> "Compute":
        if isinstance(self.runner, Ray) and self.device.startswith("cuda:"):
            raise ValueError(
                "compute.device must be auto, cuda or cpu with the runner ray, which gives every "
                f"task a device of its own, got {self.device!r}"
            )
        return self


class Blocks(Section):
    """How ``dotpipe backfill`` and scheduled runs divide the work over a pool's workers."""

    shards: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Shards in a block, which is one flow run; some tens of minutes of work are good."""
    at_once: Annotated[int, Field(ge=1, le=1000)] = 16
    """Blocks that are submitted and have not ended; the limits of the pool and its queues say
    how many of them run."""
    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Runs of a block that fails or whose worker dies, before it is given up."""
    patience_s: Annotated[float, Field(gt=0)] = 1800
    """Seconds without a block's end after which the event ``dotpipe.run.stalled`` is sent, and a
    block that a worker has taken and not begun is given to another."""
