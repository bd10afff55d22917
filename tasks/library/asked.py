"""What is asked of a finished run, in a caller's words: versions of images, shards, signals."""

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache

import pyarrow as pa

from tasks.config import Config, Run
from tasks.enhance.enhance import EnhanceJob
from tasks.enhance.plan import plan_enhancement
from tasks.enhance.signals import absent_weights, signals_to_score
from tasks.evaluate.fidelity import plan_fidelity
from tasks.evaluate.summarise import plan_summary, summary_artifact
from tasks.fit.operators import FittedRun, OperatorRef
from tasks.io.artifacts.parquet import read_table
from tasks.io.catalogue import Catalogue
from tasks.io.errors import ConfigurationError, DotpipeError, StepMissing
from tasks.io.images import Form
from tasks.io.networks.features.judges import judge_identity
from tasks.io.networks.weights import Weights
from tasks.io.shards import Member
from tasks.io.workspace import Signal
from tasks.view.viewed import Version, Viewed, members


def require_finished(viewed: Viewed) -> None:
    """Check that all images are enhanced and scored, with the options and images of now.

    Where metrics cannot be computed here, as their weights are elsewhere, it cannot be known
    whether their tables are those of now, and any that are there will do.

    Raises:
        StepMissing: they are not.
    """
    config, missing, shards, unscored = viewed.run.config, set[float](), 0, 0
    for unit in plan_enhancement(viewed.run, with_images=True):
        shards += 1
        if isinstance(unit.job, EnhanceJob):
            missing |= {made.signal.alpha or 0.0 for made in unit.job.enhanced}
            unscored += bool(unit.job.tables)
    missing |= set(config.enhance.alphas) - {each.alpha for each in viewed.versions.values()}
    if missing or viewed.unfinished:
        at = ", ".join(f"{alpha:g}" for alpha in sorted(missing or config.enhance.alphas))
        raise StepMissing(
            f"the run {config.name!r} must be finished to be read, but not all of its {shards} "
            f"shards are enhanced at alpha {at} with these options and images; run `dotpipe run "
            "CONFIG` first"
        )
    if unscored and _metrics_are_here(config):
        raise StepMissing(
            f"the run {config.name!r} must be finished to be read, but {unscored} of its {shards} "
            "shards have not all metrics of these options and images; run `dotpipe run CONFIG` "
            "first"
        )


def fidelity_table(run: FittedRun) -> pa.Table:
    """Return the fidelity table of a run, which must be that of its images and options now.

    Where metrics cannot be computed here that cannot be known, and the one that is there will do.

    Raises:
        StepMissing: it is not.
        ArtifactDamaged: the table is not there, or not whole.
    """
    artifact = summary_artifact(run)
    is_there = run.workspace.ledger.survey(artifact.rpartition("/")[0]).records(artifact)
    if not is_there or (not _is_evaluated(run) and _metrics_are_here(run.config)):
        raise StepMissing(
            f"the run {run.config.name!r} must have been evaluated for its fidelity to be read, "
            "but is not, with the images and options of now; run `dotpipe evaluate CONFIG` first"
        )
    return read_table(run.workspace.store, f"{artifact}.parquet")


def _is_evaluated(run: FittedRun) -> bool:
    """Return whether nothing is missing of the evaluation."""
    try:
        is_measured = all(unit.job is None for unit in plan_fidelity(run))
        return is_measured and plan_summary(run)[1] is None
    except DotpipeError:
        return False


def _metrics_are_here(config: Config) -> bool:
    """Return whether all that metrics are computed with is on this machine."""
    weights = Weights.of(config.weights)
    known = all(judge_identity(name, weights) is not None for name in config.judges)
    return known and not absent_weights(config)


def viewed_anew(
    config: Config,
    operator: OperatorRef,
    versions: Mapping[str, Version],
    shards: Mapping[str, int],
) -> Viewed:
    """Return what is known of a finished run, its workspace being opened anew."""
    workspace = Run.of(config, still=True).workspace
    return Viewed(FittedRun(config, workspace, operator), versions, shards, unfinished=0)


