"""What CONTRIBUTING.md says of the rooms is what the contracts and the packages say."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
LAYERS = {
    container.replace(".", "/"): contract["layers"]
    for contract in CONTRACTS["contracts"]
    if contract["type"] == "layers"
    for container in contract.get("containers", ["all"])
}


@pytest.mark.parametrize("container", LAYERS)
def test_the_layers_are_those_of_the_contracts(container):
    (block,) = re.findall(r"^```\n(all .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    lines = re.sub(r"\n +", " ", block).splitlines()
    written = dict(re.split(r"\s+", line, maxsplit=1) for line in lines)
    assert [layer.strip() for layer in written[container].split("→")] == LAYERS[container]


def test_the_faces_are_the_packages_that_list_their_names():
    (sentence,) = re.findall(r"The rooms with a face are (.*?)\. ", PAGE)
    named = set(re.findall(r"`([\w/]+)`", sentence))
    packages = [
        path.parent.relative_to(ROOT).as_posix()
        for root in ("dot_kernels", "flows", "tasks")
        for path in (ROOT / root).rglob("__init__.py")
    ]
    faces = {name for name in packages if hasattr(import_module(name.replace("/", ".")), "__all__")}
    assert named == faces


def test_the_protected_modules_are_those_of_the_contracts():
    rows = re.findall(r"^\| `([\w/]+)` \| (`.*`) \|$", PAGE, re.MULTILINE)
    named = {f"{room}/{name}" for room, names in rows for name in re.findall(r"`(\w+)`", names)}
    protected = {
        module.replace(".", "/")
        for contract in CONTRACTS["contracts"]
        for module in contract.get("protected_modules", [])
    }
    assert named == protected
