"""Commands that look after a workspace: check, plan, verify, repair, retry, refused, duplicates."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.paths import ConfigPath, given_path, require_writable, usable
from flows.cli.session import parsed, run_all
from flows.cli.terminal import console, say, show_table
from flows.cli.watching import busy

if TYPE_CHECKING:
    from tasks.config import Config
    from tasks.duplicates.hashes import Hashed
    from tasks.upkeep.verify import Checked

_WRITABLE = "--out must name a file that can be written"


def check(config: ConfigPath) -> None:
    """Try out what a run of CONFIG needs: weights, images, keys, sizes, rights and room."""
    from flows.runs.run_log import unheard
    from tasks.config import load_config
    from tasks.jobs.progress import reporting_to
    from tasks.upkeep.check import check as tried_out

    terminal, settings = console(stderr=True), load_config(config)
    terminal.file = sys.stderr  # whatever libraries print meanwhile
    with busy(terminal, "checking") as at, reporting_to(lambda _: None, follower=at), unheard():
        found = list(tried_out(settings))
    marks = {"good": ("ok", None), "poor": ("note", "yellow"), "bad": ("error", "red")}
    for each in found:
        mark, colour = marks[each.state]
        say(f"{mark}: {each.what}: {each.said}", fg=colour)
    if any(each.state == "bad" for each in found):
        raise typer.Exit(1)
    say(f"`dotpipe run {config}` has what it needs")


def plan(
    config: ConfigPath,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """Say what a run of CONFIG would make and why, and about how much room and time it takes."""
    from flows.steps.pace import span
    from tasks.upkeep.forecasts.room import in_bytes
    from tasks.upkeep.forecasts.steps import forecast

    steps = list(forecast(parsed(config)))
    if as_json:
        say(json.dumps({"steps": [step._asdict() for step in steps]}, indent=1))
        return
    if not steps:
        say("nothing to do: every shard of every step is done")
        return
    lines, reasons = list[list[str]](), dict[str, list[str]]()
    for step in steps:
        most = "up to " if step.is_most else ""
        size = "" if step.size_bytes is None else f"{most}{in_bytes(step.size_bytes)}"
        time = "" if step.seconds is None else f"{most}{span(step.seconds)}"
        lines.append([step.step, f"{most}{step.images}" if step.images else "", size, time])
        reasons.setdefault(step.why, []).append(step.step)
    show_table(["step", "images", "writes about", "takes about"], lines)
    for why, names in reasons.items():
        say(f"{', '.join(names)}: {why}")


def verify(config: ConfigPath) -> None:
    """Read everything in the workspace again, and name what is damaged; changes nothing."""
    damaged, is_closed = _damaged(parsed(config))
    if damaged:
        say(f"`dotpipe repair {config}` makes the shards that hold these again")
    if damaged or is_closed:
        raise typer.Exit(1)


def repair(config: ConfigPath) -> None:
    """Verify, and make again exactly what is damaged, as far as this configuration makes it."""
    from tasks.config.registry import served_by
    from tasks.io.workspace import Workspace
    from tasks.upkeep.verify import repair as withdraw
    from tasks.upkeep.verify import still_missing

    settings = parsed(config)
    workspace = Workspace(settings.workspace)
    damaged, _ = _damaged(settings)
    withdraw(workspace.ledger, damaged)
    run_all(config)
    if left := still_missing(settings, damaged):
        others = ", ".join(each.name for each in served_by(workspace.store, settings)[1:])
        remedy = f"run the one that makes them: {others}" if others else "nothing needs them"
        say(
            f"{len(left)} of the damaged artifacts are of no step of {settings.name!r} and are "
            f"not there now, as {left[0]}; {remedy}"
        )


def retry(
    config: ConfigPath,
    reason: Annotated[str, typer.Option(help="Only reasons with these words.")] = "",
) -> None:
    """Try refused images again; files that were repaired meanwhile come in too."""
    from tasks.upkeep.retry import find_refusals, withdraw_refusals

    settings = parsed(config)
    tried = withdraw_refusals(settings, list(find_refusals(settings, reason)))
    if not tried:
        say("nothing to try again: no image was refused" + (f" for {reason!r}" * bool(reason)))
        return
    say(f"trying again: {_listed(tried)}")
    run_all(config)


def refused(
    config: ConfigPath,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """Name every image that was refused, or that has no metrics, with the reason."""
    from tasks.upkeep.refused import list_refused, list_unscored

    settings = parsed(config)
    found = [*list_refused(settings), *list_unscored(settings)]
    if as_json:
        say(json.dumps({"images": [image._asdict() for image in found]}, indent=1))
    elif found:
        titles = ["image", "data set", "shard", "status", "reason"]
        show_table(titles, [[*image] for image in found])
    else:
        say("no image was refused, and none is without metrics that it could have")


def _damaged(config: "Config") -> "tuple[list[Checked], bool]":
    """Verify a workspace, and print what is damaged, and what may not be read.

    Returns:
        what is damaged, and whether there are files that may not be read.
    """
    from tasks.io.workspace import Workspace
    from tasks.upkeep.forecasts.room import in_bytes
    from tasks.upkeep.verify import Checked
    from tasks.upkeep.verify import verify as read_again

    damaged, closed, records, size = list[Checked](), list[str](), 0, 0
    with console(stderr=True).status("reading") as status:
        for checked in read_again(Workspace(config.workspace).ledger):
            records, size = records + 1, size + checked.size
            status.update(f"read {records} artifacts, {in_bytes(size)}")
            damaged += [checked] if checked.damage else []
            closed += checked.closed
    for checked in damaged:
        for damage in checked.damage:
            say(damage, fg="red")
    for sentence in closed:
        say(sentence, fg="red")
    verdict = f"{len(damaged)} damaged" if damaged else "all as they were written"
    if closed:
        verdict = (
            f"{len(damaged)} damaged, and {len(closed)} files that may not be read, of which "
            "nobody knows; they are left as they are"
        )
    say(f"verified {records} artifacts, {in_bytes(size)}: {verdict}")
    return damaged, bool(closed)


def _listed(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{count} × {reason}" for reason, count in reasons.items())


def duplicates(
    config: ConfigPath,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", parser=given_path, help="Parquet file for all pairs."),
    ] = None,
) -> None:
    """Find clean images that show nearly the same as others; they mislead fits, FID and errors."""
    from tasks.duplicates.pairs import across, in_words, named, near_duplicate_pairs, within
    from tasks.duplicates.pairs import write_pairs as write

    settings = parsed(config)
    if out is not None:
        require_writable(out, _WRITABLE)
    images = _hashed(settings)
    pairs = near_duplicate_pairs(image for each in images.values() for image in each)
    for name, looked_at in images.items():
        own, total = within(pairs, name), len(looked_at)
        say(in_words(own, total, name) if own else f"all {total} images of {name} differ")
    if between := across(pairs):
        say(
            f"pairs of an image of {between[0].first.dataset} and one of "
            f"{between[0].second.dataset}, under other keys, show nearly the same: "
            f"{len(between)}, {named(between)}"
        )
    if out is not None:
        with usable(out, _WRITABLE):
            write(pairs, out)


def _hashed(settings: "Config") -> "dict[str, list[Hashed]]":
    """Return the hashes of all clean images, by their data sets."""
    from tasks.config import Run
    from tasks.duplicates.hashes import hashed_images
    from tasks.jobs.progress import reporting_to

    run, done = Run.of(settings, still=True), 0
    names = dict.fromkeys((settings.natural_name, settings.reference_name))  # perhaps the same
    with console(stderr=True).status("looking at images") as status:

        def advance(number: int) -> None:
            nonlocal done
            done += number
            status.update(f"looking at images: {done}")

        with reporting_to(advance):
            return {
                name: list(hashed_images(run.workspace, name, settings.shards.limits()))
                for name in names
                if name is not None
            }
