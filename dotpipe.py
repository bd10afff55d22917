"""The command `dotpipe`, and what other programs import of this project.

    import dotpipe

    run = dotpipe.open_run("my-run.yaml")
    for picture in run.images(0.25):
        ...

The names in ``__all__`` are stable: `infra/docs/python.md` says how they are used and what stays.
They are loaded when they are first asked for.

The packages of this project have common names. A user's own `tasks.py` or `flows.py`, in the
working folder or on PYTHONPATH, would be imported in their place: by this process, by the
processes that it starts, or by those that a Prefect worker starts for it. So the first thing that
the command does is to claim these names, in this process and in all below it. For a program that
imports this module they are claimed in its own process, when the first name is asked for.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.io.errors import DotpipeError
    from tasks.library import (
        DeepOptimalTransport,
        Enhanced,
        File,
        FinishedRun,
        Picture,
        open_run,
    )

__all__ = [
    "DeepOptimalTransport",
    "DotpipeError",
    "Enhanced",
    "File",
    "FinishedRun",
    "Picture",
    "open_run",
    "run",
]

_LOADED_FROM = dict.fromkeys(__all__, "tasks.library") | {"DotpipeError": "tasks.io.errors"}

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


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for: the command starts without them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_own(_LOADED_FROM[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def run(config: "str | os.PathLike[str] | Mapping[str, Any]") -> "FinishedRun":
    """Do all that is missing of a run, and return the run; what is done is not done again.

    The command `dotpipe run` does it, in a process of its own. Its progress goes to ``sys.stderr``
    and its log into the workspace. Where this is interrupted, as by the button of a notebook, it
    ends too, and what is done is kept.

    Args:
        config: path of a YAML file, or its sections by their names, ``name`` among them, as in
            ``{"name": "faces", "workspace": "/data/dot", "corpora": {…}}``. Relative paths count
            from the file, or from the working folder.

    Raises:
        DotpipeError: the configuration breaks a rule, something that a run needs is missing, or
            shards failed; the text says what to do.
    """
    library, pipeline = _own("tasks.library"), _own("tasks.pipeline")
    if isinstance(config, Mapping):
        from tempfile import TemporaryDirectory

        with TemporaryDirectory(prefix="dotpipe-") as folder:
            return run(library.write_sections(config, folder))
    settings = library.configuration_of(config)
    if not pipeline.is_finished(settings):
        _run_command("run", os.fspath(config))
    found: FinishedRun = library.FinishedRun.of(settings)
    return found


def _run_command(*words: str) -> None:
    """Run the command in a process of its own, and pass on what it says on standard error.

    Raises:
        DotpipeError: it has failed; the text is what it says of that.
    """
    import subprocess

    start = f"import sys; sys.path.append({ROOT!r}); import dotpipe; dotpipe.main()"
    said = list[str]()
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-P", "-c", start, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            for line in process.stderr or ():
                sys.stderr.write(line)
                said = [line] if line.startswith("error: ") else [*said[-20:], line]
        except BaseException:
            process.terminate()  # it gives up its claims, and ends within seconds
            process.communicate()  # what it still says must not hold it up
            raise
    if process.returncode:
        text = "".join(said).removeprefix("error: ").strip()
        raise _own("tasks.io.errors").DotpipeError(text or f"ended with {process.returncode}")


def _own(name: str) -> Any:
    """Return a module of ours.

    Raises:
        ImportError: the program has imported another package of the same name before.
    """
    claim_names_here()
    for package in PACKAGES:
        module = sys.modules.get(package)  # a folder without __init__.py has no file, but a path
        known = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), "")
        if known and not os.path.abspath(known).startswith(ROOT + os.sep):  # noqa: PTH100
            raise ImportError(
                f"the package {package!r} must be that of dot-pipeline in a program that uses "
                f"dotpipe, but {known} was imported before; rename it"
            )
    return import_module(name)


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
