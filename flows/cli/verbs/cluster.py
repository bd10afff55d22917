"""Commands for runs that workers do: up, down, deploy, undeploy, submit, backfill."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.paths import ConfigPath, given_path
from flows.cli.session import parsed, show_results
from flows.cli.terminal import complain, console, say, working
from flows.cli.trials.study import is_study

if TYPE_CHECKING:
    from tasks.config import Config

PoolName = Annotated[str, typer.Option(help="Work pool whose workers take the runs.")]


def up(
    configs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[CONFIG]...", parser=given_path, help="Register these."),
    ] = None,
    pool: PoolName = "dotpipe",
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Of the server, on this machine only.")
    ] = 4200,
    wait: Annotated[
        bool,
        typer.Option("--stay", help="Go on until told to end, and restart what fails: systemd."),
    ] = False,
) -> None:
    """Start a Prefect server and a worker that stay, and register what they are to run."""
    settings = [parsed(config) for config in configs or []]
    with working("starting Prefect"):
        from flows.service.deployments import deploy as register
        from flows.service.deployments import prepare
        from flows.service.service import SERVER, WORKER, served
        from flows.service.service import up as start

        with served(start_on=port):
            prepare(pool)
            for each in settings:
                register(each, pool=pool)
            address = start(pool, port)
    say(f"dashboard: {address}")
    if SERVER.is_alive():
        say(f"server: its log is {SERVER.log}")
    say(f"worker of the pool {pool!r}: its log is {WORKER.log}")
    say("`dotpipe submit CONFIG` runs something on it; `dotpipe down` stops both")
    if wait:
        _stay(pool, port)


def _stay(pool: str, port: int) -> None:
    """Keep server and worker up until this process is told to end, then stop them."""
    from flows.service.service import stay

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        stay(pool, port, complain)
    finally:
        down()


def down() -> None:
    """Stop the worker and the server that `up` has started; what is done is kept."""
    from flows.service.service import down as stop

    for name in (stopped := stop()):
        say(f"stopped the {name}")
    if not stopped:
        say("nothing was running")


def deploy(
    config: ConfigPath,
    schedule: Annotated[
        str | None,
        typer.Option(help="Cron line, in UTC, of when to do what is missing; 'none' for never."),
    ] = None,
    gc: Annotated[
        str | None,
        typer.Option(help="Likewise, of when to remove what no configuration needs any more."),
    ] = None,
    pool: PoolName = "dotpipe",
) -> None:
    """Register the flows of CONFIG with the Prefect server, and schedules that are given."""
    from flows.service.deployments import UNSCHEDULED, read_schedules
    from flows.service.deployments import deploy as register
    from flows.service.service import served

    settings = parsed(config)
    # A slip of the pen is told before a server is asked for.
    read_schedules(settings, schedule=schedule, gc=gc)
    with served() as address:
        for name in register(settings, pool=pool, schedule=schedule, gc=gc):
            say(name)
        _warn(settings, pool, address)
    say(f"registered for the pool {pool!r}: {address}/deployments")
    if schedule is not None:
        say(f"schedule of backfill-in-blocks/{settings.name}: {schedule}, UTC")
        if settings.keep is None and schedule != UNSCHEDULED:
            say(
                "its runs keep the results of one former operator; `keep:` in CONFIG says otherwise"
            )
    if gc is not None:
        say(f"schedule of gc/{settings.name}: {gc}, UTC")


def undeploy(config: ConfigPath) -> None:
    """Remove what was registered of CONFIG or a study, a schedule too; runs that began go on."""
    from flows.service.service import served
    from flows.service.undeploying import undeploy as remove

    name = _deployed_name(config)
    with served() as address:
        removed = remove(name)
    for name in removed.names:
        say(f"removed {name}")
    for line in removed.schedules:
        say(f"its schedule is gone with it: {line}, UTC")
    if removed.dropped:
        say(f"{len(removed.dropped)} runs that had not begun are gone with them")
    for flow, name in removed.running:
        ends = ", until it cannot submit its next block" if flow == "backfill-in-blocks" else ""
        say(f"{name!r} goes on{ends}; it can be cancelled on {address}/runs")
    if not removed.names:
        say(f"nothing was registered of {name!r}")


def _deployed_name(file: Path) -> str:
    """Return the name of the deployments of a configuration or study."""
    if not is_study(file):
        return parsed(file).name
    from tasks.study.study_file import load_study

    return load_study(file).deployed


def submit(config: ConfigPath, pool: PoolName = "dotpipe") -> None:
    """Run all of it on a worker, in one run, and follow it; Ctrl-C stops following only."""
    _run("backfill", config, pool, {})


def backfill(config: ConfigPath, pool: PoolName = "dotpipe") -> None:
    """Do what is missing in blocks on all workers of the pool, and follow that.

    Run again, it takes up where it stood.
    """
    _run("backfill-in-blocks", config, pool, {"queue": "backfill", "keep": None})


def _run(flow: str, config: Path, pool: str, parameters: dict[str, Any]) -> None:
    """Register and submit a flow of CONFIG, follow its run, and show the results.

    Raises:
        typer.Exit: the run did not end well (1), or Ctrl-C stopped following it (130).
    """
    from prefect.deployments import run_deployment

    from flows.cli.follow import follow
    from flows.service.deployments import deploy as register
    from flows.service.service import served

    settings, terminal = parsed(config), console(stderr=True)
    with served() as address:
        register(settings, pool=pool)
        _warn(settings, pool, address)
        run: Any = run_deployment(
            f"{flow}/{settings.name}",
            parameters=parameters,
            flow_run_name=f"{flow} {settings.name}",
            timeout=0,
        )
        page = f"{address}/runs/flow-run/{run.id}"
        terminal.print(f"dashboard: {page}", soft_wrap=True)
        try:
            state = follow(run, settings, terminal).state
        except KeyboardInterrupt:
            complain(f"following has stopped; the run goes on, watch it there: {page}")
            raise typer.Exit(130) from None
    if state is None or not state.is_completed():
        said = "it ended in no state" if state is None else f"{state.name}: {state.message}"
        complain(f"error: the run must end well, got {said}; see {page}")
        raise typer.Exit(1)
    _conclude(settings, state.message)


def _warn(settings: "Config", pool: str, address: str) -> None:
    """Print a warning if folders of this machine are deployed to others."""
    from flows.service.local_folders import folders_left_behind

    if sentence := folders_left_behind(settings, pool, address):
        typer.secho(f"warning: {sentence}", fg="yellow", err=True)


def _conclude(settings: "Config", message: str | None) -> None:
    """Print how a run has ended well, and the results if all steps are done."""
    from tasks.io.errors import StoreRefused
    from tasks.pipeline import is_finished
    from tasks.report.report import report_address

    lines = [message] if message else []
    try:
        if is_finished(settings):
            show_results(settings)
            lines.append(f"report: {report_address(settings)}")
    except (OSError, StoreRefused) as error:  # the workers may see what this machine does not
        lines.append(f"the results are in {settings.workspace}, which cannot be read here: {error}")
    for line in dict.fromkeys(lines):  # the run may have said where its report is
        say(line)
