"""The pipeline: a run goes in, its steps come out in order, each with its plan and its task.

Only this module says the order: for flows, conductor, status, and tests without Prefect.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Any, Literal, NamedTuple

from prefect import Task

from tasks.config import Config, Run, step_names
from tasks.enhance.enhance import enhance_shard
from tasks.enhance.match import match_artifacts, match_reference, plan_matches, require_matches
from tasks.enhance.plan import plan_enhancement
from tasks.enhance.signals import fetch_metric_weights
from tasks.evaluate.extract import extract_features, plan_extraction
from tasks.evaluate.fidelity import measure_fidelity, plan_fidelity
from tasks.evaluate.summarise import plan_summary, summarise
from tasks.evaluate.sums.add import add_up
from tasks.evaluate.sums.plan import plan_sums
from tasks.fit.decide import decide_refit, plan_decision
from tasks.fit.decision import decision_artifact
from tasks.fit.enough_patches import require_patches
from tasks.fit.latent_size import possible_levels
from tasks.fit.levels.plan import plan_level_map, plan_level_measurement
from tasks.fit.levels.solve import solve_level_map
from tasks.fit.measure import measure_shard
from tasks.fit.measurement_plan import plan_both_measurements
from tasks.fit.operators import FittedRun, fitted
from tasks.fit.reduce import plan_reduction, reduce_moments
from tasks.fit.rounds.plan import plan_round_map, plan_round_measurement
from tasks.fit.rounds.solve import solve_round_map
from tasks.fit.select import chosen_images, plan_selection, select_images
from tasks.io.errors import StepMissing
from tasks.io.machine.collector import uncollected
from tasks.io.workspace import compaction_told, dataset_folder
from tasks.jobs import Job, Planned
from tasks.report.report import plan_report, write_report
from tasks.restore.plan import plan_restoration
from tasks.restore.restore import restore_shard
from tasks.shard.index import index_dataset, plan_index
from tasks.shard.retire import plan_retirement, retire_shards
from tasks.shard.shard import count_images, plan_shards, shard_images
from tasks.shard.tars.scan import plan_scans, scan_tar
from tasks.train.finish import finish_training
from tasks.train.plan import plan_restorer, plan_segments
from tasks.train.segment import train_segment

Verb = Literal["shard", "train", "restore", "fit", "enhance", "evaluate", "report"]

VERBS: tuple[Verb, ...] = ("shard", "train", "restore", "fit", "enhance", "evaluate", "report")
"""The commands that do the steps, in the order of the work."""

Needs = Literal["nothing", "files", "network", "training", "memory"]
"""``memory`` is for statistics; ``training`` for a network that job after job goes on with."""


class Closing(NamedTuple):
    """What is made over all units of a step when the last of them is done."""

    artifact: str
    """Its name."""
    plan: Callable[[Mapping[str, str]], Job | None]
    """Takes the units' fingerprints by name; returns the job, or None if it is done."""
    work: Task[Any, Any]


class Step(NamedTuple):
    """A step of the pipeline."""

    name: str
    verb: Verb
    """The command that does it."""
    plan: Callable[[], Iterable[Planned]]
    """Returns its units; raises StepMissing while a step that it needs is not done."""
    work: Task[Any, Any]
    """Does the job of one unit."""
    needs: Needs = "nothing"
    """What its jobs need most, which limits how many are done at once, of a ``training`` one. Of
    a step that needs ``nothing``, the flow itself does them one after the other."""
    prepare: Callable[[], object] | None = None
    """Fetches or checks what the plan needs; raises an error if it cannot be had."""
    closing: Closing | None = None
    counting: Callable[[Callable[[], bool]], int | None] | None = None
    """Counts the images of a step whose plan is too large to be held; see ``count_images``."""
    repeats: bool = False
    """Whether its units are part of an earlier step, and are done here only if that one was
    not run; ``whole_pipeline`` leaves it out."""

    def units(self) -> Iterator[Planned]:
        """Yield all units, and what is made over them when they are done."""
        if self.closing is None:
            yield from self.plan()
            return
        fingerprints, complete = dict[str, str](), True
        for unit in self.plan():
            fingerprints[unit.unit] = unit.fingerprint
            complete = complete and unit.job is None
            yield unit
        job = self.closing.plan(fingerprints) if complete else None
        yield Planned("", 0, job, (self.closing.artifact,))  # named even if it cannot be planned


