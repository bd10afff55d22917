"""The command `dotpipe`: help, one sentence for a mistake, and the verbs one by one."""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from servers.s3_server import using

from flows.cli import app
from flows.cli.session import show_results, tell_taken_over
from tasks.config import Config, load_config
from tasks.config.registry import register
from tasks.evaluate.summarise import read_summary, summary_artifact
from tasks.io.store import access

VERBS = sorted(command.name or command.callback.__name__ for command in app.registered_commands)
DOTPIPE = Path(sys.executable).with_name("dotpipe")


def error_of(err):
    """The error message, apart from what Prefect logs in a process that was not made quiet."""
    return err[err.index("error: ") :]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(dotpipe, verb):
    code, out, err = dotpipe(verb, "--help")
    assert code == 0
    assert err == ""
    assert f"dotpipe {verb}" in out
    assert re.search(r"[A-Z][^.]{20,}\.", out)


def test_a_data_set_that_is_made_from_elsewhere_under_the_same_name_is_told(tmp_path, capsys):
    def named(corpus):
        corpora = {"restored": {"path": f"/{corpus}"}, "natural": {"path": "/natural"}}
        tree = {"name": "mine", "workspace": str(tmp_path), "corpora": corpora}
        return Config.model_validate(tree)

    register(named("first"))
    tell_taken_over(named("first"))
    assert capsys.readouterr().err == ""
    tell_taken_over(named("second"))
    told = capsys.readouterr().err
    assert told.startswith("note: the data set 'mine' of ")
    assert "from '/first', and is now made from '/second'" in told


def test_help_takes_less_than_a_second():
    def timed():
        start = time.perf_counter()
        subprocess.run([DOTPIPE, "--help"], check=True, capture_output=True)
        return time.perf_counter() - start

    assert min(timed() for _ in range(3)) < 1


