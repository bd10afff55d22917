"""The command that scores a folder of images against another; it needs no workspace."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.paths import given_path, given_place, usable
from flows.cli.session import validated
from flows.cli.terminal import console, say, show_table
from flows.cli.verbs.files import Strip, WeightsFolder, counted

if TYPE_CHECKING:
    from tasks.config.sections import Evaluate

_Table = Annotated[
    Path | None,
    typer.Option(metavar="FILE", parser=given_path, help="Parquet file of all images' rows."),
]
_Features = Annotated[str, typer.Option(help="Network of the Fréchet distance, or none.")]
_Judges = Annotated[
    str,
    typer.Option(
        metavar="NAMES",
        help="More metrics of the images of A: niqe, dists, clip_iqa, pyiqa_NAME for those of "
        "an installed pyiqa, and plug_in_NAME for those of plug-ins, with commas, or none.",
    ),
]


def metrics(
    images: Annotated[
        str, typer.Argument(metavar="A", parser=given_place, help="Folder or bucket of images.")
    ],
    reference: Annotated[
        str,
        typer.Argument(
            metavar="B", parser=given_place, help="What they are compared with, by the same names."
        ),
    ],
    *,
    lpips: Annotated[str, typer.Option(help="alex, vgg, squeeze or none.")] = "alex",
    features: _Features = "inception-v3-compat",
    judges: _Judges = "none",
    out: _Table = None,
    weights: WeightsFolder = None,
    strip: Strip = None,
) -> None:
    """Score the images of one folder against those of another, without any transport."""
    from tasks.config.compute import Shards
    from tasks.config.places import anchored
    from tasks.direct.compare import Scorer, require_pairs
    from tasks.direct.scores import shown, write_scores
    from tasks.io.networks.features.judges import judges_named
    from tasks.io.networks.weights import Weights

    known, asked = _networks(lpips=lpips, features=features), judges_named(judges)
    folders = anchored(images, Path(), "A"), anchored(reference, Path(), "B")
    place, limits = Weights.of(weights), Shards().limits()
    with console(stderr=True).status("scoring") as status:
        scorer = Scorer(known.lpips, known.network, limits, judges=asked, weights=place)
        scores = list(counted(scorer.scores(*folders, strip), status))
    require_pairs(scores, *folders)
    if out is not None:
        with usable(out, "--out must name a file that can be written"):
            write_scores(scores, out, scorer.names)
    titles, row, notes = shown(scores, scorer.names, scorer.frechet())
    show_table(titles, [row])
    for note in (*notes, *scorer.missing):
        say(note)


def _networks(**names: str) -> "Evaluate":
    """The networks of metrics by their names, as the section of a configuration has them.

    Raises:
        ConfigurationError: one is not known.
    """
    from tasks.config.sections import Evaluate

    return validated(
        Evaluate, {name: None if value == "none" else value for name, value in names.items()}
    )
