"""Pictures for the report: the same few images as they came, enhanced, and in truth."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tasks.config import Config, Run
from tasks.enhance.match import read_matches
from tasks.fit.operators import FittedRun
from tasks.io.artifacts.parquet import read_table
from tasks.io.errors import ImageRefused
from tasks.io.images.decoder_pool import decode
from tasks.io.shards import Member, members_of, read_members
from tasks.io.workspace import Signal, Workspace, enhanced_folder
from tasks.report.pages import Thumbnail, thumbnail
from tasks.report.results import number, ranked_digits
from tasks.report.worst_and_best import Ends, signal_to_rank

PICTURES = 6


class View(NamedTuple):
    """One state of an image; ``alpha`` if it is a knot of the alpha slider."""

    name: str
    side: str
    alpha: float | None
    thumbnail: Thumbnail


class Viewer(NamedTuple):
    """An image in all its states, and why it is shown."""

    name: str
    key: str
    pictures: list[View]
    ranks: list[str]


def choose(run: Run) -> dict[str, str]:
    """A few keys, spread over the first shard, and that shard."""
    shard = next(iter(run.workspace.shards(run.config.restored_name)))
    members = run.workspace.members(run.config.restored_name, shard)
    chosen = members[:: max(1, len(members) // PICTURES)][:PICTURES]
    return {member.key: shard for member in chosen}


def gallery(run: FittedRun, ends: Sequence[Ends]) -> tuple[list[Viewer], list[Viewer]]:
    """Viewers of a few images, and of those at the ends of metrics that are not among them.

    Every image has one viewer, so that it is in the page once, whatever it is shown for.
    """
    chosen = choose(run)
    extreme = {e.key: e.shard for end in ends for e in (*end.worst, *end.best)}
    wanted = chosen | extreme
    strips = _strips(run, wanted)
    ranks = _ranks(run.config, ends)
    viewers = [
        Viewer(f"picture-{number}", key, strips[key], ranks.get(key, []))
        for number, key in enumerate(wanted, start=1)
        if strips[key]
    ]
    return (
        [viewer for viewer in viewers if viewer.key in chosen],
        [viewer for viewer in viewers if viewer.key not in chosen],
    )


def input_is_a_knot(config: Config) -> bool:
    """Whether the image at alpha 1 is the input, and is not among the written ones."""
    options = config.enhance
    exact = options.interpolation == "image" or options.decoding == "residual"
    return exact and 1.0 not in options.alphas


def _ranks(config: Config, ends: Iterable[Ends]) -> dict[str, list[str]]:
    """What each key stands out for, in words."""
    label = signal_to_rank(config).label
    ranks: dict[str, list[str]] = {}
    for end in ends:
        for kind, extremes in (("worst", end.worst), ("best", end.best)):
            for place, extreme in enumerate(extremes, start=1):
                which = kind if place == 1 else f"{_ordinal(place)} {kind}"
                value = number(extreme.value, ranked_digits(end.metric))
                words = f"{which} {end.metric.upper()} at {label}: {value}"
                ranks.setdefault(extreme.key, []).append(words)
    return ranks


def _ordinal(place: int) -> str:
    return {2: "second", 3: "third"}.get(place, f"{place}th")


def _strips(run: FittedRun, wanted: Mapping[str, str]) -> dict[str, list[View]]:
    """The pictures of every wanted key, read shard by shard."""
    strips: dict[str, list[View]] = {key: [] for key in wanted}
    for shard in dict.fromkeys(wanted.values()):
        keys = [key for key, place in wanted.items() if place == shard]
        for key, picture in _shard_pictures(run, shard, keys):
            strips[key].append(picture)
    return strips


def _shard_pictures(run: FittedRun, shard: str, keys: Sequence[str]) -> Iterator[tuple[str, View]]:
    """The states of these images, all of one shard: input, every alpha, reference."""
    dataset, reference = run.config.restored_name, run.config.reference_name
    named = set(keys)
    members = [m for m in run.workspace.members(dataset, shard) if m.key in named]
    knot = 1.0 if input_is_a_knot(run.config) else None
    for key, data in _members(members, run.workspace):
        yield from _picture(run.config, key, data, "input x*", "input", knot)
    for alpha in run.config.enhance.alphas:
        signal = Signal("enhanced", alpha)
        folder = enhanced_folder(dataset, run.operator.name, signal)
        made = members_of(read_table(run.workspace.store, f"{folder}/{shard}.parquet"), folder)
        for key, data in _members([m for m in made if m.key in named], run.workspace):
            yield from _picture(run.config, key, data, signal.label, "enhanced", alpha)
    truths = read_matches(run.workspace, dataset, reference, shard) if reference else {}
    for key, data in _members([truths[key] for key in keys if key in truths], run.workspace):
        yield from _picture(run.config, key, data, "reference", "reference", None)


def _members(members: Sequence[Member], workspace: Workspace) -> Iterator[tuple[str, bytes]]:
    for member, data in read_members(workspace.store, members):
        yield member.key, data


def _picture(
    config: Config, key: str, data: bytes, name: str, side: str, alpha: float | None
) -> Iterator[tuple[str, View]]:
    """The picture, if it can be decoded; one that cannot has its row in the tables already."""
    try:
        pixels: Any = decode(data, config.shards.limits())
    except ImageRefused:
        return
    yield key, View(name, side, alpha, thumbnail(pixels))
