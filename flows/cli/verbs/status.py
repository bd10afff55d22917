"""The command `dotpipe status`: how far a run is, or a study."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.paths import ConfigPath
from flows.cli.session import notes, parsed
from flows.cli.terminal import say, show_table, working
from flows.cli.trials.study import is_study


def status(
    config: ConfigPath,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """Show for every step what is done, missing, out of date and why, failed, or may change."""
    if is_study(config):
        _tell_study(config, as_json)
        return
    settings = parsed(config)
    with working("looking at what is done"):
        from tasks.io.workspace import Workspace, unended_compaction
        from tasks.upkeep.status import status_of_steps

        steps = list(status_of_steps(settings))
        compaction = unended_compaction(Workspace(settings.workspace))
    if as_json:
        found = {"steps": [step.model_dump() for step in steps], "compaction": compaction}
        say(json.dumps(found, indent=1))
        return
    lines, told = list[list[str]](), dict[str, list[str]]()
    for step in steps:
        counts = (step.done, step.missing, step.stale, step.failed, step.doubtful)
        made = step.images - step.images_to_do
        images = f"{made} of {step.images}" if step.images else ""
        lines.append([step.name, *map(str, counts), images])
        for note in notes(step):
            told.setdefault(note, []).append(step.name)
    show_table(_STATUS, lines)
    for note, names in told.items():
        say(f"{', '.join(names)}: {note}")
    if compaction:
        say(f"note: {compaction}", fg="yellow")


_STATUS = ["step", "done", "missing", "out of date", "failed", "may change", "images made"]
"""The columns of the table that ``status`` shows."""


def _tell_study(file: Path, as_json: bool) -> None:
    """Print how far each point of a study is."""
    with working("looking at what is done"):
        from tasks.study.points import points_of
        from tasks.study.study_file import load_study
        from tasks.upkeep.study_status import status_of_points

        statuses = list(status_of_points(points_of(load_study(file))))
    if as_json:
        say(json.dumps({"points": [each._asdict() for each in statuses]}, indent=1))
        return
    lines = [
        [each.point, str(each.done), str(each.missing), each.first or "all done"]
        for each in statuses
    ]
    show_table(["point", "done", "missing", "next"], lines)
    for each in statuses:
        for sentence in each.failures:
            say(f"{each.point}: {sentence}")
