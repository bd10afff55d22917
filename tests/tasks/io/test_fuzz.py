"""Mutated images and tars: each ends as an image or a reason, in little memory, in its folder."""

import json
import os
import subprocess
import sys

import pytest

CASES = int(os.environ.get("DOTPIPE_TEST_CASES", "10_000"))
"""Of the long form."""

SECONDS = 1200 + CASES // 10
MEMORY = 256 << 20
"""Bytes beyond what the process needs for whole files; 10,000 cases' own memory takes half."""


@pytest.fixture
def fuzz(tmp_path, repository):
    """Runs cases in a process of its own; returns what came of them."""

    def run(cases, *provoke):
        folder = tmp_path / "folder"
        folder.mkdir()
        command = [sys.executable, repository / "tests" / "support" / "fuzz.py", folder]
        subprocess.run(
            [*command, str(cases), *provoke],
            check=True,
            capture_output=True,
            cwd=repository,
            env={**os.environ, "PYTHONPATH": str(repository)},
            timeout=SECONDS,
        )
        return json.loads((folder / "result.json").read_text())

    return run


def require_harmless(result, cases):
    assert result["failure"] is None
    assert result["touched"] == []
    assert result["taken"]["VmPeak"] < MEMORY
    assert result["ends"]["cases"] >= cases
    kinds = result["ends"]  # without these, no parser was reached
    assert min(kinds["decoded"], kinds["refused: damaged"], kinds["row: tar damaged"]) > cases / 100


def test_mutated_images_and_tars_end_as_images_or_reasons(fuzz):
    require_harmless(fuzz(300), 300)


@pytest.mark.slow
def test_thousands_of_mutated_images_and_tars_end_as_images_or_reasons(fuzz):
    require_harmless(fuzz(CASES), CASES)


def test_a_file_touched_outside_the_folder_would_be_noticed(fuzz, tmp_path):
    assert fuzz(1, "file")["touched"] == [f"open {tmp_path.resolve() / 'outside'}"]


def test_memory_taken_beyond_the_limit_would_be_noticed(fuzz):
    taken = fuzz(1, "memory")["taken"]
    assert min(taken["VmPeak"], taken["VmHWM"]) > MEMORY


def test_an_error_that_is_no_reason_would_be_noticed(fuzz):
    failure = fuzz(50, "error")["failure"]
    assert failure.startswith("ZeroDivisionError")
