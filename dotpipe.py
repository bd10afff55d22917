"""The command `dotpipe`, which runs whatever modules lie in the working folder.

The packages of this project have common names. A user's own `tasks.py` or `flows.py`, in the
working folder or on PYTHONPATH, would be imported in their place: by this process, by the
processes that it starts, or by those that a Prefect worker starts for it. So the first thing that
the command does is to claim these names, in this process and in all below it.
"""

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

PACKAGES = ("dot_kernels", "flows", "infra", "tasks")
"""The names that are claimed."""

ROOT = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib takes 60 ms
"""The folder that has the packages: the checkout, or where they are installed."""

STARTUP = os.path.join(ROOT, "infra", "startup")  # noqa: PTH118
"""A folder with a module that Python imports in every process which has it on PYTHONPATH."""


class OwnPackages(MetaPathFinder):
    """Finds the packages of this project beside this file, and nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where one of the packages is; None for any other module, ours included."""
        return PathFinder.find_spec(fullname, [ROOT], target) if fullname in PACKAGES else None


def main() -> None:
    """Claim the names of our packages, and run the command line."""
    claim_names()
    from flows.cli import main as run

    run()


def claim_names() -> None:
    """Have this process and those that it starts import our packages under their names.

    They do not look for modules in their working folder at all: a `queue.py` there could end them
    as well.
    """
    claim_names_here()
    os.environ["PYTHONSAFEPATH"] = "1"
    others = [folder for folder in _python_path() if folder != STARTUP]
    os.environ["PYTHONPATH"] = os.pathsep.join((STARTUP, *others))


def claim_names_here() -> None:
    """Have this process import our packages under their names, whatever is on its path."""
    if not any(isinstance(finder, OwnPackages) for finder in sys.meta_path):
        sys.meta_path.insert(0, OwnPackages())


def _python_path() -> list[str]:
    given = os.environ.get("PYTHONPATH")
    return given.split(os.pathsep) if given else []


if __name__ == "__main__":
    main()
