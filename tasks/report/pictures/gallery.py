"""Images for the report: the same few as they came, enhanced, and as their references have them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from tasks.config import Config, Run
from tasks.enhance.match import read_matches
from tasks.enhance.signals import input_is_alpha_1
from tasks.fit.operators import FittedRun
from tasks.io.artifacts.parquet import read_table
from tasks.io.errors import ConfigurationError, ImageRefused
from tasks.io.images.conversion.shown import Shown
from tasks.io.images.decoder_pool import decode_written
from tasks.io.shards import Member, members_of, read_members
from tasks.io.workspace import INPUT, Signal, enhanced_folder
from tasks.report.pictures.cutouts import Box, Cutout, cut_out, textured_box
from tasks.report.pictures.values import values_in_words
from tasks.report.pictures.worst_and_best import Ends, signal_to_rank

SAMPLES = 6
"""So many images are shown whatever their metrics are."""

Role = Literal["input", "enhanced", "reference"]


class ImageVersion(NamedTuple):
    """One version of an image; ``alpha`` is its value on the alpha slider, None if it has none.

    ``values`` are its metrics in words, empty where it has none.
    """

    name: str
    role: Role
    alpha: float | None
    cutout: Cutout
    values: str


class Comparison(NamedTuple):
    """An image in all its versions, which the page lays over each other, and why it is shown.

    ``name`` is its anchor in the page; ``ranks`` says which metrics it is among the best or worst
    in.
    """

    name: str
    key: str
    pictures: list[ImageVersion]
    ranks: list[str]


def sample_keys(run: Run) -> dict[str, str]:
    """The keys of a few images, and the shard of each.

    They are spread over the first shard that has images; where it has fewer than ``SAMPLES``, the
    next ones give the rest.
    """
    dataset, sampled = run.config.restored_name, dict[str, str]()
    for shard, accepted in run.workspace.shards(dataset).items():
        wanted = SAMPLES - len(sampled)
        if wanted == 0:
            break
        members = run.workspace.members(dataset, shard) if accepted else []
        spread = members[:: max(1, len(members) // wanted)][:wanted]
        sampled |= {member.key: shard for member in spread}
    return sampled


def gallery(
    run: FittedRun, facts: Mapping[str, str], ends: Sequence[Ends]
) -> tuple[list[Comparison], list[Comparison]]:
    """A few images, and those at the ends of metrics that are not among them.

    Every image is in one comparison, so that it is in the page once, whatever it is shown for.

    Args:
        run: a finished run.
        facts: the fidelity table's metadata.
        ends: the worst and the best images.
    """
    sampled = sample_keys(run)
    extreme = {e.key: e.shard for end in ends for e in (*end.worst, *end.best)}
    shards = sampled | extreme
    versions = _versions(run, facts, shards)
    ranks = _ranks(run.config, ends)
    comparisons = [
        Comparison(f"picture-{number}", key, versions[key], ranks.get(key, []))
        for number, key in enumerate(shards, start=1)
        if versions[key]
    ]
    return (
        [comparison for comparison in comparisons if comparison.key in sampled],
        [comparison for comparison in comparisons if comparison.key not in sampled],
    )


def input_is_a_knot(config: Config) -> bool:
    """Whether the image at alpha 1 is the input, and is not among the written ones."""
    return input_is_alpha_1(config) and 1.0 not in config.enhance.alphas


def _ranks(config: Config, ends: Iterable[Ends]) -> dict[str, list[str]]:
    """For each key at an end of a metric: which end, and its value there, in words."""
    label = signal_to_rank(config).label
    ranks: dict[str, list[str]] = {}
    for end in ends:
        for kind, extremes in (("worst", end.worst), ("best", end.best)):
            for rank, extreme in enumerate(extremes, start=1):
                which = kind if rank == 1 else f"{_ordinal(rank)} {kind}"
                what = (
                    end.metric.upper() if end.gains is None else f"change of {end.metric.upper()}"
                )
                words = f"{which} {what} at {label}: {end.value_of(extreme)}"
                ranks.setdefault(extreme.key, []).append(words)
    return ranks


def _ordinal(rank: int) -> str:
    return {2: "second", 3: "third"}.get(rank, f"{rank}th")


def _versions(
    run: FittedRun, facts: Mapping[str, str], shards: Mapping[str, str]
) -> dict[str, list[ImageVersion]]:
    """The versions of the image of every key, read shard by shard.

    All show the region in which the reference, or else the input, has the most texture. One that
    cannot be decoded is left out; the tables say why.
    """
    versions: dict[str, list[ImageVersion]] = {key: [] for key in shards}
    for shard in dict.fromkeys(shards.values()):
        keys = [key for key, own in shards.items() if own == shard]
        values = values_in_words(run, facts, shard, keys)
        stored_versions = list(_stored_versions(run, shard, keys))
        boxes = _boxes(run, stored_versions)
        for stored in stored_versions:
            for member, data in read_members(run.workspace.store, stored.members):
                shown = _decoded(data, run)
                if shown is not None and member.key in boxes:
                    version = ImageVersion(
                        stored.name,
                        stored.role,
                        stored.alpha,
                        cut_out(shown, boxes[member.key]),
                        values.get((stored.signal, member.key), ""),
                    )
                    versions[member.key].append(version)
    return versions


def _boxes(run: FittedRun, stored_versions: Iterable["_StoredVersions"]) -> dict[str, Box]:
    """The region of each key that is shown, from its reference if there is one, else its input."""
    boxes = dict[str, Box]()
    for stored in stored_versions:
        if stored.role != "enhanced":
            for member, data in read_members(run.workspace.store, stored.members):
                if (shown := _decoded(data, run)) is not None:
                    boxes[member.key] = textured_box(shown.pixels)
    return boxes


class _StoredVersions(NamedTuple):
    """Where one version of some images is stored; ``signal`` is what it is scored as, if it is."""

    signal: Signal | None
    name: str
    role: Role
    alpha: float | None
    members: list[Member]


def _stored_versions(run: FittedRun, shard: str, keys: Sequence[str]) -> Iterator[_StoredVersions]:
    """Every version of these images, all of one shard: input, each alpha, reference."""
    dataset, reference, wanted = run.config.restored_name, run.config.reference_name, set(keys)
    inputs = [m for m in run.workspace.members(dataset, shard) if m.key in wanted]
    knot = 1.0 if input_is_a_knot(run.config) else None
    yield _StoredVersions(INPUT, "input x*", "input", knot, inputs)
    for alpha in run.config.enhance.alphas:
        signal = Signal("enhanced", alpha)
        folder = enhanced_folder(dataset, run.results, signal)
        made = members_of(read_table(run.workspace.store, f"{folder}/{shard}.parquet"), folder)
        yield _StoredVersions(
            signal, signal.label, "enhanced", alpha, [m for m in made if m.key in wanted]
        )
    matches = read_matches(run.workspace, dataset, reference, shard) if reference else {}
    references = [matches[key] for key in keys if key in matches]
    yield _StoredVersions(None, "reference", "reference", None, references)


def _decoded(data: bytes, run: FittedRun) -> Shown | None:
    """An encoded image as the page shows it; None if it cannot be decoded within the limits."""
    try:
        config = run.config
        return Shown.of(decode_written(config.enhance.form, data, config.shards.limits()))
    except (ImageRefused, ConfigurationError):  # as of a format whose package is not here now
        return None
