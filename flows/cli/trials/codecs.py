"""The command `dotpipe codecs`: codecs tried on a few of the user's own images."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.paths import ConfigPath, given_path, require_writable, usable
from flows.cli.session import parsed
from flows.cli.terminal import say, show_table, working
from flows.cli.watching import watched

if TYPE_CHECKING:
    from tasks.config import Config
    from tasks.direct.codec_images import TrialImages
    from tasks.direct.codec_trials import Trial
    from tasks.direct.judges import Judges
    from tasks.io.networks.codecs import CodecSpec

_WRITABLE = "--sheet must name a file that can be written"


def codecs(
    config: ConfigPath,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="CODEC…", help="pixel, taesd, taesd3, taef2, sd, or folders of weights."
        ),
    ],
    *,
    images: Annotated[
        int,
        typer.Option(min=2, metavar="N", help="How many to enhance; as many others to fit on."),
    ] = 20,
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=given_path, help="Where the pictures go, a PNG file."),
    ] = None,
) -> None:
    """Try codecs on a few of your images: which is best for them, and what it costs.

    Each codec that has `transport.levels` is tried with them too.

    Nothing is written but the sheet of pictures; the workspace is not touched.
    """
    from tasks.direct.known_codecs import codec_named

    settings = parsed(config)
    specs = {name: codec_named(name) for name in dict.fromkeys(names)}
    specs = {shorter: specs[name] for name, shorter in _shortened(list(specs)).items()}
    path = sheet or Path(f"{config.stem}-codecs.png")
    require_writable(path, _WRITABLE)
    with TemporaryDirectory(prefix="dotpipe-codecs-") as folder:
        found = _few_images(settings, folder, images)
    with working("loading the networks of metrics"):
        from tasks.direct.judges import Judges

        judges = Judges(settings)
    trials, failed = _tried(specs, found, settings, judges)
    _tell(trials, failed, found, judges)
    _write(trials, found, path)


def _shortened(names: list[str]) -> dict[str, str]:
    """Return what tables call codecs: of folders the last part, where no other has the same."""
    short = {name: name.rstrip("/").rpartition("/")[2] or name for name in names}
    once = [last for last in short.values() if list(short.values()).count(last) == 1]
    return {name: last if last in once else name for name, last in short.items()}


def _few_images(settings: "Config", folder: str, images: int) -> "TrialImages":
    """Shard and restore a few images in a folder of their own, and return them."""
    from tasks.direct.codec_images import limited, trial_images

    few = limited(settings, folder, images)
    with watched(few, "shard"):
        from flows.restore_dataset import restore_dataset
        from flows.shard_corpus import shard_corpus

        shard_corpus(few)
        restore_dataset(few)
    return trial_images(few, images)


def _tried(
    specs: "dict[str, CodecSpec]", images: "TrialImages", settings: "Config", judges: "Judges"
) -> "tuple[list[Trial], list[str]]":
    """Try every codec; return what was made, and a sentence on each that could not be tried.

    Raises:
        ConfigurationError: none could be tried.
    """
    from tasks.direct.codec_sheet import PICTURES
    from tasks.direct.codec_trials import tried
    from tasks.direct.codec_way import Way
    from tasks.io.errors import ConfigurationError, CorpusError, WeightsMissing
    from tasks.io.networks.weights import Weights

    trials: list[Trial] = []
    failed: list[str] = []
    weights = Weights.of(settings.weights)
    for name, spec in specs.items():
        with working(f"trying {name}"):
            try:
                way = Way.fitted(name, spec, images, settings, weights)
                trials.append(tried(way, images, judges, PICTURES))
            except (WeightsMissing, CorpusError) as error:
                failed.append(f"{name} was not tried: {error}")
                weights = weights.after(error)
                continue
        if way.levels or settings.transport.levels == "all":
            with working(f"trying {name} with levels"):
                try:
                    trials.append(tried(way.with_levels(), images, judges, PICTURES))
                except CorpusError as error:
                    failed.append(f"{name} was tried without levels alone: {error}")
    if not trials:
        raise ConfigurationError("; ".join(failed))
    return trials, failed


def _tell(
    trials: "list[Trial]", failed: list[str], images: "TrialImages", judges: "Judges"
) -> None:
    """Print the table, which codec is best, and what a reader must know of the numbers."""
    from tasks.direct.codec_choice import gains_of_levels, table, verdict

    show_table(*table(trials, judges))
    say(verdict(trials, judges))
    for sentence in gains_of_levels(trials, judges):
        say(sentence)
    how = (
        "pairs"
        if images.is_paired
        else "images, and natural ones of other things, a poor map if few"
    )
    say(
        f"Fitted on {len(images.fitted)} {how}, measured on {len(images.held)} others; ± is the "
        "standard error. Rows share their images, so differences are known better than ± says."
    )
    if not images.truths:
        say(
            "There is no ground truth: `kept` is PSNR against the input, how little was changed. "
            "It says nothing of quality; the distance of features does, where it is shown."
        )
    for sentence in (*failed, *judges.missing):
        say(sentence)


def _write(trials: "list[Trial]", images: "TrialImages", path: Path) -> None:
    """Write the sheet of pictures, and print where it is."""
    from tasks.direct.codec_sheet import sheet

    with usable(path, _WRITABLE):
        sheet(trials, images.truths).save(path, "PNG")
    say(f"pictures: {path}")
