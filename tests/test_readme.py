"""What README.md and the pages of infra/docs claim: code runs, names and links lead somewhere."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from pydantic import BaseModel

from flows.cli import app
from tasks.config import Config
from tasks.config.corpora import Corpora, Corpus
from tasks.io.artifacts.metrics import fidelity_schema, score_schema
from tasks.study.study_file import StudyFile
from tasks.view.votes import vote_schema

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = ROOT / "infra" / "docs"
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "SECURITY.md",
    *sorted(DOCS.glob("*.md")),
]
OF_A_RUN = ("python.md", "reading.md")
"""Pages whose Python reads a finished run; `tests/infra/docs` runs it."""
CODE_ROOTS = ("dot_kernels", "flows", "tasks")
COMMAND = typer.main.get_command(app)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def read(page: Path) -> str:
    return page.read_text("utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)


def all_blocks(language: str, pages: list[Path] = PAGES) -> list:
    """The blocks of pages as parameters, named by page and number."""
    return [
        pytest.param(text, id=f"{page.name}-{number}")
        for page in pages
        for number, text in enumerate(blocks(page, language))
    ]


def section(page: Path, heading: str) -> str:
    """The text below a heading, up to the next one."""
    return re.search(rf"^#+ {heading}\n(.*?)(?=^#+ |\Z)", read(page), re.M | re.DOTALL)[1]


def table(text: str) -> list[list[str]]:
    """The cells of all rows of the tables in a text, titles included."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in re.findall(r"^\|.*\|$", text, re.MULTILINE)
        if not re.fullmatch(r"[|\s:-]+", line)
    ]


# Code and commands


def test_pages_have_code_to_test():
    assert blocks(README, "python")
    assert all_blocks("yaml")
    assert blocks(README, "console")


def run(code: str) -> dict:
    """The names that a block defines."""
    names = {}
    exec(compile(code, "a block of a page", "exec"), names)
    return names


@pytest.mark.parametrize(
    "code", all_blocks("python", [page for page in PAGES if page.name not in OF_A_RUN])
)
def test_the_python_runs(code):
    run(code)


