"""What is printed: in any encoding, in any width, and with names that are not UTF-8."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.cli.terminal import complain, say, show_table, spelled, use_any_encoding

DOTPIPE = Path(sys.executable).with_name("dotpipe")
BARE = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""A locale of ASCII, which Python is told to take at its word."""

TITLES = ["signal", "images", "PSNR ↑ (dB)", "FID ↓", "Gelbrich ↓"]
LINES = [
    ["alpha 0", "123456", "31.4159", "12.345 ± 0.067", "0.00069"],
    ["input x*", "123456", "29.7182", "45.678 ± 0.089", "0.01266"],
]


@pytest.fixture
def pipe(monkeypatch):
    """Gives standard output another encoding; a call of what it returns gives the text so far."""

    def opened(encoding, columns=None):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.delenv("COLUMNS", raising=False)
        if columns:
            monkeypatch.setenv("COLUMNS", str(columns))
        use_any_encoding()

        def text():
            stream.flush()
            return stream.buffer.getvalue().decode(encoding)

        return text

    return opened


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_everything_is_printed_in_any_encoding(pipe, encoding):
    text = pipe(encoding)
    say("α → ∞ × caf\udce9")
    complain("± ≤ 目")
    show_table(TITLES, LINES, "größe")
    lines = text().splitlines()
    assert lines[0].endswith(r"caf\xe9")
    assert all(cell in text() for cell in ("123456", "31.4159", "0.01266", "alpha 0", "input x*"))
    assert len({len(line) for line in lines[3:]}) == 1  # the columns of the table are straight
    if encoding == "ascii":
        assert lines[:2] == [r"alpha -> inf x caf\xe9", r"+- <= \u76ee"]
        assert "12.345 +- 0.067" in text()
    if encoding == "utf-8":
        assert lines[:2] == [r"α → ∞ × caf\xe9", "± ≤ 目"]
        assert "12.345 ± 0.067" in text()


def test_a_character_that_an_encoding_has_stays_as_it_is():
    assert spelled("5 × 3 ± 2 µm", "latin-1") == "5 × 3 ± 2 µm"
    assert spelled("a…b—c", "cp1252") == "a…b—c"


@pytest.mark.parametrize("columns", [20, 30, 40, 60, 80, 120, None])
def test_no_terminal_is_too_narrow_for_a_whole_number(pipe, columns):
    text = pipe("utf-8", columns)
    show_table(TITLES, LINES, "tiny")
    for cell in (cell for line in LINES for cell in line[1:]):
        assert len(re.findall(rf"(?<![\d.]){re.escape(cell)}(?![\d.])", text())) >= 1, cell
    assert "…" not in text()
    if columns and columns > 20:  # a name and a number need as much
        assert max(map(len, text().splitlines())) <= columns
    parts = re.findall(r"tiny \((\d) of (\d)\)", text())
    assert bool(parts) == (columns is not None and columns < 50)
    assert [int(number) for number, _ in parts] == list(range(1, len(parts) + 1))


def test_a_long_name_is_broken_into_lines_and_not_cut(pipe):
    text = pipe("utf-8", 40)
    name = "enhanced/" + "x" * 60 + "/alpha=+0.00"
    show_table(["folder", "files", "size"], [[name, "1234", "5.6 MB"]])
    cells = [line.split("│")[1].strip() for line in text().splitlines() if line.startswith("│")]
    assert "".join(cells) == name


def test_brackets_are_text(pipe):
    text = pipe("utf-8")
    show_table(["folder", "files"], [["a[bold]b[/bold]:smile:", "1"]])
    assert "a[bold]b[/bold]:smile:" in text()


def test_the_command_prints_its_results_where_the_locale_has_only_ascii(complete):
    environment = {**os.environ, **BARE, "PYTHONIOENCODING": "ascii"}
    words = [DOTPIPE, "run", complete.file]
    done = subprocess.run(words, env=environment, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    out = done.stdout.decode("ascii")
    assert "alpha 0.5" in out
    assert "nothing to do" in out


def test_help_is_printed_where_the_locale_has_only_ascii():
    environment = {**os.environ, **BARE, "PYTHONIOENCODING": "ascii"}
    for verb in ("--help", "choose"):
        words = [DOTPIPE, *dict.fromkeys((verb, "--help"))]
        done = subprocess.run(words, env=environment, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.isascii()
