"""Select: two data sets go in, the images that an operator is fitted on come out.

They are a seeded sample, in pairs of restored and natural images if the data sets share keys.
"""

import heapq
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

from prefect import task
from pydantic import BaseModel, ConfigDict

from tasks.config import Config, Run
from tasks.io.catalogue import Place, by_shard, disjoint_samples
from tasks.io.catalogue.sampling import hash_of
from tasks.io.errors import CorpusError, StepMissing
from tasks.io.ledger import digest_of
from tasks.io.workspace import Workspace, dataset_folder, moments_folder
from tasks.jobs import Job, Recipe, Target, finished_digest, publishing, settle
from tasks.jobs.policy import SHARD_POLICY, logger

Pairing = Literal["auto", "paired", "unpaired"]

ENOUGH_PAIRS = 10
"""From so many shared keys on, ``auto`` fits on pairs even if most images have none."""

Listing = Callable[[], Iterable[tuple[str, str]]]
"""Lists the key and shard of every image of a data set, in the order of keys."""


class Selection(BaseModel):
    """The selected images of source and target, and how they were selected."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pairing: Literal["paired", "unpaired"]
    pairs: int
    """How many keys the data sets share."""
    source: dict[str, list[str]]
    """Keys of the selected restored images, by shard."""
    target: dict[str, list[str]]
    """Keys of the selected natural images, by shard."""

    @property
    def images(self) -> int:
        """How many images were selected of the source."""
        return sum(len(keys) for keys in self.source.values())


class SelectJob(Job):
    """Select images of two data sets."""

    target: Target
    source_dataset: str
    target_dataset: str
    images: int
    """How many to select of each, at most."""
    pairing: Pairing
    seed: int


@task(name="select", task_run_name="select of {job.source_dataset}", **SHARD_POLICY)
def select_images(job: SelectJob) -> None:
    """Write the selection, unless another run has; safe to repeat."""
    settle(job, write_selection)


SELECTION = "selection"
"""What names of selections begin with."""


def choice_of(config: Config) -> str:
    """Return 8 hex digits that name how images are chosen: how many, of what, and in which way.

    What is chosen and what is measured of it lies under this name, so that fits on other numbers
    of the same images keep theirs. Images that come or go later leave it as it is.
    """
    inputs = {
        "images": config.fit.images,
        "pairing": config.pairing,
        "seed": config.fit.seed,
        "source": config.source_name,
        "target": config.natural_name,
    }
    return digest_of(inputs)[:8]


def plan_selection(run: Run) -> tuple[str, SelectJob | None]:
    """Return the selection's artifact, and the job that makes it; None if it is there.

    Raises:
        StepMissing: the index of a data set is not finished.
    """
    datasets = {"source": run.config.source_name, "target": run.config.natural_name}
    fit = run.config.fit
    inputs: dict[str, Any] = {"images": fit.images, "seed": fit.seed, "pairing": run.config.pairing}
    for role, dataset in datasets.items():
        survey = run.workspace.ledger.survey(dataset_folder(dataset))
        inputs[role] = finished_digest(survey, f"{dataset_folder(dataset)}/index")
    name, recipe = run.config.restored_name, Recipe("select", inputs)
    former = moments_folder(name, SELECTION)  # where earlier versions had it
    artifact = f"{former}-{choice_of(run.config)}"
    survey = run.workspace.ledger.survey(former.rpartition("/")[0])
    if survey.digest(former, recipe.mark()) is not None:
        return former, None
    if (target := recipe.aim(survey, artifact)) is None:
        return artifact, None
    job = SelectJob(
        workspace=run.workspace.url,
        target=target,
        source_dataset=datasets["source"],
        target_dataset=datasets["target"],
        images=run.config.fit.images,
        pairing=run.config.pairing,
        seed=run.config.fit.seed,
    )
    return artifact, job


def chosen_images(run: Run) -> Selection:
    """Return the images that are chosen for the fit.

    Raises:
        StepMissing: they have not been chosen, or not from these data sets.
    """
    artifact, job = plan_selection(run)
    if job is not None:
        raise StepMissing("images are not chosen yet; run `dotpipe fit CONFIG` first")
    return read_selection(run.workspace, artifact)


def read_selection(workspace: Workspace, artifact: str) -> Selection:
    """Return the selection that an artifact holds."""
    return Selection.model_validate_json(workspace.store.read(f"{artifact}.json"))


def write_selection(job: SelectJob) -> Selection:
    """Select images, and write which.

    Raises:
        CorpusError: a data set is empty, or pairs are asked for and there are none.
    """
    workspace = job.opened()
    selection = draw_selection(
        lambda: workspace.keys(job.source_dataset),
        lambda: workspace.keys(job.target_dataset),
        job,
    )
    with publishing(workspace, job.target) as publication:
        text = json.dumps(selection.model_dump(), indent=1, sort_keys=True)
        publication.file(f"{job.target.artifact}.json").write_text(text, "utf-8")
    logger().info("selected pairing=%s images=%d", selection.pairing, selection.images)
    return selection


def draw_selection(source: Listing, target: Listing, job: SelectJob) -> Selection:
    """Return the images that are drawn by a hash of their keys, whatever shards they lie in.

    Args:
        source: lists the restored images.
        target: lists the natural images.
        job: how many to draw, with which seed, and whether in pairs.

    Raises:
        CorpusError: a data set is empty, or pairs are asked for and there are none.
    """
    targets = pairs = 0
    for _, partner in _partners(source(), target()):
        targets += 1
        pairs += partner is not None
    paired = job.pairing == "paired" or (
        job.pairing == "auto" and pairs > 0 and (pairs >= ENOUGH_PAIRS or pairs == targets)
    )
    drawn = _draw_pairs(source, target, job) if paired else _draw_apart(source, target, job)
    return Selection(
        pairing="paired" if paired else "unpaired",
        pairs=pairs,
        source=by_shard(drawn[0]),
        target=by_shard(drawn[1]),
    )


def _draw_apart(
    source: Listing, target: Listing, job: SelectJob
) -> tuple[list[Place], list[Place]]:
    """Return images of source and target that have no key in common, in the order of keys.

    Raises:
        CorpusError: one of them is empty, or both have the same single image.
    """
    drawn = disjoint_samples(source(), target(), job.images, job.seed)
    for dataset, listing, places in zip(
        (job.source_dataset, job.target_dataset), (source, target), drawn, strict=True
    ):
        if next(iter(listing()), None) is None:
            raise CorpusError(
                f"fit needs images on both sides, got none of {dataset}; the column `reason` "
                "of its index says why they were refused"
            )
        if not places:
            raise CorpusError(
                "an unpaired fit needs different images on both sides, got one image alone; "
                "give more, or set fit.pairing to paired"
            )
    return drawn


def _draw_pairs(
    source: Listing, target: Listing, job: SelectJob
) -> tuple[list[Place], list[Place]]:
    """Return images of source and target with the same keys, in the order of keys.

    Raises:
        CorpusError: there are no pairs.
    """
    found = _partners(source(), target())
    shared = ((place, partner) for place, partner in found if partner is not None)
    drawn = heapq.nsmallest(job.images, shared, key=lambda both: hash_of(both[0].key, job.seed))
    if not drawn:
        raise CorpusError(
            "fit.pairing is paired, so natural and restored images must share keys (paths "
            f"without extension), got none in common: {_examples(source(), target())}"
        )
    targets, sources = zip(*sorted(drawn), strict=True)
    return list(sources), list(targets)


def _partners(
    source: Iterable[tuple[str, str]], target: Iterable[tuple[str, str]]
) -> Iterator[tuple[Place, Place | None]]:
    """Yield every image of the target, with that of the source that has its key, if one has.

    Args:
        source: key and shard of every image, in the order of keys.
        target: the same.
    """
    sources = map(Place._make, source)
    candidate = next(sources, None)
    for place in map(Place._make, target):
        while candidate is not None and candidate.key < place.key:
            candidate = next(sources, None)
        is_partner = candidate is not None and candidate.key == place.key
        yield place, candidate if is_partner else None


def _examples(source: Iterable[tuple[str, str]], target: Iterable[tuple[str, str]]) -> str:
    first = [next(iter(listed), ("nothing", ""))[0] for listed in (source, target)]
    return f"{first[0]!r} against {first[1]!r}"