def test_the_code_without_prefect_enhances_in_ten_lines(capsys):
    (code,) = blocks(README, "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    assert run(code)["enhanced"].shape == (3, 16, 3, 64, 64)
    assert "condition" in capsys.readouterr().out


@pytest.mark.parametrize("text", all_blocks("yaml"))
def test_the_yaml_is_a_configuration_or_a_study(text):
    tree = yaml.safe_load(text)
    if "study" in tree:
        assert StudyFile.model_validate(tree).study.points()
    else:
        Config.model_validate({"name": "page", **tree})


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command of ours in code: in a block, or between backticks in a line."""
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    fenced = r"^ *```.*?^ *```$"
    prose = re.sub(fenced, "", read(page), flags=re.MULTILINE | re.DOTALL)
    for text in [*lines, *re.findall(r"`([^`\n]+)`", prose)]:
        for one in re.split(r"&&|;", text.partition("  #")[0]):
            if re.match(r"\s*(\.venv/bin/)?dotpipe [a-z]", one):
                yield shlex.split(one)[1:]


def verb_of(words: list[str]) -> tuple[typer.core.TyperCommand, list[str]]:
    """The command that the words call, a verb of a group included, and the words after it."""
    command, rest = COMMAND, list(words)
    while rest and isinstance(command, typer.core.TyperGroup):
        command = command.commands[rest.pop(0)]
    return command, rest


@each_page
def test_every_verb_and_option_exists(page):
    for words in commands(page):
        command, rest = verb_of(words)
        known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        named = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert named <= known, words


def test_the_pages_have_the_verbs():
    named = {words[0] for page in PAGES for words in commands(page)}
    assert named >= set(COMMAND.commands) - {
        "shard",
        "train",
        "restore",
        "fit",
        "enhance",
        "evaluate",
        "report",
    }
    assert {words[0] for words in commands(README)} >= {"init", "run", "status", "choose"}


@each_page
def test_every_make_target_exists(page):
    named = set(re.findall(r"(?:`|^)make ([a-z][\w-]*)", read(page), re.MULTILINE))
    targets = set(re.findall(r"^([a-z][\w-]*):", read(ROOT / "Makefile"), re.MULTILINE))
    assert named <= targets
    if page == README:
        assert {"demo", "test"} <= named


# Links


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The file, in full, and the anchor of every link and picture that leads to no other site."""
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", read(page)):
        path, _, anchor = target.partition("#")
        yield ((page.parent / path).resolve() if path else page), anchor


@each_page
def test_every_linked_file_and_anchor_is_there(page):
    for path, anchor in links(page):
        assert path.exists(), path
        assert path.is_relative_to(ROOT)
        assert not anchor or anchor in anchors(path), (path, anchor)


def test_every_page_is_linked_from_the_readme_and_links_back():
    linked = {path for path, _ in links(README)}
    pages = set(DOCS.iterdir())
    assert pages <= linked
    assert len(pages) <= 21
    for page in pages:
        first = read(page).split("\n\n")[1]
        assert first.startswith("For whoever "), page
        assert "(../../README.md)" in first, page


def test_every_picture_is_shown():
    shown = {path for page in PAGES for path, _ in links(page) if path.suffix == ".png"}
    assert shown == set((ROOT / "infra" / "pictures").iterdir())


# Tables


@pytest.mark.parametrize(
    ("heading", "schema"),
    [
        ("The metric table", score_schema()),
        ("The fidelity table", fidelity_schema()),
        ("Votes", vote_schema()),
    ],
)
def test_the_tables_have_the_columns_and_units_of_the_files(heading, schema):
    text = section(DOCS / "tables.md", heading)
    rows = re.findall(r"^\| `(\w+)` \| (\w*) ?\|", text, re.MULTILINE)
    assert rows == [(field.name, field.metadata[b"unit"].decode()) for field in schema]


def test_the_rows_of_the_readme_are_results():
    title, *rows = table(section(README, "Results"))
    all_titles, *all_rows = table(read(DOCS / "results.md"))
    assert title == all_titles[: len(title)]
    assert len(rows) == 5
    for row in rows:
        assert row[1:] in [other[1 : len(row)] for other in all_rows], row


def test_the_page_on_the_configuration_names_every_section_and_field():
    named = set(re.findall(r"`(\w+)`", section(DOCS / "configuration.md", "The sections")))
    expected = {*Config.model_fields, *Corpora.model_fields, *Corpus.model_fields}
    for name, field in Config.model_fields.items():
        if isinstance(field.default, BaseModel) and name != "codec":
            expected |= set(type(field.default).model_fields)
    assert expected <= named
    assert named <= expected | {"kind"}


def test_the_settings_of_the_paper_are_degradations():
    rows = table(section(DOCS / "configuration.md", "Degradations"))
    given = [yaml.safe_load(row[-1].strip("`")) for row in rows if row[-1].startswith("`[")]
    assert len(given) == 3
    corpora = {"reference": {"path": "clean"}}
    for steps in given:
        sections = {"degrade": steps, "restore": {"kind": "bicubic"}, "corpora": corpora}
        Config.model_validate({"name": "page", "workspace": "w", **sections})


# The map of the rooms


def rooms() -> dict[str, str]:
    """What the map says of each room, by its folder, and the page of the rooms within."""
    found = dict(re.findall(r"^\| \[([\w/]+)\]\(\1\) \| (.*) \|$", read(README), re.MULTILINE))
    within = r"^\| \[([\w/]+)\]\(\.\./\.\./\1\) \| (.*) \|$"
    return found | dict(re.findall(within, read(DOCS / "rooms.md"), re.MULTILINE))


def test_the_readme_fits_on_150_lines():
    assert len(read(README).splitlines()) <= 150


def test_the_map_names_every_room():
    folders = {
        init.parent.relative_to(ROOT).as_posix()
        for root in CODE_ROOTS
        for init in (ROOT / root).rglob("__init__.py")
    }
    assert set(rooms()) == folders | {"infra"}


@pytest.mark.parametrize("room", rooms())
def test_every_module_that_the_map_names_is_in_its_room(room):
    named = re.findall(r"`([\w.]+\.\w+)`", rooms()[room])
    assert named
    assert [name for name in named if not (ROOT / room / name).is_file()] == []


@each_page
def test_every_module_that_is_named_by_its_path_is_there(page):
    roots = "|".join((*CODE_ROOTS, "infra", "tests"))
    named = re.findall(rf"`((?:{roots})(?:/[\w.-]+)*/?)`", read(page))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_tests_stand_in_the_rooms_of_what_they_test():
    rooms_of_tests = {
        test.parent.relative_to(ROOT / "tests")
        for root in (*CODE_ROOTS, "infra")
        for test in (ROOT / "tests" / root).rglob("test_*.py")
    }
    assert [room for room in sorted(rooms_of_tests) if not (ROOT / room).is_dir()] == []
