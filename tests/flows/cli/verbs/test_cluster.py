"""The commands for runs that workers do: what they say, and how they exit."""

import _thread
import io
import socket

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Completed, Failed, Running
from servers.child_processes import free_port, with_variable
from servers.pool_stand_in import StandIn, give, read, register

from flows.cli import follow as follow_module
from flows.service import alarms, deployments, local_folders, service, undeploying
from tasks.io.errors import StoreRefused
from tasks.report.report import report_address

FLOWS = {"submit": "backfill", "backfill": "backfill-in-blocks"}
"""The flow that a command runs."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    """Looks at a run that is followed every moment."""
    monkeypatch.setattr(follow_module, "_SECONDS_BETWEEN_LOOKS", 0.05)


@pytest.fixture
def registered(monkeypatch, server):
    """Which configurations were registered, without the requests that it takes."""
    asked = []

    def deploy(config, *, pool, schedule=None, gc=None):
        asked.append((config.name, pool, schedule, gc))
        register(*FLOWS.values(), name=config.name)
        return [f"{flow}/{config.name}" for flow in FLOWS.values()]

    monkeypatch.setattr(deployments, "deploy", deploy)
    return asked


def error_of(err):
    """The error message, apart from what Prefect logs in a process that was not made quiet."""
    return err[err.index("error: ") :]


@pytest.mark.parametrize("verb", FLOWS)
def test_a_run_that_ends_well_is_followed_and_its_results_are_shown(
    complete, dotpipe, registered, verb
):
    config = complete.configure()
    address = f"report: {report_address(config)}"
    with StandIn(FLOWS[verb], lambda run: give(run, Running(), Completed(message=address))) as pool:
        code, out, err = dotpipe(verb, complete.file, "--pool", "mine")
    assert code == 0, err
    assert "alpha 0.5" in out
    assert out.count("report: ") == 1
    assert out.splitlines()[-1] == address
    (run,) = pool.taken
    assert f"dashboard: http://127.0.0.1:{_port()}/runs/flow-run/{run.id}" in err
    assert f"{run.name}: completed" in err
    assert registered == [("tiny", "mine", None, None)]


def _port():
    return PREFECT_API_URL.value().rpartition(":")[2].partition("/")[0]


def test_a_backfill_by_hand_has_its_runs_put_in_the_queue_for_it(complete, dotpipe, registered):
    with StandIn("backfill-in-blocks", lambda run: give(run, Running(), Completed())) as pool:
        assert dotpipe("backfill", complete.file)[0] == 0
    assert pool.taken[0].parameters["queue"] == "backfill"
    assert pool.taken[0].parameters["keep"] is None


def test_a_run_that_had_nothing_to_do_or_was_skipped_says_so(project, dotpipe, registered):
    said = Completed(name="Skipped", message="another run of this backfill is at work")
    with StandIn("backfill-in-blocks", lambda run: give(run, Running(), said)):
        code, out, _ = dotpipe("backfill", project.file)
    assert (code, out) == (0, "another run of this backfill is at work\n")


def test_results_that_cannot_be_read_here_are_said_to_be_elsewhere(
    project, dotpipe, registered, monkeypatch
):
    def refuse(*_):
        raise StoreRefused("no credentials")

    monkeypatch.setattr("tasks.pipeline.is_finished", refuse)
    done = Completed(message="report: s3://elsewhere/report.html")
    with StandIn(FLOWS["submit"], lambda run: give(run, Running(), done)):
        code, out, _ = dotpipe("submit", project.file)
    assert (code, out.splitlines()) == (
        0,
        [
            "report: s3://elsewhere/report.html",
            f"the results are in {project.workspace}, which cannot be read here: no credentials",
        ],
    )


@pytest.mark.parametrize("verb", FLOWS)
def test_a_run_that_fails_is_one_sentence_with_its_page_and_exit_code_1(
    project, dotpipe, registered, verb
):
    with StandIn(FLOWS[verb], lambda run: give(run, Running(), Failed(message="no room"))) as pool:
        code, out, err = dotpipe(verb, project.file)
    (run,) = pool.taken
    assert (code, out) == (1, "")
    assert error_of(err) == (
        "error: the run must end well, got Failed: no room; see "
        f"http://127.0.0.1:{_port()}/runs/flow-run/{run.id}\n"
    )


@pytest.mark.parametrize("verb", FLOWS)
def test_ctrl_c_stops_following_and_not_the_run(project, dotpipe, registered, verb):
    def do(run):
        give(run, Running())
        _thread.interrupt_main()

    with StandIn(FLOWS[verb], do) as pool:
        code, out, err = dotpipe(verb, project.file)
    (run,) = pool.taken
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == (
        "following has stopped; the run goes on, watch it there: "
        f"http://127.0.0.1:{_port()}/runs/flow-run/{run.id}"
    )
    assert "Traceback" not in err
    assert read(run).state_name == "Running"
    give(run, Completed())


def test_deploy_says_what_it_has_registered_and_where(project, dotpipe, registered):
    project.configure(fit={"refit_beyond": 0.1})
    code, out, _ = dotpipe("deploy", project.file, "--schedule", "0 1 * * *", "--pool", "mine")
    assert code == 0
    assert out.splitlines() == [
        "backfill/tiny",
        "backfill-in-blocks/tiny",
        f"registered for the pool 'mine': http://127.0.0.1:{_port()}/deployments",
        "schedule of backfill-in-blocks/tiny: 0 1 * * *, UTC",
        "its runs keep the results of one former operator; `keep:` in CONFIG says otherwise",
    ]
    assert registered == [("tiny", "mine", "0 1 * * *", None)]
    project.configure(fit={"refit_beyond": 0.1}, keep=2)
    _, out, _ = dotpipe("deploy", project.file, "--schedule", "none", "--gc", "0 12 * * 0")
    assert out.splitlines()[-2:] == [
        "schedule of backfill-in-blocks/tiny: none, UTC",
        "schedule of gc/tiny: 0 12 * * 0, UTC",
    ]


@pytest.mark.parametrize("verb", ["deploy", *FLOWS])
def test_folders_that_are_deployed_to_others_are_a_warning(
    project, dotpipe, registered, monkeypatch, verb
):
    asked = []
    monkeypatch.setattr(
        local_folders, "folders_left_behind", lambda *about: asked.append(about) or "mind the gap"
    )
    with StandIn(FLOWS.get(verb, "backfill"), lambda run: give(run, Running(), Completed())):
        code, _, err = dotpipe(verb, project.file, "--pool", "mine")
    assert code == 0
    assert "warning: mind the gap\n" in err
    ((config, pool, address),) = asked
    assert (config.name, pool, address) == ("tiny", "mine", f"http://127.0.0.1:{_port()}")


def test_undeploy_says_what_it_has_removed_and_what_goes_on(project, dotpipe, monkeypatch, server):
    removed = undeploying.Undeployed(
        ["backfill/tiny", "backfill-in-blocks/tiny"],
        ["0 2 * * *"],
        ["late", "later"],
        [("backfill", "all of it"), ("backfill-in-blocks", "backfill tiny in blocks")],
    )
    monkeypatch.setattr(undeploying, "undeploy", lambda _: removed)
    code, out, _ = dotpipe("undeploy", project.file)
    page = f"http://127.0.0.1:{_port()}/runs"
    assert (code, out.splitlines()) == (
        0,
        [
            "removed backfill/tiny",
            "removed backfill-in-blocks/tiny",
            "its schedule is gone with it: 0 2 * * *, UTC",
            "2 runs that had not begun are gone with them",
            f"'all of it' goes on; it can be cancelled on {page}",
            "'backfill tiny in blocks' goes on, until it cannot submit its next block; it can be "
            f"cancelled on {page}",
        ],
    )


def test_undeploy_of_what_was_not_registered_says_so(project, dotpipe, server):
    project.configure(name="never-deployed")
    assert dotpipe("undeploy", project.file) == (
        0,
        "nothing was registered of 'never-deployed'\n",
        "",
    )


@pytest.fixture
def alarmed(monkeypatch, server):
    """Whom the alarms were registered for, without the server's being asked."""
    asked = []

    def register(whom):
        asked.append(whom)
        told = int(whom is not None and whom.name != "nobody")
        return [alarms.Registered("dotpipe run stalled", told)]

    monkeypatch.delenv("DOTPIPE_ALARMS_WEBHOOK", raising=False)
    monkeypatch.setattr(alarms, "register_alarms", register)
    monkeypatch.setattr(alarms, "webhook", lambda address: alarms.Recipient(address, ()))
    monkeypatch.setattr(alarms, "block", lambda name: alarms.Recipient(name, ()))
    monkeypatch.setattr(alarms, "try_out", lambda: asked.append("tried"))
    return asked


