"""The command runs whatever modules lie in the working folder; the library does too."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

import dotpipe

COMMON = ("dot_kernels", "flows", "infra", "tasks")
"""Our packages, as a user may have called modules too."""

STANDARD = ("queue", "statistics", "types")
"""Modules of Python that a user may have called a file like."""

SPAWN = """
import multiprocessing, runpy, sys
import dotpipe
def child():
    import tasks; print(tasks.__file__)
if __name__ == "__main__":
    dotpipe.claim_names()
    started = multiprocessing.get_context("spawn").Process(target=child)
    started.start(); started.join()
"""


def output_of(command, folder, environment):
    """What a command prints that ends well and complains of nothing."""
    kept = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
    done = subprocess.run(command, check=False, **kept)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


@pytest.fixture
def folder(tmp_path):
    """A working folder in which every import of ours, and some of Python's, would fail."""
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in (*COMMON, *STANDARD):
        (mine / f"{name}.py").write_text(f"raise SystemExit('{name} of the user')\n", "utf-8")
    return mine


@pytest.fixture
def run(folder, repository, tmp_path):
    """Runs a script there, as the shell runs the installed command, and returns its output."""

    def of(script, *words, on_path=True):
        file = tmp_path / "dotpipe"
        file.write_text(script, "utf-8")
        if on_path:  # where a module of Python's name is meant to take its place
            for name in STANDARD:
                (folder / f"{name}.py").unlink()
        path = [str(folder)] * on_path + [str(repository)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        command = [sys.executable, str(file), *words]
        return output_of(command, folder, environment)

    return of


@pytest.mark.parametrize("on_path", [False, True])
def test_the_command_starts_among_modules_of_the_same_names(run, on_path):
    command = "from dotpipe import main\nmain()\n"
    assert run(command, "--version", on_path=on_path).startswith("dotpipe ")


def test_the_module_is_the_command_too(repository, tmp_path):
    command = [sys.executable, "-m", "dotpipe", "--version"]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    assert output_of(command, tmp_path, environment).startswith("dotpipe ")


def below(code):
    """A script that claims the names, and then has a process of its own run the code."""
    child = [sys.executable, "-c", code]
    return f"import dotpipe, subprocess\ndotpipe.claim_names()\nsubprocess.run({child!r})\n"


@pytest.mark.parametrize("on_path", [False, True])
def test_so_do_the_processes_below_it(run, repository, on_path):
    code = "import queue, infra.worker, tasks; print(tasks.__file__)"
    assert run(below(code), on_path=on_path) == str(repository / "tasks" / "__init__.py")


def test_so_does_a_process_that_puts_the_working_folder_first(run, repository):
    code = "import os, sys; sys.path.insert(0, os.getcwd()); import flows; print(flows.__file__)"
    assert run(below(code)) == str(repository / "flows" / "__init__.py")


def test_so_do_processes_of_multiprocessing(run, repository):
    assert run(SPAWN) == str(repository / "tasks" / "__init__.py")


def test_a_module_that_others_run_at_the_start_is_still_run(run, folder):
    (folder / "sitecustomize.py").write_text("print('theirs')\n", "utf-8")
    code = "import sitecustomize; print(sitecustomize.__file__)"
    assert run(below(code)).splitlines()[-2:] == ["theirs", str(folder / "sitecustomize.py")]


def test_another_python_that_does_not_have_us_starts_in_silence(tmp_path):
    environment = {"PYTHONPATH": dotpipe.STARTUP}
    code = "import sitecustomize, sys; print([*map(type, sys.meta_path)])"
    command = [sys.executable, "-S", "-c", code]
    assert "OwnPackages" not in output_of(command, tmp_path, environment)


def test_names_are_claimed_once_and_first(monkeypatch):
    others = [each for each in sys.meta_path if not isinstance(each, dotpipe.OwnPackages)]
    monkeypatch.setattr(sys, "meta_path", others)
    monkeypatch.setenv("PYTHONPATH", "theirs")
    monkeypatch.setenv("PYTHONSAFEPATH", "")
    before = len(sys.meta_path)
    dotpipe.claim_names()
    dotpipe.claim_names()
    assert len(sys.meta_path) == before + 1
    assert isinstance(sys.meta_path[0], dotpipe.OwnPackages)
    assert os.environ["PYTHONPATH"] == os.pathsep.join((dotpipe.STARTUP, "theirs"))


# As a library


LIBRARY = """
import sys
import dotpipe
print(sorted({"torch", "numpy", "prefect", "tasks"} & set(sys.modules)))
from dotpipe import *
print(DeepOptimalTransport.__name__, sys.modules["tasks"].__file__)
"""


def test_importing_it_loads_nothing_and_its_names_are_found_among_modules_of_the_same_names(
    run, repository
):
    light, loaded = run(LIBRARY).splitlines()
    assert light == "[]"
    assert loaded == f"DeepOptimalTransport {repository / 'tasks' / '__init__.py'}"


def test_a_module_of_the_user_that_was_imported_before_is_told(folder, run):
    (folder / "tasks.py").write_text("mine = True\n", "utf-8")
    told = run(
        "import tasks, dotpipe\ntry:\n    dotpipe.open_run\nexcept ImportError as error:\n"
        "    print(error)\n"
    )
    assert told == (
        "the package 'tasks' must be that of dot-pipeline in a program that uses dotpipe, but "
        f"{folder / 'tasks.py'} was imported before; rename it"
    )


def test_so_is_a_folder_of_the_user_that_was_imported_before(folder, run):
    (folder / "tasks.py").unlink()
    (folder / "tasks").mkdir()
    told = run(
        "import dotpipe, sys\nsys.path.remove(dotpipe.ROOT)\nimport tasks\n"
        "try:\n    dotpipe.open_run\nexcept ImportError as error:\n    print(error)\n"
    )
    assert f"but {folder / 'tasks'} was imported before; rename it" in told


def test_its_public_names_are_there_and_no_others():
    from tasks import library

    offered = {"DotpipeError", "run", *library.__all__} - {"configuration_of", "write_sections"}
    assert set(dotpipe.__all__) == offered
    assert set(dotpipe.__all__) <= set(dir(dotpipe))
    for name in dotpipe.__all__:
        assert getattr(dotpipe, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'open_ran'"):
        dotpipe.open_ran  # noqa: B018


def test_a_run_that_is_finished_is_only_opened(finished, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(finished.config.model_dump_json(), "utf-8")
    expected = repr(dotpipe.open_run(file))
    assert repr(dotpipe.run(file)) == expected
    assert repr(dotpipe.run(finished.config.model_dump())) == expected


def test_a_run_that_fails_says_why(finished, tmp_path, capsys, monkeypatch, prefect_home):
    sections = finished.config.model_dump()
    sections["corpora"]["restored"]["path"] = str(tmp_path / "none")
    sections["workspace"] = str(tmp_path / "work")
    before = dict(os.environ)
    with pytest.raises(dotpipe.DotpipeError, match=r"^a corpus must be a folder, .*none"):
        dotpipe.run(sections)
    assert "error: a corpus must be a folder" in capsys.readouterr().err
    assert dict(os.environ) == before


def test_what_interrupts_it_ends_the_command_too(tmp_path, monkeypatch):
    started, popen = [], subprocess.Popen
    sleeping = "import sys, time; sys.stderr.write('on it\\n'); sys.stderr.flush(); time.sleep(600)"

    class Interrupted:
        def write(self, text):
            raise KeyboardInterrupt

    def start(command, **options):
        started.append(popen([command[0], "-c", sleeping], **options))
        return started[0]

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(sys, "stderr", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        dotpipe._run_command("run", str(tmp_path / "none.yaml"))
    assert started[0].returncode == -signal.SIGTERM


@pytest.mark.slow
def test_a_run_is_done_whatever_thread_and_loop_asks_for_it(
    photographs, tmp_path, capsys, prefect_home
):
    sections = {
        "name": "mine",
        "workspace": str(tmp_path / "work"),
        "corpora": {
            "restored": {"path": str(photographs["restored"])},
            "natural": {"path": str(photographs["natural"])},
        },
        "codec": {"kind": "pixel", "factor": 2},
        "enhance": {"alphas": [0.5]},
        "evaluate": {"features": None},
    }

    async def cell():  # as a notebook has a loop that runs
        return dotpipe.run(sections)

    made = asyncio.run(cell())
    assert (len(list(made.images(0.5))), made.name) == (8, "mine")
    assert "enhance mine" in capsys.readouterr().err
    assert repr(dotpipe.open_run(tmp_path / "work")) == repr(made)


def test_all_packages_are_claimed_and_nothing_else(repository):
    found = {init.parent.name for init in repository.glob("*/__init__.py")}
    assert set(dotpipe.PACKAGES) == found
    assert dotpipe.OwnPackages().find_spec("json", None) is None
    assert dotpipe.OwnPackages().find_spec("tasks.io", None) is None
