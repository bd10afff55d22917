"""No file is read or written as text in the encoding of the locale, which is not always UTF-8."""

import ast

import pytest

POSITION = {"read_text": 0, "write_text": 1, "open": None}
"""Where the encoding stands among the arguments of a call; None where only by its name."""


def opened_by_locale(tree):
    """The lines of calls that read or write text and do not name its encoding."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if name not in POSITION or "encoding" in {word.arg for word in call.keywords}:
            continue
        modes = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
        modes += [word.value.value for word in call.keywords if word.arg == "mode"]
        if name == "open":
            is_text = any(isinstance(mode, str) and set(mode) <= set("rwax+t") for mode in modes)
        else:
            is_text = len(call.args) <= POSITION[name]
        if is_text:
            yield call.lineno


@pytest.mark.parametrize("room", ["dot_kernels", "tasks", "flows", "infra"])
def test_every_text_is_read_and_written_in_an_encoding_that_is_named(repository, room):
    found = {
        f"{path.relative_to(repository)}:{line}"
        for path in sorted((repository / room).rglob("*.py"))
        for line in opened_by_locale(ast.parse(path.read_text("utf-8")))
    }
    assert found == set()


@pytest.mark.parametrize(
    "call", ["p.read_text()", "p.write_text(t)", "open(p, 'w')", "p.open('r')"]
)
def test_the_check_sees_calls_without_an_encoding(call):
    assert list(opened_by_locale(ast.parse(call))) == [1]


@pytest.mark.parametrize(
    "call", ["p.read_text('utf-8')", "p.write_text(t, 'utf-8')", "open(p, 'rb')", "Image.open(p)"]
)
def test_the_check_lets_others_pass(call):
    assert list(opened_by_locale(ast.parse(call))) == []
