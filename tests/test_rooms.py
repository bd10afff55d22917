"""The house stays in order: rooms, modules and functions keep their size."""

import ast

import pytest

LAYERS = ("dot_kernels", "tasks", "flows", "infra")


def modules(folder):
    return sorted(path for path in folder.rglob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("layer", LAYERS)
def test_no_module_has_more_than_250_lines(repository, layer):
    lengths = {
        path: len(path.read_text("utf-8").splitlines()) for path in modules(repository / layer)
    }
    assert {str(path): lines for path, lines in lengths.items() if lines > 250} == {}


@pytest.mark.parametrize("layer", LAYERS)
def test_no_function_has_more_than_40_lines(repository, layer):
    found = {}
    for path in modules(repository / layer):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > 40:
                    found[f"{path}:{node.name}"] = lines
    assert found == {}


def test_no_room_has_more_than_twelve_modules(repository):
    rooms = {}
    for layer in (*LAYERS[1:], "tests"):
        for path in modules(repository / layer):
            if path.name != "conftest.py" and "dot_kernels" not in path.parts:
                rooms.setdefault(path.parent, []).append(path.name)
    assert {str(room): len(names) for room, names in rooms.items() if len(names) > 12} == {}
