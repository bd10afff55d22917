"""What an installation takes and brings: bounds, licence, marks of types."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
NEEDED = [Requirement(line) for line in SETTINGS["project"]["dependencies"]]
PINS = {
    canonicalize_name(name): pinned
    for name, pinned in re.findall(
        r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE
    )
}
BREAKS = {"fastapi": "0.155.0", "prefect": "3.9.0", "sqlalchemy": "2.1.0", "torch": "2.16.0"}
"""The first versions with which something does not work, or has not been tried."""


@pytest.mark.parametrize("needed", NEEDED, ids=str)
def test_what_is_pinned_is_within_the_bounds(needed):
    assert needed.specifier.contains(PINS[canonicalize_name(needed.name)])


@pytest.mark.parametrize("name", BREAKS)
def test_a_plain_install_takes_no_version_that_breaks(name):
    (needed,) = [needed for needed in NEEDED if needed.name == name]
    assert not needed.specifier.contains(BREAKS[name])


def test_the_licence_is_named_and_there_in_full():
    assert SETTINGS["project"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text("utf-8")
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_every_package_is_marked_as_typed_in_the_wheel_too():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert {path.parent.name for path in ROOT.glob("*/py.typed")} == packages
    data = SETTINGS["tool"]["setuptools"]["package-data"]
    assert {name for name, patterns in data.items() if "py.typed" in patterns} == packages


def test_the_image_is_sent_all_that_installing_needs():
    sent = set((ROOT / "infra" / "Dockerfile.dockerignore").read_text("utf-8").split())
    project, tools = SETTINGS["project"], SETTINGS["tool"]["setuptools"]
    files = [project["readme"], *project["license-files"]]
    modules = [f"{name}.py" for name in tools["py-modules"]]
    packages = [pattern.removesuffix("*") for pattern in tools["packages"]["find"]["include"]]
    assert {f"!{name}" for name in (*files, *modules, *packages)} <= sent


def test_the_version_is_that_of_the_project():
    assert version("dot-pipeline") == SETTINGS["project"]["version"]