def alphas_of(viewed: Viewed) -> tuple[float, ...]:
    """Return the alphas at which images were written, in their order."""
    versions = viewed.versions.values()
    return tuple(v.alpha for v in versions if v.role == "enhanced" and v.alpha is not None)


def version_of(viewed: Viewed, version: float | str) -> Version:
    """Return a version of the images by its alpha, or by its name.

    Raises:
        ConfigurationError: there is none.
    """
    alphas = alphas_of(viewed)
    others = [each.name for each in viewed.versions.values() if each.role != "enhanced"]
    if isinstance(version, str) and version in others:
        return viewed.version(version)
    if not isinstance(version, str) and version in alphas:
        return viewed.version(f"{version + 0.0:+.2f}")  # -0.0 is 0
    raise ConfigurationError(
        f"images must be asked for at an alpha that was written, or by name: {_listed(alphas)}, "
        f"{', '.join(map(repr, others))}, got {version!r}; add an alpha to enhance.alphas, and run "
        "again"
    )


def form_of(viewed: Viewed, version: float | str) -> Form | None:
    """Return the form in which the images of a version were written; None if they came so."""
    is_made = version_of(viewed, version).role == "enhanced"
    return viewed.run.config.enhance.form if is_made else None


def member_of(
    viewed: Viewed, key: str, version: float | str, shard: str | None
) -> tuple[str, Member]:
    """Return the shard of an image, and where a version of it lies.

    Args:
        viewed: the run.
        key: of the image.
        version: an alpha, or a name.
        shard: that is looked into first; the catalogue tells otherwise.

    Raises:
        ConfigurationError: there is no such image or version.
    """
    shown = version_of(viewed, version)
    for place in _places(viewed, key, shard):
        if place in viewed.shards and (found := members(viewed, shown, place).get(key)) is not None:
            return place, found
    raise ConfigurationError(f"an image must be one that the run has as {shown.label}, got {key!r}")


def _places(viewed: Viewed, key: str, shard: str | None) -> Iterator[str]:
    """Yield the shards in which an image may be, the likely one first."""
    if shard is not None:
        yield shard
    yield from (entry.shard for entry in _catalogue(viewed).holding(key))


@lru_cache(maxsize=4)
def _catalogue(viewed: Viewed) -> Catalogue:
    """Return the catalogue of a data set; that of the last ones viewed stays open."""
    return viewed.workspace.catalogue(viewed.dataset)


def members_by_shard(
    viewed: Viewed, version: float | str, shards: Collection[str] | None
) -> Iterator[tuple[str, list[Member]]]:
    """Return shards by their names, with where a version of their images lies, one after the other.

    Args:
        viewed: the run.
        version: an alpha, or a name.
        shards: names of the only shards; None for all.

    Raises:
        ConfigurationError: there is no such version or shard.
    """
    shown = version_of(viewed, version)
    if strangers := sorted(set(shards or ()) - viewed.shards.keys()):
        raise ConfigurationError(f"a shard must be one of run.shards, got {strangers[0]!r}")
    return (
        (shard, list(members(viewed, shown, shard).values()))
        for shard in viewed.shards
        if shards is None or shard in shards
    )


def signals_of(viewed: Viewed, of: float | str | None) -> list[Signal]:
    """Return the signals whose tables are asked for: at an alpha, by name, or all without curves.

    Raises:
        ConfigurationError: there are none.
    """
    scored = signals_to_score(viewed.run.config)
    if of is None:
        return [signal for signal in scored if not signal.is_curve]
    alphas = alphas_of(viewed)
    if isinstance(of, str):
        found = [signal for signal in scored if signal.name == of and signal.name != "enhanced"]
    else:
        found = [Signal("enhanced", alpha) for alpha in alphas if alpha == of]
    if not found:
        names = dict.fromkeys(repr(each.name) for each in scored if each.name != "enhanced")
        raise ConfigurationError(
            f"metrics must be asked for at an alpha that was written, or of a signal: "
            f"{', '.join([_listed(alphas), *names])}, got {of!r}"
        )
    return found


def _listed(alphas: Collection[float]) -> str:
    return ", ".join(f"{alpha:g}" for alpha in alphas)
