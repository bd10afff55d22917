"""Choose the images an operator is fitted on: a seeded sample, in pairs where there are."""

import heapq
import json
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from prefect import task
from pydantic import BaseModel, ConfigDict

from tasks.config import Run
from tasks.io.catalogue import Place, by_shard, sample
from tasks.io.catalogue.sampling import hash_of
from tasks.io.errors import CorpusError
from tasks.io.workspace import Workspace, dataset_folder, moments_folder
from tasks.jobs import Job, Target, aim, finished_digest, publishing, settle
from tasks.jobs.policy import SHARD_POLICY, logger

Pairing = Literal["auto", "paired", "unpaired"]

ENOUGH_PAIRS = 10
"""From so many shared keys on, ``auto`` fits on pairs even if most images have none."""


class Selection(BaseModel):
    """The chosen keys of both sides by shard, and how they were chosen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairing: Literal["paired", "unpaired"]
    pairs: int
    """Keys that the corpora share."""
    source: dict[str, list[str]]
    target: dict[str, list[str]]

    @property
    def images(self) -> int:
        """Images on the source's side."""
        return sum(len(keys) for keys in self.source.values())


class SelectJob(Job):
    """Choose images from two data sets."""

    target: Target
    source_dataset: str
    target_dataset: str
    images: int
    pairing: Pairing
    seed: int


@task(name="select", task_run_name="select of {job.source_dataset}", **SHARD_POLICY)
def select_images(job: SelectJob) -> None:
    """Write the choice of images."""
    settle(job, write_selection)


def plan_selection(run: Run) -> tuple[str, SelectJob | None]:
    """The artifact that holds the choice, and the job that makes it if it is missing."""
    names = run.config.source_name, run.config.natural_name
    inputs: dict[str, Any] = {
        "pairing": run.config.pairing,
        "images": run.config.fit.images,
        "seed": run.config.fit.seed,
    }
    for side, name in zip(("source", "target"), names, strict=True):
        survey = run.workspace.ledger.survey(dataset_folder(name))
        inputs[side] = finished_digest(survey, f"{dataset_folder(name)}/index")
    artifact = f"{moments_folder(run.config.restored_name, 'selection')}"
    target = aim(
        run.workspace.ledger.survey(artifact.rpartition("/")[0]), artifact, "select", inputs
    )
    if target is None:
        return artifact, None
    job = SelectJob(
        workspace=run.workspace.url,
        target=target,
        source_dataset=names[0],
        target_dataset=names[1],
        images=run.config.fit.images,
        pairing=run.config.pairing,
        seed=run.config.fit.seed,
    )
    return artifact, job


def read_selection(workspace: Workspace, artifact: str) -> Selection:
    """The choice of images."""
    return Selection.model_validate_json(workspace.store.read(f"{artifact}.json"))


def write_selection(job: SelectJob) -> Selection:
    """Choose, and write the choice.

    Raises:
        CorpusError: a side is empty, or pairs are asked for and there are none.
    """
    workspace = job.opened()
    selection = choose(
        lambda: workspace.keys(job.source_dataset),
        lambda: workspace.keys(job.target_dataset),
        job,
    )
    with publishing(workspace, job.target) as publication:
        text = json.dumps(selection.model_dump(), indent=1, sort_keys=True)
        publication.file(f"{job.target.artifact}.json").write_text(text)
    logger().info("selected pairing=%s images=%d", selection.pairing, selection.images)
    return selection


def choose(source: Any, target: Any, job: SelectJob) -> Selection:
    """The choice between two sides, each a function that lists keys and shards in order."""
    pairs = total = 0
    for _, partner in _joined(source(), target()):
        pairs += partner is not None
        total += 1
    paired = job.pairing == "paired" or (
        job.pairing == "auto" and pairs > 0 and (pairs >= ENOUGH_PAIRS or pairs == total)
    )
    if not paired:
        chosen = [sample(side(), job.images, job.seed) for side in (source, target)]
        if not all(chosen):
            raise CorpusError(
                "fit needs images on both sides, got none of "
                f"{job.target_dataset if chosen[0] else job.source_dataset}; the column `reason` "
                "of its index says why they were refused"
            )
    elif pairs == 0:
        raise CorpusError(
            "fit.pairing is paired, so natural and restored images must share keys (paths "
            f"without extension), got none in common: {_examples(source(), target())}"
        )
    else:
        shared = (both for both in _joined(source(), target()) if both[1] is not None)
        drawn = heapq.nsmallest(job.images, shared, key=lambda both: hash_of(both[0].key, job.seed))
        ordered = sorted(drawn)
        chosen = [[both[1] for both in ordered if both[1]], [both[0] for both in ordered]]
    return Selection(
        pairing="paired" if paired else "unpaired",
        pairs=pairs,
        source=by_shard(chosen[0]),
        target=by_shard(chosen[1]),
    )


def _joined(
    source: Iterable[tuple[str, str]], target: Iterable[tuple[str, str]]
) -> Iterator[tuple[Place, Place | None]]:
    """Every target with the source of the same key; both sides are in order of keys."""
    sources = iter(source)
    here = next(sources, None)
    for place in map(Place._make, target):
        while here is not None and here[0] < place.key:
            here = next(sources, None)
        yield place, Place(*here) if here is not None and here[0] == place.key else None


def _examples(source: Iterable[tuple[str, str]], target: Iterable[tuple[str, str]]) -> str:
    first = [next(iter(side), ("nothing", ""))[0] for side in (source, target)]
    return f"{first[0]!r} against {first[1]!r}"