def steps_of(run: Run) -> Iterator[Step]:
    """Yield every step in its order."""
    config, found = run.config, cache(partial(fitted, run))
    for dataset, corpus in config.given_datasets().items():
        units, index = partial(plan_shards, run, corpus, dataset), _index_of(run, dataset)
        if corpus.is_tars:
            scans = partial(plan_scans, run, corpus, dataset)
            yield Step(step_names.scan_step(dataset), "shard", scans, scan_tar, "files")
        name, count = step_names.data_set_step(config, dataset), partial(count_images, run, corpus)
        yield Step(name, "shard", units, shard_images, "files", None, index, count)
    if config.clean_name is not None:
        segments, kept = partial(plan_segments, run), lambda: _single(*plan_restorer(run))
        yield Step(step_names.TRAINING, "train", segments, train_segment, "training")
        yield Step("keep the restorer", "train", kept, finish_training)
    for dataset, origin in config.made_datasets().items():
        made, closing = partial(plan_restoration, run, origin, dataset), _index_of(run, dataset)
        name, enough = step_names.data_set_step(config, dataset), partial(require_patches, run)
        yield Step(name, "restore", made, restore_shard, "network", enough, closing)
    last: Verb = "shard" if config.restore is None else "restore"
    yield Step("retire shards", last, partial(_retirement, run), retire_shards)
    chosen, enough = lambda: _single(*plan_selection(run)), partial(require_patches, run)
    yield Step("choose images", "fit", chosen, select_images, prepare=enough)
    name, measured = step_names.round_step(0), partial(plan_both_measurements, run)
    yield Step(name, "fit", measured, measure_shard, "network")
    if config.fit.refit_beyond is not None:
        yield Step("keep or refit", "fit", partial(_decision, run), decide_refit)
    yield Step(step_names.solving_step(0), "fit", partial(_reduction, run), reduce_moments)
    for number in range(config.reapply + 1):
        yield from _maps_of_round(run, number)
    yield from _pass_over_shards(run, found, "enhance")
    yield from _pass_over_shards(run, found, "evaluate")
    if config.evaluate.networks:
        name, features = step_names.features_step(config), partial(plan_extraction, run)
        yield Step(name, "evaluate", features, extract_features, "network")
        yield Step(step_names.ADD_UP, "evaluate", lambda: plan_sums(run, found), add_up, "memory")
    yield Step("fidelity", "evaluate", lambda: plan_fidelity(found()), measure_fidelity, "memory")
    yield Step("summarise", "evaluate", lambda: _single(*plan_summary(found())), summarise)
    yield Step("report", "report", lambda: _single(*plan_report(found())), write_report)


def whole_pipeline(run: Run) -> Iterator[Step]:
    """Yield every step in its order, without those whose units are part of an earlier one."""
    return (step for step in steps_of(run) if not step.repeats)


@uncollected()
def is_finished(config: Config, verb: Verb | None = None) -> bool:
    """Return whether nothing is left to do; plans the last steps first, as they miss the most.

    Args:
        config: what is wanted.
        verb: the command whose steps are planned; all by default.
    """
    try:
        return all(
            unit.job is None
            for step in reversed(list(whole_pipeline(Run.of(config, still=True))))
            if verb in (None, step.verb)
            for unit in step.units()
        )
    except StepMissing:
        return False


def require_shards(config: Config) -> None:
    """Check that the data sets are those of the configuration and of its folders now.

    Raises:
        StepMissing: some shards are missing or out of date.
    """
    run = Run.of(config, still=True)
    for step in steps_of(run):
        if step.closing is None:
            continue
        shards, missing = dict[str, str](), 0
        for unit in step.plan():  # each with its files, which are not held together
            shards[unit.unit] = unit.fingerprint
            missing += unit.job is not None
        if missing or step.closing.plan(shards) is not None:
            with compaction_told(run.workspace):
                raise StepMissing(
                    f"the data set {step.name.partition(' ')[2]!r} must be that of its images and "
                    f"options now, got {missing} of {len(shards)} shards missing or out of date, "
                    f"or others in its index; run `dotpipe {step.verb} CONFIG` first"
                )


def _index_of(run: Run, dataset: str) -> Closing:
    """Return what writes the index over the shards of a data set."""
    artifact = f"{dataset_folder(dataset)}/index"
    return Closing(artifact, partial(plan_index, run, dataset), index_dataset)


def _retirement(run: Run) -> list[Planned]:
    """Return the one unit that removes what is left of gone shards; none if nothing is."""
    job = plan_retirement(run if run.workspace.still else Run.of(run.config, still=True))
    return [] if job is None else [Planned("", 0, job)]


def _decision(run: Run) -> list[Planned]:
    return _single(decision_artifact(run.config), plan_decision(run, chosen_images(run)))


def _reduction(run: Run) -> list[Planned]:
    reduction = plan_reduction(run, chosen_images(run))
    return _single((reduction.artifact, *reduction.said_by), reduction.job)


def _maps_of_round(run: Run, number: int) -> Iterator[Step]:
    """Yield the steps that measure and solve what a round adds to the first map of latents."""
    if number:
        made, solved = (partial(p, run, number) for p in (plan_round_measurement, plan_round_map))
        yield Step(step_names.round_step(number), "fit", made, measure_shard, "network")
        yield Step(step_names.solving_step(number), "fit", solved, solve_round_map)
    for level in possible_levels(run.config):
        plans = plan_level_measurement, plan_level_map
        made, solved = (partial(plan, run, level, number) for plan in plans)
        yield Step(step_names.level_step(level, number), "fit", made, measure_shard, "network")
        yield Step(step_names.solving_step(number, level), "fit", solved, solve_level_map)


def _pass_over_shards(run: Run, found: Callable[[], FittedRun], verb: Verb) -> Iterator[Step]:
    """Yield the steps of the pass over all shards that enhances and scores, or that only scores."""
    with_images = verb == "enhance"

    def prepare() -> None:
        require_matches(run)
        fetch_metric_weights(found())

    if run.config.reference_name is not None:
        name, plan = "match the reference", lambda: _single(match_artifacts(run), plan_matches(run))
        yield Step(name, verb, plan, match_reference, repeats=not with_images)
    yield Step(
        (step_names.enhancement_step if with_images else step_names.scoring_step)(run.config),
        verb,
        lambda: plan_enhancement(found(), with_images=with_images),
        enhance_shard,
        "network",
        prepare=prepare,
        repeats=not with_images,
    )


def _single(artifacts: str | Iterable[str], job: Job | None) -> list[Planned]:
    named = (artifacts,) if isinstance(artifacts, str) else tuple(artifacts)
    return [Planned("", 0, job, named)]
