"""What `dotpipe --version` says of an installation and of a checkout."""

import re
import subprocess

from typer.testing import CliRunner

from flows.cli import app
from flows.cli.version import version_of


def test_the_command_prints_its_version():
    done = CliRunner().invoke(app, ["--version"])
    assert done.exit_code == 0
    assert re.fullmatch(r"dotpipe \d+\.\d+\.\d+.*\n", done.stdout)


def test_a_folder_that_is_no_checkout_has_no_commit(tmp_path):
    assert re.fullmatch(r"\d+\.\d+\.\d+", version_of(tmp_path))


def test_a_checkout_has_one_and_says_whether_files_differ_from_it(tmp_path):
    def git(*words):
        named = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", "-C", str(tmp_path), *named, *words], check=True)

    git("init", "--quiet")
    assert "commit" not in version_of(tmp_path)
    file = tmp_path / "file"
    file.write_text("a", "utf-8")
    git("add", "file")
    git("commit", "--quiet", "--message=a")
    git("tag", "v9")
    assert re.search(r" \(commit [0-9a-f]{7,}\)$", version_of(tmp_path))
    file.write_text("b", "utf-8")
    assert re.search(r" \(commit [0-9a-f]{7,}-dirty\)$", version_of(tmp_path))


def test_without_git_there_is_no_commit(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "commit" not in version_of(tmp_path)


def test_the_shell_can_complete_verbs():
    runner = CliRunner(env={"COMP_WORDS": "dotpipe sta", "COMP_CWORD": "1"})
    done = runner.invoke(app, env={"_DOTPIPE_COMPLETE": "complete_bash"}, prog_name="dotpipe")
    assert done.stdout.split() == ["status"]
