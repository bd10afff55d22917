"""What a plug-in is told: checked by the names and types that its function takes."""

from pathlib import Path

import pytest

from tasks.io.errors import ConfigurationError, WeightsMissing
from tasks.io.plug_ins.installed import find
from tasks.io.plug_ins.making import make
from tasks.io.plug_ins.section import PlugIn
from tests.support.standins.packages_on_path import installed, project

TYPED = """
from typing import Annotated, Literal
from pathlib import Path
from pydantic import Field

def make(
    device: str,
    amount: Annotated[float, Field(gt=0)],
    way: Literal["up", "down"] = "up",
    weights: Path | None = None,
    other=None,
):
    return device, amount, way, weights, other
"""


@pytest.fixture
def told(tmp_path):
    """What the function of some code makes of what it is told."""

    def tell(code=TYPED, target="sharp:make", **options):
        with installed(tmp_path / "site", project("restorer", target), code):
            return make(find("restorer", "sharp", field="entry"), options, "restore", "cpu")

    return tell


def test_options_come_by_name_as_the_types_have_them(told):
    made = told(amount="2", weights=Path("a"), other=[1])
    assert made == ("cpu", 2.0, "up", Path("a"), [1])


def test_a_class_is_told_as_a_function_is(told):
    code = "class Make:\n    def __init__(self, device, amount: int):\n        self.amount = amount"
    assert told(code, "sharp:Make", amount=3).amount == 3


def test_a_function_that_takes_all_names_is_told_all(told):
    assert told("def make(device, **told):\n    return told", a=1, b="x") == {"a": 1, "b": "x"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"amuont": 1},
            "must be told amount, way, weights, other only, got 'amuont'; write amount",
        ),
        ({"amount": 1, "zzz": 1}, "got 'zzz'; take it out"),
        ({}, "must be told 'amount', got no value; give it among its options"),
        ({"amount": 0}, "amount of restorer 'sharp' of dotpipe-sharp 1.0: Input should be greater"),
        ({"amount": 1, "way": "left"}, "way of restorer 'sharp' .*'up' or 'down', got 'left'"),
        ({"amount": None}, "amount of restorer .* valid number, got None"),
    ],
)
def test_a_mistake_is_a_sentence(told, options, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        told(**options)
    assert str(caught.value).startswith("restore: ")


def test_what_a_function_raises_becomes_part_of_a_sentence(told):
    code = "def make(device, size):\n    raise ValueError('size must be odd\\nand more')"
    with pytest.raises(ConfigurationError) as caught:
        told(code, size=4)
    assert str(caught.value) == (
        "restore: restorer 'sharp' of dotpipe-sharp 1.0 must take what it is told, got ValueError: "
        "size must be odd; correct its options, or ask whoever wrote it"
    )


def test_an_error_of_this_project_stays_what_it_is(told):
    code = (
        "from tasks.io.errors import WeightsMissing\n"
        "def make(device):\n    raise WeightsMissing('no weights')"
    )
    with pytest.raises(WeightsMissing, match=r"^no weights$"):
        told(code)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"entry": "../x"}, "entry"),
        ({"entry": "x", "options": {"a b": 1}}, "options"),
        ({"entry": "x", "options": {"a": 1}, "files": {"a": "b"}}, "different names, got a in"),
        ({"entry": "x", "files": {"a": "s3://bucket/b"}}, "must be paths on disk, got 's3:"),
        ({"entry": "x", "unknown": 1}, "unknown"),
    ],
)
def test_a_section_has_rules(section, said):
    with pytest.raises(ValueError, match=said):
        PlugIn.model_validate(section)