def test_alarms_that_nobody_is_told_of_say_how_somebody_is(dotpipe, alarmed):
    for words in ([], ["--to", "nobody"]):
        code, out, _ = dotpipe("alarms", *words)
        assert (code, out.splitlines()) == (
            0,
            [
                "dotpipe run stalled",
                f"registered: http://127.0.0.1:{_port()}/automations",
                "they are on the dashboard only; to tell a webhook, put its address into "
                "DOTPIPE_ALARMS_WEBHOOK",
            ],
        )
    assert [whom and whom.name for whom in alarmed] == [None, "nobody"]


def test_the_address_of_a_webhook_comes_from_the_environment_or_standard_input(
    dotpipe, alarmed, monkeypatch
):
    monkeypatch.setenv("DOTPIPE_ALARMS_WEBHOOK", "https://chat.mine.org/secret")
    first = dotpipe("alarms")
    monkeypatch.setattr("sys.stdin", io.StringIO("https://chat.mine.org/other-secret\n"))
    second = dotpipe("alarms", "--to", "-")
    assert [whom if whom == "tried" else whom.name for whom in alarmed] == [
        "https://chat.mine.org/secret",
        "tried",
        "https://chat.mine.org/other-secret",
        "tried",
    ]
    for code, out, err in (first, second):
        assert code == 0
        assert out.splitlines()[-1] == "they reach somebody: a first message has been sent"
        assert "secret" not in out + err


