"""Commands that carry results elsewhere: export, push; and apply, which needs no workspace."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from flows.cli.one_line import DEFAULT_ALPHA
from flows.cli.paths import ConfigPath, given_path, given_place
from flows.cli.session import parsed, validated
from flows.cli.terminal import complain, console, say
from flows.cli.verbs.init import Codec
from flows.cli.watching import watched

if TYPE_CHECKING:
    from rich.status import Status

    from tasks.config import Config
    from tasks.io.images import Format

T = TypeVar("T")

Alpha = Annotated[
    float | None,
    typer.Option(help="Which alpha to write: 0 is the full transport, 1 the image as it came."),
]


FileFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="webp, png, jpeg, tiff, avif, jxl, plug-in:NAME for that of an installed package, or "
        "keep for that of each image that went in.",
    ),
]


WeightsFolder = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        parser=given_place,
        help="Folder that `dotpipe weights pull` filled.",
    ),
]


Strip = Annotated[
    str | None,
    typer.Option(
        metavar="END", help="What names of the images end in, and others do not, as _swinir."
    ),
]


def export(
    config: ConfigPath,
    destination: Annotated[
        str, typer.Argument(metavar="DEST", parser=given_place, help="Folder or bucket to fill.")
    ],
    *,
    alpha: Alpha = None,
    file_format: FileFormat = None,
) -> None:
    """Write the enhanced images at one alpha as files, named as the images that went in."""
    from tasks.config.places import anchored
    from tasks.export.plan import alpha_to_export, format_of

    settings = parsed(config)
    folder = anchored(destination, Path(), "DEST")
    wanted = None if file_format is None else format_of(file_format)
    say(write_files(settings, folder, alpha_to_export(settings, alpha), wanted))


def write_files(
    config: "Config", destination: str, alpha: float, file_format: "Format | None" = None
) -> str:
    """Write what is missing at the destination; Prefect is not started if nothing is.

    Args:
        config: whose images have been enhanced.
        destination: folder or URL, absolute.
        alpha: one of ``enhance.alphas``.
        file_format: in which images are written; None for that of the shards.

    Returns:
        a sentence on what was written.

    Raises:
        StepMissing: the images are not enhanced.
        ConfigurationError: the destination may not be written to.
    """
    if is_exported(config, destination, alpha, file_format):
        return f"nothing to write: the images at alpha {alpha:g} are in {destination}"
    with watched(config, "export"):
        from flows.export_dataset import export_dataset

        report = export_dataset(config, destination, alpha, file_format)
    return f"wrote {report.fresh} images at alpha {alpha:g} to {destination}"


def is_exported(
    config: "Config", destination: str, alpha: float, file_format: "Format | None" = None
) -> bool:
    """Whether the destination holds the enhanced images at an alpha, as they are now.

    Raises:
        StepMissing: the images are not enhanced.
        ConfigurationError: the destination may not be written to.
    """
    from tasks.config import Run
    from tasks.export.plan import Export, form_to_export
    from tasks.fit.operators import fitted

    form = form_to_export(config, file_format)
    planned = Export(fitted(Run.of(config, still=True)), destination, alpha, form)
    return planned.is_done(planned.units())


_Private = Annotated[
    bool,
    typer.Option(
        "--private",
        help="Make the repository for its owners only, not for everybody; refused where it is "
        "public already.",
    ),
]


def push(
    config: ConfigPath,
    *,
    to: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to: hf://datasets/ORG/NAME.")],
    alpha: Annotated[
        list[float] | None,
        typer.Option(help="Whose images to push; given again for more. All by default."),
    ] = None,
    private: _Private = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say how much.")] = False,
) -> None:
    """Push images, metrics and a card to a data set on the Hub, all seen at once at the end."""
    from tasks.config import Run
    from tasks.fit.operators import fitted
    from tasks.io.hub import Repository
    from tasks.push.plan import Push, alphas_to_push
    from tasks.upkeep.forecasts.room import in_bytes

    settings = parsed(config)
    repository, alphas = Repository.of(to), alphas_to_push(settings, alpha or ())
    planned = Push(fitted(Run.of(settings, still=True)), repository, alphas)
    if private:
        planned.require_private()
    if planned.is_done:
        say(f"nothing to push: {repository.address} has all of it")
        return
    if not dry:
        planned.create(private=private)
        with watched(settings, "push"):
            from flows.push_dataset import push_dataset

            push_dataset(settings, repository.address, alphas)
    size = planned.size()
    files = f"{size.files} files of {in_bytes(size.bytes)} and " if size.files else ""
    say(f"{'to push' if dry else 'pushed'}: {files}the card, to {repository.address}")
    if size.removed:
        gone = f"{size.removed} files that the run no longer has"
        say(f"{'to remove' if dry else 'removed'} there: {gone}")
    if not dry:
        say(f"next: fill in the licence of the card, {repository.page}")


_Operator = Annotated[
    Path,
    typer.Argument(
        metavar="OPERATOR", parser=given_path, help="File of operators/ in a workspace."
    ),
]


_Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="IN... OUT", parser=given_place, help="Images or folders; last, where to."
    ),
]


LowShare = Annotated[
    float | None,
    typer.Option(
        help="Share of the change that low frequencies take: 0, as by default, keeps them, 1 is "
        "as in the paper."
    ),
]
_LowSigma = Annotated[
    float, typer.Option(help="Standard deviation of the blur that keeps them, in pixels.")
]


def apply(
    operator: _Operator,
    paths: _Paths,
    *,
    alpha: Alpha = DEFAULT_ALPHA,
    low_share: LowShare = 0.0,
    low_sigma: _LowSigma = 1.5,
    codec: Codec = None,
    weights: WeightsFolder = None,
) -> None:
    """Apply a fitted operator to images, without a configuration or a workspace."""
    from dot_kernels.rounds import Between
    from tasks.config.compute import Shards
    from tasks.config.sections import Enhance
    from tasks.direct import apply as direct
    from tasks.direct.known_codecs import codec_named
    from tasks.direct.operator_file import OperatorFile
    from tasks.io.errors import ConfigurationError
    from tasks.io.networks.weights import Weights

    *inputs, out = paths
    if not inputs:
        raise ConfigurationError(f"what to enhance and OUT must be given, got {out!r} alone")
    wanted, written = DEFAULT_ALPHA if alpha is None else alpha, 0
    spec = None if codec is None else codec_named(codec)
    dials = validated(Enhance, {"low_share": low_share, "low_sigma": low_sigma})
    with console(stderr=True).status("enhancing") as status:
        images = direct.images_to_enhance(inputs, out)
        options = Between(low_band=dials.low_band)
        file = OperatorFile.load(operator, spec, weights=Weights.of(weights), options=options)
        done = direct.apply(file, images, wanted, Shards().limits())
        for image in counted(done, status):
            written += image.reason is None
            if image.reason is not None:
                complain(f"refused: {image.address}: {image.reason}")
    say(f"wrote {written} of {len(images)} images at alpha {wanted:g} to {out}")
    if written < len(images):
        raise typer.Exit(1)


def counted(items: Iterable[T], status: "Status") -> Iterator[T]:
    """The items, one for each image; a terminal shows how many have come."""
    for number, item in enumerate(items, start=1):
        status.update(f"{number} images")
        yield item
