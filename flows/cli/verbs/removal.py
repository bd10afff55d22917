"""Commands that remove something from a workspace: gc, compact, forget."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.paths import ConfigPath
from flows.cli.session import parsed
from flows.cli.terminal import say, show_table, working

if TYPE_CHECKING:
    from tasks.compact.compact import Compacted
    from tasks.upkeep.cleaning.waste import Waste

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def gc(
    config: ConfigPath,
    drop: Annotated[
        list[str] | None, typer.Option(help="Name of a configuration that is not needed any more.")
    ] = None,
    yes: Yes = False,
) -> None:
    """Show what no configuration of the workspace refers to, and remove it if you agree."""
    from tasks.config.registry import require_registered, served_by
    from tasks.io.workspace import Workspace
    from tasks.upkeep.cleaning.removal import total_of
    from tasks.upkeep.cleaning.waste import find_waste, remove_waste

    settings = parsed(config)
    workspace = Workspace(settings.workspace)
    dropped = frozenset(drop or ())
    require_registered(workspace.store, dropped)
    served = served_by(workspace.store, settings, dropped)
    say(f"kept for: {', '.join(each.name for each in served)}")
    waste = find_waste(served, workspace)
    for sentence in waste.doubts:
        say(f"note: {sentence}", fg="yellow")
    if not waste.folders and not waste.notes and not dropped:
        say("nothing to remove")
        return
    _show_waste(waste, dropped)
    if yes or typer.confirm(f"remove these from {workspace.store.address()}?"):
        remove_waste(waste, served, workspace, dropped)
        say(f"removed {total_of(waste.folders)}")


def compact(
    config: ConfigPath,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be merged.")] = False,
    yes: Yes = False,
) -> None:
    """Merge small shards, as many increments make, at all stages; nothing is computed again.

    It asks first where images of former operators would go with them.
    """
    settings = parsed(config)
    with working("looking for small shards"):
        from tasks.compact.compact import compact as merge
        from tasks.compact.compact import look
        from tasks.compact.former import what_goes
        from tasks.compact.stays import why_shards_stay
        from tasks.io.store import Store
        from tasks.io.workspace import COMPACTING

        was_cut = not dry and Store(settings.workspace).exists(COMPACTING)
        goes = [] if was_cut else what_goes(settings)  # one that is cut short has been agreed to
    for sentence in goes:
        say(f"note: {sentence}", fg="yellow")
    if goes and not (dry or yes) and not typer.confirm("merge small shards, and let them go?"):
        raise typer.Exit(1)
    with working("looking for small shards" if dry else "merging small shards"):
        told = look(settings) if dry else merge(settings)
        stay = why_shards_stay(settings)
    if was_cut:
        say("ended a compaction that had been cut short")
    for sentence in stay:
        say(f"note: {sentence}", fg="yellow")
    if told:
        _show_merged(told, "to merge" if dry else "merged")
    else:
        other = "other " if stay else ""
        say(f"nothing to merge: no two {other}small shards of a data set fit into one")


def _show_merged(told: "Sequence[Compacted]", title: str) -> None:
    """Show what becomes of small shards, data set by data set."""
    from tasks.upkeep.forecasts.room import in_bytes

    lines = [
        [
            each.dataset,
            str(each.before),
            str(each.before - each.small + each.merged),
            f"{each.small} into {each.merged}",
            str(each.files),
            in_bytes(each.size),
        ]
        for each in told
    ]
    heads = ["data set", "shards", "then", "merged", "files of these", "size"]
    show_table(heads, lines, title)


def forget(
    config: ConfigPath,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Keys of the images.")],
    yes: Yes = False,
) -> None:
    """Take images out of all that was made of them, for good, whatever the corpus holds.

    Put `--` before keys that begin with a dash, and options before it.
    """
    from tasks.config.registry import served_by
    from tasks.io.workspace import Workspace
    from tasks.upkeep.forget import forget as take_out

    settings = parsed(config)
    workspace = Workspace(settings.workspace)
    served = served_by(workspace.store, settings)
    question = f"take {len(keys)} image(s) out of {workspace.store.address()} for good?"
    if not yes and not typer.confirm(question):
        raise typer.Exit(1)
    gone = take_out(served, keys, workspace)
    for name, shards in gone.shards.items():
        say(f"held by {', '.join(f'{name}/{shard}' for shard in shards)}")
    for operator in gone.operators:
        say(f"removed the operator {operator}, which they may have shaped")
    _show_folders(gone.folders, "removed, with the shards that held them")
    if gone.kept is not False:
        keeps = "keeps" if gone.kept else "may keep"
        say(
            f"the bucket {keeps} old versions of what was removed: the images are gone when these "
            "are; delete them, or let a lifecycle rule expire noncurrent versions"
        )
    say(f"`dotpipe run {config}` makes again what is left, without them")
    say(
        "if they were pushed to the Hub, they stay in its history after the next push: squash the "
        "history there, and delete their LFS files in the settings of the data set"
    )


def _show_waste(waste: "Waste", dropped: Collection[str]) -> None:
    """Show what would go: files by their folders, notes of failures, and configurations."""
    if waste.folders:
        _show_folders(waste.folders, "to remove")
    if waste.notes:
        say(f"to remove: {len(waste.notes)} note(s) of failures that count no more")
    if dropped:
        say(f"to drop: {', '.join(sorted(dropped))}")


def _show_folders(folders: Mapping[str, tuple[int, int]], title: str) -> None:
    from tasks.upkeep.cleaning.removal import total_of
    from tasks.upkeep.forecasts.room import in_bytes

    lines = [[folder, str(count), in_bytes(size)] for folder, (count, size) in folders.items()]
    show_table(["folder", "files", "size"], lines, title)
    say(f"{title}: {total_of(folders)} in all")
