"""What README.md claims of itself: its code runs, its commands and names exist."""

import re
from pathlib import Path

import pytest
import yaml

from flows.cli import app
from tasks.config import Config
from tasks.io.artifacts.metrics import FIDELITY_SCHEMA, SCORE_SCHEMA

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def section(heading):
    """The text below a heading, up to the next one."""
    return re.search(rf"^#+ {heading}\n(.*?)(?=^#+ |\Z)", README, re.MULTILINE | re.DOTALL)[1]


def test_the_python_of_the_readme_runs(capsys):
    names = {}
    for number, code in enumerate(blocks("python")):
        exec(compile(code, f"README.md, block {number}", "exec"), names)
    assert names["enhanced"].shape == (3, 16, 3, 64, 64)
    assert "condition" in capsys.readouterr().out


def test_the_code_without_prefect_has_ten_lines():
    (code,) = blocks("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10


def test_every_verb_named_in_the_readme_exists():
    named = set(re.findall(r"\bdotpipe ([a-z][\w-]*)", README))
    existing = {command.callback.__name__ for command in app.registered_commands}
    existing |= {group.name for group in app.registered_groups}
    assert named
    assert named <= existing


def test_every_make_target_named_in_the_readme_exists():
    named = set(re.findall(r"(?:`|^)make ([a-z][\w-]*)", README, re.MULTILINE))
    targets = set(
        re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    )
    assert {"demo", "test"} <= named
    assert named <= targets


@pytest.mark.parametrize("text", blocks("yaml"))
def test_the_yaml_of_the_readme_is_a_configuration(text):
    Config.model_validate({"name": "readme", **yaml.safe_load(text)})


@pytest.mark.parametrize(
    ("heading", "schema"),
    [("The metric table", SCORE_SCHEMA), ("The fidelity table", FIDELITY_SCHEMA)],
)
def test_the_tables_of_the_readme_have_the_columns_and_units_of_the_files(heading, schema):
    rows = re.findall(r"^\| `(\w+)` \| (\w*) ?\|", section(heading), re.MULTILINE)
    assert rows == [(field.name, field.metadata[b"unit"].decode()) for field in schema]


def test_every_file_that_the_readme_links_to_is_there():
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)\)", README)
    assert [path for path in linked if not (ROOT / path).exists()] == []


def test_every_anchor_that_the_readme_links_to_is_a_heading():
    headings = re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= anchors