def test_a_block_may_be_told_in_place_of_what_the_environment_names(dotpipe, alarmed, monkeypatch):
    monkeypatch.setenv("DOTPIPE_ALARMS_WEBHOOK", "https://chat.mine.org/secret")
    assert dotpipe("alarms", "--to", "slack-webhook/on-call")[0] == 0
    assert alarmed[0].name == "slack-webhook/on-call"


def test_an_address_on_the_command_line_is_refused_and_not_repeated(dotpipe, alarmed):
    code, out, err = dotpipe("alarms", "--to", "https://chat.mine.org/secret")
    assert (code, out, alarmed) == (1, "", [])
    assert error_of(err) == (
        "error: --to must name a block, '-' or 'nobody', got an address, which others can read "
        "on a command line; put it into DOTPIPE_ALARMS_WEBHOOK, or give --to - and write it to "
        "standard input\n"
    )


@pytest.mark.parametrize("line", ["at night", "* * * * * *", "0 25 * * *", ""])
def test_a_schedule_that_is_no_cron_line_is_one_sentence_even_without_a_server(
    project, dotpipe, alone, line
):
    code, out, err = dotpipe("deploy", project.file, "--schedule", line)
    assert (code, out) == (1, "")
    assert error_of(err) == (
        f"error: --schedule must be a cron line as in '0 2 * * *', or 'none', got {line!r}\n"
    )


@pytest.mark.parametrize("verb", ["up", "deploy", "submit", "backfill"])
def test_a_configuration_with_a_mistake_asks_nothing_of_a_server(
    project, dotpipe, monkeypatch, verb
):
    monkeypatch.setattr(service, "served", lambda *_, **__: pytest.fail("asked"))
    project.file.write_text("name: tiny\nworkspace: here\n", "utf-8")
    code, out, err = dotpipe(verb, project.file)
    assert (code, out) == (1, "")
    assert error_of(err) == f"error: {project.file} breaks 1 rule(s):\n  corpora: Field required\n"


@pytest.fixture
def alone(tmp_path, monkeypatch, server):
    """A machine on which no server is known: nothing was started, and none is named."""
    monkeypatch.setattr("flows.service.daemon._folder", lambda: tmp_path / "home")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield tmp_path / "home"


@pytest.mark.parametrize("verb", ["deploy", "submit", "backfill"])
def test_without_a_server_commands_for_workers_say_what_starts_one(project, dotpipe, alone, verb):
    code, out, err = dotpipe(verb, project.file)
    assert (code, out) == (1, "")
    assert error_of(err) == (
        "error: a Prefect server must be there, but none is; start one with a worker by `dotpipe "
        "up`, or set PREFECT_API_URL to that of your cluster\n"
    )


def test_a_server_that_does_not_answer_is_one_sentence(project, dotpipe, server):
    away = f"http://127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: away}):
        code, out, err = dotpipe("submit", project.file)
    assert (code, out) == (1, "")
    assert error_of(err) == (
        f"error: the Prefect server at PREFECT_API_URL={away} must answer, but does not; start it, "
        "or unset the variable (or the setting of the Prefect profile) for one of dotpipe's own\n"
    )


def test_a_port_in_use_is_one_sentence_and_nothing_is_started(dotpipe, alone):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, out, err = dotpipe("up", "--port", port)
    assert (code, out) == (1, "")
    assert error_of(err) == (
        f"error: port {port} of this machine must be free for a Prefect server, got 'Address "
        "already in use'; name another by --port, or set PREFECT_API_URL="
        f"http://127.0.0.1:{port}/api to use a Prefect server that is there\n"
    )
    assert with_variable("PREFECT_HOME", str(alone)) == []


def test_down_without_anything_to_stop_says_so(dotpipe, alone):
    assert dotpipe("down") == (0, "nothing was running\n", "")
