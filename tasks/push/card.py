"""The card of a data set on the Hub: what it is, how it was made, and its numbers.

What pushes write stands between two marks, and in fields of the head that are theirs: the parts
of the data set and its size. The licence, other fields and all text around the marks belong to
people, and stay.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tasks.config import Config
from tasks.enhance.signals import signals_to_score
from tasks.fit.operators import FittedRun
from tasks.io.errors import ConfigurationError
from tasks.io.workspace import reports_folder
from tasks.push.card_text import described
from tasks.push.front_matter import (
    joined_card,
    merged_configs,
    parsed_front,
    split_card,
    with_fields,
)

CARD = "README.md"
"""Path of the card in a repository."""

BEGIN = "<!-- dotpipe push: what stands down to the next mark is written anew by each push -->"
END = "<!-- dotpipe push: end. What stands outside of the marks stays as it is -->"

Configs = Mapping[str, Mapping[str, Any]]
"""The parts of a data set, which the viewer shows one by one, by their names."""

_FIRST = {"default": True}

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)

_HEAD = """\
license: unknown  # to fill in: what the images may be used for, by its name on the Hub, or `other`
# license_name: to fill in where the line above says `other`
# license_link: to fill in where the line above says `other`
pretty_name: {name}
task_categories:
- image-to-image
tags:
- image-restoration
- optimal-transport
- deep-optimal-transport
- webdataset
"""

_AROUND = """
# {title}

{ours}

## Licence

To fill in, here and in the field `license` at the head of this card: whose the images are that \
went in, under which licence they may be shown and changed, and what the licences of the networks \
named above ask of what is made with them.
"""


def configs_of(config: Config) -> Configs:
    """Return the parts of the data set that the viewer shows: metrics of images, curve, numbers.

    All parts must be of one format, which is Parquet here, as ``datasets`` takes one reader for
    all of them. So images, which are in tars, are read by their addresses.

    Args:
        config: says which signals have tables.
    """
    folders = [signal.folder for signal in signals_to_score(config)]
    of_points = [each for each in folders if each.startswith(("curve", "map/"))]
    others = [each for each in folders if each not in of_points]
    found = {"metrics": {**_part(*(f"metrics/{each}/*.parquet" for each in others)), **_FIRST}}
    if of_points:
        found["curve"] = _part(*(f"metrics/{each}/*.parquet" for each in of_points))
    return found | {"results": _part("report/fidelity.parquet")}


def images_of(config: Config, alphas: Sequence[float]) -> dict[str, str]:
    """Return the files of the images, by what they are, as ``datasets`` wants them named.

    Args:
        config: says how they are laid down.
        alphas: of the images.
    """
    files = "*.tar" if config.enhance.outputs == "tars" else "images/**"
    folders = {alpha: f"enhanced/alpha={alpha:+.2f}" for alpha in alphas}
    return {f"alpha {alpha:g}": f"{folder}/{files}" for alpha, folder in folders.items()}


def _part(*paths: str) -> dict[str, Any]:
    return {"data_files": [{"split": "train", "path": paths[0] if len(paths) == 1 else [*paths]}]}


def card_of(
    run: FittedRun,
    repository: str,
    alphas: Sequence[float],
    images: int,
    card: str | None,
    former: Collection[str],
) -> str:
    """Return the card that a push writes.

    Args:
        run: the configuration, with its operator.
        repository: its name.
        alphas: of the images that are in it.
        images: how many each alpha has.
        card: the one that is there; None where there is none.
        former: names of the parts that the last push has written.

    Raises:
        ConfigurationError: the one that is there cannot be read, or has lost one of its marks.
    """
    report = f"{reports_folder(run.config.restored_name, run.results)}/run.json"
    record = json.loads(run.workspace.store.read(report))
    has_map = run.workspace.store.exists(report.replace("run.json", "map.png"))
    configs = configs_of(run.config)
    files = images_of(run.config, alphas)
    text = described(record, repository, files, tuple(configs), has_map=has_map)
    ours = f"{BEGIN}\n\n{text}\n\n{END}"
    title = f"{run.config.restored_name}, enhanced by Deep Optimal Transport"
    new = _AROUND.format(title=title, ours=ours)
    front, body = (None, new) if card is None else split_card(card)
    body = body if card is None else _with_ours(body, ours)
    front = _HEAD.format(name=json.dumps(title)) if front is None else front
    parts = merged_configs(parsed_front(front).get("configs"), configs, former)
    fields = {"size_categories": [_size(images)], "configs": parts}
    return joined_card(with_fields(front, fields), body)


def _with_ours(body: str, ours: str) -> str:
    """Return the text of a card with what is ours between the marks, or at its end without any.

    Raises:
        ConfigurationError: there is only one of the marks, or one twice, or in the wrong order.
    """
    counts = body.count(BEGIN), body.count(END)
    if counts == (0, 0):
        return f"{body.rstrip()}\n\n{ours}\n".lstrip("\n")
    before, _, rest = body.partition(BEGIN)
    _, end, after = rest.partition(END)
    if counts != (1, 1) or not end:
        raise ConfigurationError(
            f"the card, {CARD}, must have both marks of `dotpipe push` or none, got {counts[0]} of "
            f"the first and {counts[1]} of the second; remove what is left of them on the Hub"
        )
    return f"{before}{ours}{after}"


def _size(images: int) -> str:
    return next((name for limit, name in _SIZES if images < limit), "1B<n<10B")
