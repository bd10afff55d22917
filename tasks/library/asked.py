"""What is asked of a finished run, in a caller's words: versions of images, shards, signals."""

from collections.abc import Collection, Iterator, Mapping

from tasks.config import Config, Run
from tasks.enhance.enhance import EnhanceJob
from tasks.enhance.plan import plan_enhancement
from tasks.enhance.signals import signals_to_score
from tasks.fit.operators import FittedRun, OperatorRef
from tasks.io.errors import ConfigurationError, StepMissing
from tasks.io.shards import Member
from tasks.io.workspace import Signal
from tasks.view.viewed import Version, Viewed, members


def require_finished(viewed: Viewed) -> None:
    """Check that all images are enhanced and scored, with the options and images of now.

    Raises:
        StepMissing: they are not.
    """
    config, missing, shards = viewed.run.config, set[float](), 0
    for unit in plan_enhancement(viewed.run, with_images=True):
        shards += 1
        if isinstance(unit.job, EnhanceJob):
            missing |= {made.signal.alpha or 0.0 for made in unit.job.enhanced}
    missing |= set(config.enhance.alphas) - {each.alpha for each in viewed.versions.values()}
    if missing or viewed.unfinished:
        at = ", ".join(f"{alpha:g}" for alpha in sorted(missing or config.enhance.alphas))
        raise StepMissing(
            f"the run {config.name!r} must be finished to be read, but not all of its {shards} "
            f"shards are enhanced at alpha {at} with these options and images; run `dotpipe run "
            "CONFIG` first"
        )


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
        return viewed.version(f"{version:+.2f}")
    raise ConfigurationError(
        f"images must be asked for at an alpha that was written, or by name: {_listed(alphas)}, "
        f"{', '.join(map(repr, others))}, got {version!r}; add an alpha to enhance.alphas, and run "
        "again"
    )


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
