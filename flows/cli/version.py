"""What `dotpipe --version` prints."""

import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

from flows.cli.terminal import say

ROOT = Path(__file__).parents[2]


def show_version(asked: bool) -> None:
    """Print version and commit, and end the command, if the user has asked for it.

    Raises:
        typer.Exit: it is printed.
    """
    if asked:
        say(f"dotpipe {version_of(ROOT)}")
        raise typer.Exit


def version_of(root: Path) -> str:
    """The version that is installed and, where the packages are a checkout, its commit.

    Args:
        root: the folder of the packages.

    Returns:
        such as "0.1.0", or "0.1.0 (commit 087d79e)", with "-dirty" behind a commit that files
        differ from.
    """
    try:
        installed = version("dot-pipeline")
    except PackageNotFoundError:
        installed = "of no release"
    found = _commit(root)
    return f"{installed} (commit {found})" if found else installed


def _commit(root: Path) -> str:
    """The commit of a checkout; empty for any other folder, and on machines without git."""
    if not (root / ".git").exists():
        return ""
    command = ("git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
