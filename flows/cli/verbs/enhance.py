"""The command `dotpipe enhance`: a folder into a folder in one line, or the step of that name."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from flows.cli.line import Line
from flows.cli.one_line import configuration_of
from flows.cli.paths import given_place, usable
from flows.cli.session import do_missing, parsed, tell_done
from flows.cli.terminal import say
from flows.cli.verbs.files import (
    Alpha,
    FileFormat,
    LowShare,
    Strip,
    WeightsFolder,
    is_exported,
    write_files,
)
from flows.cli.verbs.init import Codec
from flows.cli.watching import tell_ready, watched

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from tasks.config import Config

ENOUGH_IMAGES = 100
"""Below so many images a map between sets that show different things is told to be a poor one:
the means of two sets of 10 photographs are so far apart that it costs 4 to 5 dB. One of so few
that it is shrunk is told to be so."""


_Natural = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        parser=given_place,
        help="What images should look like; by default the reference.",
    ),
]
_Reference = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", parser=given_place, help="Ground truth, for metrics."),
]
_Out = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", parser=given_place, help="Folder or bucket to fill."),
]


def enhance(  # noqa: PLR0913 - the options of a command
    source: Annotated[
        str,
        typer.Argument(
            metavar="RESTORED|CONFIG",
            parser=given_place,
            help="Images to enhance into --out; or a YAML file.",
        ),
    ],
    *,
    natural: _Natural = None,
    reference: _Reference = None,
    out: _Out = None,
    alpha: Alpha = None,
    choose: Annotated[
        list[str] | None,
        typer.Option(metavar="BOUND=NUMBER", help="Choose alpha by a bound, as min-psnr=27."),
    ] = None,
    codec: Codec = None,
    weights: WeightsFolder = None,
    strip: Strip = None,
    file_format: FileFormat = None,
    low_share: LowShare = None,
) -> None:
    """Enhance a folder of images into another in one line; or do that step of CONFIG.

    The same line again goes on where it was stopped, or does nothing. With a configuration: write
    the enhanced data set, one set of shards for every alpha.
    """
    bounds = tuple(choose or ())
    corpora, form = (source, natural, reference, out), (strip, file_format, low_share)
    line = Line(*corpora, alpha, bounds, codec, weights, *form)
    if _is_configuration(source):
        line.require_no_options()
        _do_step(Path(source))
    else:
        line.require_whole()
        enhance_folder(line)


def enhance_folder(line: Line) -> None:
    """Do all that one line asks for, and tell what came of it.

    Raises:
        ConfigurationError: the line and what it made before do not go together.
        CorpusError: a folder of images is not there.
        ShardsFailed: some shards could not be done.
    """
    bounds = line.bounds()
    file = configuration_of(line)
    config = parsed(file)
    out = line.destination()
    if not bounds:
        file, config = _written(file, config, line.alpha_of(config))
    done = not bounds and _is_done(config, out, line.alpha_of(config))
    with nullcontext() if done else watched(config, "enhance", first=_ready_by(file)):
        steps = do_missing(config)
        if bounds:
            alpha = _chosen(config, line)
            file, config = _written(file, config, alpha)
            steps = do_missing(config) or steps
        else:
            alpha = line.alpha_of(config)
        sentence = write_files(config, out, alpha)
    tell_done(config, steps, file)
    _tell_few_images(config)
    say(f"{sentence}; everything else is in {config.workspace}, by the configuration {file}")


def _ready_by(file: Path) -> "Callable[[Config, Console], None]":
    """Return the check before a run, which names the configuration when something is to be mended.

    Whoever wrote one line has not seen the file in which the remedies are to be written.
    """

    def check(config: "Config", terminal: "Console") -> None:
        from tasks.io.errors import ConfigurationError

        try:
            tell_ready(config, terminal)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{error}. The configuration of this line is {file}; the same line goes on with "
                "what is edited there, or with --strip, --weights FOLDER, or --codec (a folder of "
                "weights, or pixel, which needs none)"
            ) from error

    return check


def _written(file: Path, config: "Config", alpha: float) -> "tuple[Path, Config]":
    """Return a configuration by which an alpha is written; the file is changed if need be."""
    if alpha in config.enhance.alphas:
        return file, config
    with usable(file, "the configuration must be a file that can be written"):
        file.write_text(with_alpha(file, config.enhance.alphas, alpha), "utf-8")
    return file, parsed(file)


def with_alpha(file: Path, alphas: tuple[float, ...], alpha: float) -> str:
    """Return the text of a configuration with one more alpha to write, and nothing else changed.

    Args:
        file: the configuration.
        alphas: those that it has.
        alpha: the one to add.

    Raises:
        ConfigurationError: it does not say its alphas.
    """
    from tasks.io.errors import ConfigurationError

    text = file.read_text("utf-8")
    pair: tuple[Any, Any] | None = (None, yaml.compose(text, yaml.SafeLoader))
    for name in ("enhance", "alphas"):
        section = None if pair is None else pair[1]
        pairs = section.value if isinstance(section, yaml.MappingNode) else []
        pair = next((pair for pair in pairs if pair[0].value == name), None)
    if pair is None:
        raise ConfigurationError(
            f"{file} must say which alphas are written, for {alpha!r} to be added to them; add "
            f"enhance: {{alphas: [{alpha!r}]}}"
        )
    start = text.index(":", pair[0].end_mark.index) + 1
    taken, after = text[start : pair[1].end_mark.index], text[pair[1].end_mark.index :]
    listed = ", ".join(map(repr, (*alphas, alpha)))  # all digits, so that each is found again
    return f"{text[:start]} [{listed}]{taken[len(taken.rstrip()) :]}{after}"


def _chosen(config: "Config", line: Line) -> float:
    """Return the alpha that keeps the bounds of a line, and say what it costs.

    Raises:
        CorpusError: no alpha keeps them.
    """
    from tasks.report.choose import choose_alpha
    from tasks.report.outcome import describe, read_results

    results = read_results(config)
    choice = choose_alpha(results.rows, line.bounds(), None, beyond=False)
    for sentence in describe(choice._replace(is_written=True), results.titles):
        say(sentence)
    return choice.alpha


def _tell_few_images(config: "Config") -> None:
    """Print a warning if the map is one between few images that show different things."""
    from tasks.config import Run
    from tasks.fit.select import plan_selection, read_selection
    from tasks.fit.statistics import FEW_IMAGES

    run = Run.of(config, still=True)
    selection = read_selection(run.workspace, plan_selection(run)[0])
    if selection.pairing == "unpaired" and FEW_IMAGES < selection.images < ENOUGH_IMAGES:
        typer.secho(
            f"warning: {selection.images} restored images were compared with natural ones of other "
            f"things; with fewer than {ENOUGH_IMAGES} the map takes over what these show too, so "
            "colours and contrast may be off. Give more images, or natural versions of the same "
            "ones under the same names (as --reference without --natural does)",
            fg="yellow",
            err=True,
        )


def _is_done(config: "Config", destination: str, alpha: float) -> bool:
    """Whether nothing is left to do, and every file is written."""
    from tasks.pipeline import is_finished

    return is_finished(config) and is_exported(config, destination, alpha)


def _is_configuration(source: str) -> bool:
    """Whether a word names a YAML file, rather than images."""
    lower = source.lower()
    if lower.endswith((".yaml", ".yml")):
        return True
    return "://" not in source and not lower.endswith(".tar") and Path(source).is_file()


def _do_step(file: Path) -> None:
    """Write the enhanced data set of a configuration, and score it."""
    settings = parsed(file, shards=True)
    with watched(settings, "enhance"):
        from flows.enhance_dataset import enhance_dataset

        enhance_dataset(settings)
