"""Packages of one module on the path of a test, as an installer would lay them down."""

import importlib
import shutil
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.io.images import plug_in_format
from tasks.io.networks.features import judges
from tasks.io.networks.plug_ins import loading
from tasks.io.plug_ins.installed import forget


def lay_down(folder: Path, pyproject: str, code: str) -> str:
    """Write a module, and what an installer writes of its package; returns the module's name.

    Args:
        folder: that is on the path, or will be.
        pyproject: the package's pyproject.toml, whose entry points are all of one module.
        code: of the module.
    """
    project = tomllib.loads(pyproject)["project"]
    groups = project["entry-points"]
    (module,) = {point.partition(":")[0] for group in groups.values() for point in group.values()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(code)
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)  # which may be as new as the module
    name, version = project["name"], project["version"]
    for other in folder.glob(f"{name.replace('-', '_')}-*.dist-info"):
        shutil.rmtree(other)
    told = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    told.mkdir(exist_ok=True)
    (told / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = (
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in named.items())
        for group, named in groups.items()
    )
    (told / "entry_points.txt").write_text("\n".join(points))
    return module


@contextmanager
def installed(folder: Path, pyproject: str, code: str):
    """A package is installed while a block runs, and its module is imported anew."""
    module = lay_down(folder, pyproject, code)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        _forget(module)
        yield
    _forget(module)


@contextmanager
def as_editable(package, folder: Path):
    """A package as ``installed`` gives it, laid down as an installer does with ``-e``.

    Args:
        package: that is installed while a block runs.
        folder: that it is laid down in, and nothing else.
    """
    with package:
        (told,) = folder.glob("*.dist-info")
        direct = '{"url": "file:///x", "dir_info": {"editable": true}}'
        (told / "direct_url.json").write_text(direct)
        forget()
        yield


def _forget(module: str) -> None:
    """Neither this process nor its caches know a module."""
    sys.modules.pop(module, None)
    importlib.invalidate_caches()
    forget()
    loading._made.cache_clear()
    plug_in_format._loaded.cache_clear()
    judges._load_judge.cache_clear()


def project(kind: str, target: str, version: str = "1.0") -> str:
    """The pyproject.toml of a package that brings one thing, under the name of its module."""
    module = target.partition(":")[0]
    return (
        f'[project]\nname = "dotpipe-{module}"\nversion = "{version}"\n'
        f'[project.entry-points."dotpipe.{kind}s"]\n{module} = "{target}"\n'
    )
