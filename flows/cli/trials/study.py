"""The command `dotpipe study`: a grid over a configuration, run point by point."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.paths import given_path
from flows.cli.terminal import complain, say, show_table, working
from flows.cli.watching import watched

if TYPE_CHECKING:
    from tasks.config import Config
    from tasks.io.errors import ShardsFailed
    from tasks.report.study.rows import StudyRows
    from tasks.study.points import Point
    from tasks.study.study_file import Study

StudyPath = Annotated[
    Path,
    typer.Argument(metavar="FILE", parser=given_path, help="YAML file with a section `study`."),
]


def study(
    file: StudyPath,
    dry: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would make, and how long it takes.")
    ] = False,
    pool: Annotated[
        str | None, typer.Option(help="Work pool whose workers do its points, many at once.")
    ] = None,
) -> None:
    """Run a grid over a configuration: a table, a figure and a page of what each value gains."""
    with working(f"reading {file}"):
        from tasks.report.study.ownership import require_own_page, take_page
        from tasks.report.study.page import study_page, write_study
        from tasks.report.study.rows import read_rows
        from tasks.study.points import points_of
        from tasks.study.study_file import load_study
        from tasks.upkeep.pull import require_pulled

        wanted = load_study(file)
        points = points_of(wanted)
        for point in points:
            require_pulled(point.config)
        require_own_page(wanted, file)
    if dry:
        _tell_plan(points)
        return
    if taken := take_page(wanted, file):
        complain(taken)
    with working("looking at what is done"):
        from tasks.upkeep.study_status import unfinished

        finished = not unfinished(points)
    failure = None if finished else _failure_of(wanted, points[0].config, pool)
    with working("gathering the results"):
        found = write_study(wanted) if finished else read_rows(points)  # which the run has written
    _tell_results(found)
    store, path = study_page(wanted)
    say(f"study: {store.address(path)}")
    if failure is not None:
        raise failure


def _tell_results(found: "StudyRows") -> None:
    """Print the tables of a study, and what must be said of their numbers."""
    from tasks.report.study.page import sentences_of
    from tasks.report.study.tables import differences_of_study, results_of_study

    titles, lines = results_of_study(found)
    if lines:
        show_table(titles, [[cell.text for cell in line] for line in lines])
    titles, lines = differences_of_study(found)
    if lines:
        cells = [[str(cell) for cell in line] for line in lines]
        show_table(titles, cells, "change against the first point")
    for sentence in sentences_of(found):
        say(sentence)


def _failure_of(wanted: "Study", config: "Config", pool: str | None) -> "ShardsFailed | None":
    """Run a study, and return what is to be told of its points that could not be done."""
    with _workers_of(pool, wanted, config), watched(config, "study"):
        from flows.studies.run_study import run_study
        from tasks.io.errors import ShardsFailed

        try:
            run_study(wanted, pool)
        except ShardsFailed as failure:
            return failure
    return None


@contextmanager
def _workers_of(pool: str | None, wanted: "Study", config: "Config") -> Iterator[None]:
    """Register a study for the workers of a pool, if one is named, and use its Prefect server.

    Raises:
        DotpipeError: there is no lasting Prefect server, or it does not answer.
    """
    if pool is None:
        yield
        return
    from flows.service.deployments import deploy_study
    from flows.service.local_folders import folders_left_behind
    from flows.service.service import served

    with served() as address:
        deploy_study(config, wanted.deployed, pool=pool)
        if sentence := folders_left_behind(config, pool, address):
            complain(f"warning: {sentence}")
        say(f"registered for the pool {pool!r}: {address}/deployments")
        yield


def _tell_plan(points: "Sequence[Point]") -> None:
    """Print what a study would make, step by step, and about how long that takes."""
    with working("looking at what is done"):
        from flows.steps.pace import span
        from tasks.upkeep.forecasts.room import in_bytes
        from tasks.upkeep.forecasts.study import forecast_study, latents_in_words

        steps, latents = forecast_study(points), latents_in_words(points)
    if not steps:
        say("nothing to do: every point is done")
        return
    lines = [
        [
            step.step,
            str(step.times),
            "" if step.images is None else f"{'up to ' if step.is_most else ''}{step.images}",
            "" if step.size_bytes is None else in_bytes(step.size_bytes),
            "" if step.seconds is None else span(step.seconds),
        ]
        for step in steps
    ]
    show_table(["step", "times", "images", "writes about", "takes about"], lines)
    say(
        f"{len(points)} points; what they share is counted once. Steps whose images are not known "
        "yet, or of which nothing was made before, have no numbers"
    )
    if latents:
        say(latents)


_HEAD = re.compile(rb"^(\{\s*)?[\"']?study[\"']?\s*:", re.MULTILINE)
"""How a file begins a section ``study`` at its top."""


def is_study(file: Path) -> bool:
    """Whether a file holds a study, not a configuration; of one that cannot be read, no.

    It is not parsed for that, as what parses takes a second to load.
    """
    try:
        return _HEAD.search(file.read_bytes()) is not None
    except OSError:
        return False