def test_help_loads_neither_torch_nor_prefect():
    code = (
        "import sys\n"
        "from flows.cli import main\n"
        "sys.argv = ['dotpipe', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('loaded:', sorted({'torch', 'prefect', 'pyarrow', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.endswith("loaded: []\n")


def test_init_writes_a_configuration_that_can_be_used(dotpipe, tmp_path):
    file = tmp_path / "mine.yaml"
    code, out, _ = dotpipe("init", file)
    assert code == 0
    assert f"dotpipe run {file}" in out.replace("\n", " ")
    assert load_config(file).workspace == str(tmp_path / "workspace")


def test_what_init_writes_are_the_defaults(dotpipe, tmp_path):
    file = tmp_path / "mine.yaml"
    dotpipe("init", file)
    least = {"name": "my-run", "workspace": "workspace"}
    least["corpora"] = yaml.safe_load(file.read_text("utf-8"))["corpora"]
    assert load_config(file) == Config.model_validate(least).anchored(tmp_path)


def test_init_refuses_to_overwrite(dotpipe, project):
    before = project.file.read_bytes()
    code, _, err = dotpipe("init", project.file)
    assert code == 1
    assert error_of(err) == (
        f"error: {project.file} must not exist yet, got a file; name another\n"
    )
    assert project.file.read_bytes() == before


WITHOUT_CONFIGURATION = {"init", "demo", "down", "alarms", "apply", "metrics", "study"}


@pytest.mark.parametrize("verb", sorted({*VERBS} - WITHOUT_CONFIGURATION))
def test_a_misspelt_field_is_one_sentence_and_exit_code_1(dotpipe, project, verb):
    text = project.file.read_text("utf-8").replace("alphas:", "alphs:")
    project.file.write_text(text, "utf-8")
    more = {"codecs": ["pixel"], "forget": ["a/0"], "export": ["a/0"], "compare": [project.file]}
    more["push"] = ["--to", "hf://datasets/a/b"]
    code, out, err = dotpipe(verb, project.file, *more.get(verb, []))
    assert (code, out) == (1, "")
    assert err == (
        f"error: {project.file} breaks 1 rule(s):\n  enhance.alphs: no such field; known here: "
        "alphas, decoding, format, interpolation, low_share, low_sigma, name, outputs, quality, "
        "seed, subsampling\n"
    )


def test_a_configuration_that_is_not_there_says_what_writes_one(dotpipe, tmp_path):
    code, _, err = dotpipe("run", tmp_path / "none.yaml")
    assert code == 1
    assert "`dotpipe init` writes one" in err


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PREFECT_API_URL", "http://[::1/api", "'an address': Value error, Invalid IPv6 URL"),
        ("PREFECT_CLIENT_MAX_RETRIES", "many", "'max_retries': Input should be a valid integer"),
    ],
)
def test_a_setting_of_prefect_that_is_wrong_is_one_sentence(
    project, tmp_path, variable, value, sentence
):
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "home"), variable: value}
    done = subprocess.run(
        [DOTPIPE, "submit", project.file],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    *_, last = done.stderr.splitlines()  # Prefect itself prints a message before
    assert last.startswith(f"error: Prefect's settings must be right, got of {sentence}")
    assert "Traceback" not in done.stderr


def test_status_before_any_run_shows_all_as_missing(dotpipe, project):
    code, out, _ = dotpipe("status", project.file)
    assert code == 0
    assert units(out) == {
        "shard reference": (0, 3, 0),
        "shard natural": (0, 2, 0),
        "restore tiny.source": (0, 0, 0),
        "restore tiny": (0, 0, 0),
        "choose images": (0, 0, 0),
        "measure latent patches": (0, 0, 0),
        "solve the operator": (0, 0, 0),
        "match the reference": (0, 0, 0),
        "enhance tiny": (0, 0, 0),
        "fidelity": (0, 0, 0),
        "summarise": (0, 0, 0),
        "report": (0, 0, 0),
    }
    (waiting,) = (line for line in out.splitlines() if line.endswith(": waits for an earlier step"))
    assert waiting.startswith("restore tiny.source, restore tiny, choose images, measure")
    assert not project.workspace.exists()


def test_a_store_that_is_away_is_one_sentence(dotpipe, project, monkeypatch):
    monkeypatch.setattr(access, "_ATTEMPTS", 1)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    project.configure(workspace="s3://bucket/workspace")
    with using(address):
        code, out, err = dotpipe("status", project.file)
    assert (code, out) == (1, "")
    assert "cannot be reached" in error_of(err)
    assert error_of(err).endswith("what is done is kept: run again when it is there\n")


def test_status_after_a_run_shows_all_as_done_and_after_a_change_what_is_out_of_date(
    dotpipe, complete
):
    _, out, _ = dotpipe("status", complete.file)
    assert units(out) == {
        "shard reference": (3, 0, 0),
        "shard natural": (2, 0, 0),
        "restore tiny.source": (2, 0, 0),
        "restore tiny": (3, 0, 0),
        "choose images": (1, 0, 0),
        "measure latent patches": (4, 0, 0),
        "solve the operator": (1, 0, 0),
        "match the reference": (1, 0, 0),
        "enhance tiny": (3, 0, 0),
        "fidelity": (6, 0, 0),
        "summarise": (1, 0, 0),
        "report": (1, 0, 0),
    }
    complete.configure(enhance={"format": "png"})
    _, out, _ = dotpipe("status", complete.file)
    assert units(out)["enhance tiny"] == (0, 0, 3)
    assert units(out)["report"] == (0, 0, 1)


def units(table):
    """Units done, missing and out of date by step, from the table that is shown."""
    rows = (line.strip("│").split("│") for line in table.splitlines() if line.startswith("│"))
    return {row[0].strip(): tuple(int(cell) for cell in row[1:4]) for row in rows}


def test_verbs_in_their_order_do_what_run_does_and_name_each_other_out_of_order(
    dotpipe, project, undisturbed, server
):
    def refused(*verbs):
        answers = [dotpipe(verb, project.file) for verb in verbs]
        assert {code for code, _, _ in answers} == {1}
        assert not any("Traceback" in error_of(err) for _, _, err in answers)
        return {re.search(r"run `dotpipe (\w+) CONFIG` first", err)[1] for _, _, err in answers}

    assert refused("fit") == {"shard"}
    assert refused("restore") == {"shard"}
    code, out, _ = dotpipe("shard", project.file)
    assert code == 0
    assert "next: `dotpipe restore CONFIG`, which makes the restored images" in out
    assert refused("fit") == {"restore"}
    assert dotpipe("restore", project.file)[0] == 0
    assert refused("enhance", "evaluate", "report") == {"fit"}
    assert dotpipe("fit", project.file)[0] == 0
    assert refused("report") == {"evaluate"}
    assert dotpipe("enhance", project.file)[0] == 0
    code, table, _ = dotpipe("evaluate", project.file)
    assert code == 0
    assert "alpha 0.5" in table
    code, out, err = dotpipe("report", project.file)
    assert code == 0
    assert re.fullmatch(r"report: \S+/report.html", out.replace("\n", "", 1).strip())
    assert f"dashboard while this runs: {server}" in err
    assert project.lasting() == undisturbed


def test_results_are_printed_with_the_change_against_the_input(finished, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    show_results(finished.config)
    out = capsys.readouterr().out
    assert "change against the input" in out
    lines = out[out.index("change against") :].splitlines()
    (line,) = (line for line in lines if "│ alpha 0 " in line)
    (row, *_) = read_summary(finished.workspace, summary_artifact(finished.fitted))
    change = f"{row['psnr_change']:+.2f}"
    assert row["alpha"] == 0
    assert change in line
    assert line.count("±") == 2  # PSNR and SSIM


LIGHT = """
import sys
from contextlib import contextmanager
from flows.cli import session, terminal

@contextmanager
def told(at):
    raise SystemExit(f"{at}: {sorted(HEAVY & set(sys.modules))}")
    yield

HEAVY = {"torch", "prefect", "pyarrow", "PIL", "numpy", "matplotlib"}
session.working = told
from flows.cli import app, commands
from flows.cli.verbs import cluster
cluster.working = commands.working = told
app(sys.argv[1:])
"""
"""Ends a command at its first sign of life, and says what had to be loaded until then."""


@pytest.mark.parametrize(
    "verb", ["run", "status", "choose", "demo", "up", "enhance", "report", "open"]
)
def test_the_first_sign_of_life_comes_before_anything_heavy_is_loaded(verb):
    command = [sys.executable, "-c", LIGHT, verb, *(["c.yaml"] if verb != "demo" else [])]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stderr.endswith(": []\n")


def test_a_run_with_nothing_to_do_loads_nothing_that_draws():
    code = (
        "import sys, tasks.pipeline, tasks.report.report\n"
        "print(sorted({'matplotlib', 'torchvision', 'diffusers', 'lpips'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_restore_without_a_section_that_says_how_is_told(dotpipe, project):
    given = {"restored": {"path": "reference"}, "natural": {"path": "natural"}}
    text = yaml.safe_load(project.file.read_text()) | {"corpora": given}
    del text["degrade"], text["restore"]
    project.file.write_text(yaml.safe_dump(text))
    code, _, err = dotpipe("restore", project.file)
    assert code == 1
    assert "`dotpipe restore` needs a section restore that says how" in err
