"""The sections on where the work is done and in which parts: device, runner, workers, shards.

None of these options has an effect on the results, except for rounding, for ``tile`` with an
``AutoencoderKL``, and for the limits of ``shards``, which refuse images.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from tasks.io.images import Limits
from tasks.io.images.opening import MOST_PIXELS
from tasks.io.networks.codecs import Precision
from tasks.io.section import Section


class Threads(Section):
    """The runner that runs tasks in threads of the flow's own process."""

    kind: Literal["threads"] = "threads"


class Ray(Section):
    """The runner that runs tasks on an existing Ray cluster; needs the extra ``ray``."""

    kind: Literal["ray"]
    address: str | None = None
    """ray://head:10001 from anywhere, head:6379 from a machine of the cluster; null for what
    RAY_ADDRESS names, else the cluster that this machine is part of."""
    gpus: Annotated[float, Field(ge=0, le=1)] = 1.0
    """GPUs that a task with a network asks for, as a share of one; has no effect where
    ``device`` is cpu."""
    cpus: Annotated[float, Field(gt=0, le=1024)] | None = None
    """CPU cores that a task with a network asks for, to decode and score on; null for the same
    share of the machine's cores as of its GPUs, or one where it asks for no GPU. Has no effect
    on tasks that copy files, which ask for one."""


def _named(runner: object) -> object:
    """A runner that is given by its kind alone, as the section of that kind."""
    return {"kind": runner} if isinstance(runner, str) else runner


class Compute(Section):
    """Which runner and device do the work, and how much of it at a time."""

    runner: Annotated[Threads | Ray, Field(discriminator="kind"), BeforeValidator(_named)] = (
        Threads()
    )
    """What runs the tasks: threads, ray, or ray with its options as in
    {kind: ray, address: ray://head:10001}."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """Where networks run: cpu, cuda, one GPU by its number as in cuda:1, or auto, which is cuda
    where there is a GPU and else cpu."""
    precision: Precision = "float32"
    """Number type of the codec's network, and of a restorer's of spandrel, which round accordingly;
    has no effect on the pixel codec, nor on statistics, which are always float64. bfloat16 is fast
    on GPUs since Ampere and on processors that have instructions for it, and slow on all others."""
    batch: Annotated[int, Field(ge=1, le=1024)] = 8
    """Images of equal size that the networks process together, at most; fewer where they are
    large, or where the device has no memory for so many."""
    tile: Annotated[int, Field(ge=256, le=16_384)] = 512
    """Side in pixels of a square with as many pixels as the codec processes at once, at most, of an
    image that is larger. Tiny auto-encoders need 1.5 kB of memory for each of these pixels on the
    CPU. The pixel codec and tiny auto-encoders give the result of the whole image; the tiles of
    others are blended, which changes results, and the report says by how much tiles differ.
    So it is with restorers of spandrel: exact for chains of convolutions, blended for others, as
    for one that a run has trained."""
    shards_at_once: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Tasks that run at the same time; null for one per core where files are copied, and one
    per GPU, or one without any, where networks run; on Ray, for as many as there is room for."""

    @model_validator(mode="after")
    def _a_cluster_gives_out_its_devices(self) -> "Compute":
        if isinstance(self.runner, Ray) and self.device.startswith("cuda:"):
            raise ValueError(
                "compute.device must be auto, cuda or cpu with the runner ray, which gives every "
                f"task a device of its own, got {self.device!r}"
            )
        return self


class Blocks(Section):
    """How ``dotpipe backfill`` and scheduled runs divide the work among a pool's workers."""

    shards: Annotated[int, Field(ge=1, le=10_000)] = 16
    """Shards in a block, which is one flow run: some tens of minutes of work are good."""
    min_shards: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Shards that a run must find missing, where so many are: blocks that miss fewer are done
    together with the next ones that miss some, so that starting a process and loading networks
    pays. 1 does every block by itself."""
    at_once: Annotated[int, Field(ge=1, le=1000)] = 16
    """Blocks that are submitted and have not ended, at most; how many of these run is up to the
    limits of the pool and its queues."""
    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Times that a block is run, at most, while it fails or its worker dies; once, if it fails so
    that a person has to mend something."""
    patience_s: Annotated[float, Field(gt=0)] = 1800
    """Seconds without a block's end after which the event ``dotpipe.run.stalled`` is sent, and
    after which a block that a worker has taken but not begun is given to another."""


CUT_TARS_ABOVE = 1 << 32
"""Bytes of a tar above which it is cut unless a configuration says otherwise: tars that are shards
already, of some gigabytes at most, are not."""


class Shards(Section):
    """How corpora are cut into shards, and which images are refused."""

    images: Annotated[int, Field(ge=1, le=100_000)] = 256
    """Images in a new shard, which one task processes: some minutes of work are good. Images
    that are in a shard stay there. Of tars only large ones are cut so, see ``cut_tars_above``."""
    cut_tars_above: Annotated[int, Field(ge=1)] | None = CUT_TARS_ABOVE
    """Bytes of a tar above which it becomes several shards, each of ``images`` images and refused
    members of it, or of this many bytes where that is less. Smaller ones become one shard each, and
    what was made of a tar stays until the tar changes. Null cuts none."""
    max_pixels: Annotated[int, Field(ge=64, le=MOST_PIXELS)] = 1 << 29
    """Pixels above which an image is refused: a guard against files that claim to be enormous.
    The memory that an image takes follows from ``compute.batch`` and ``compute.tile``; its
    pixels wait on disk, 3 bytes for each of every image that is made of it."""
    max_bytes: Annotated[int, Field(ge=64)] = 1 << 28
    """Bytes above which a file is refused."""
    max_bad_fraction: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of a corpus, in [0, 1], above which refused images fail the run."""

    def limits(self) -> Limits:
        """The size above which an image is refused."""
        return Limits(max_pixels=self.max_pixels, max_bytes=self.max_bytes)
