"""What the page on other libraries' readers shows is run, each with its own library."""

import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

APART = ("litdata", "nvidia.dali", "torch")
"""Libraries that start processes, or do not go with the settings of tests."""

LITDATA = 4
"""The number of its block, in which processes wait for each other."""

EXPECTED = {
    "webdataset": ["cats/0 (24, 32, 3)", "cats/4 (24, 32, 3)"],
    "torch": ["['cats/0', 'cats/1'] torch.Size([2, 3, 24, 32])", "['cats/4'] torch.Size([1"],
    "datasets": ["cats/0 (32, 24)", "cats/4 (32, 24)"],
    "nvidia.dali": ["[(24, 32, 3), (24, 32, 3)]"],
    "litdata": ["['cats/0', 'cats/1'] ["],
    "polars": ["shape: (3, 2)"],
    "pyarrow": ["5 {b'unit': b'dB'"],
}
"""What blocks print, by the library that they are of."""


def library_of(block):
    """The library that a block is of: the last that it imports, but webdataset beside another."""
    imported = re.findall(r"^(?:import|from) (nvidia\.dali|\w+)", block, re.MULTILINE)
    found = [name for name in imported if name not in {"glob", "urllib"}]
    return next((name for name in found if name != "webdataset"), "webdataset")


def is_installed(library):
    package, _, module = library.partition(".")
    return find_spec(package) is not None and (not module or find_spec(library) is not None)


@pytest.fixture
def run_here(faces, monkeypatch, capsys, tmp_path):
    """Runs a block in the folder of the run, and returns what it prints."""
    monkeypatch.chdir(faces)

    def inside(block):
        exec(compile(block, "a block of reading.md", "exec"), {"__name__": "__main__"})
        return capsys.readouterr().out

    def apart(block):
        file = tmp_path / "block.py"
        file.write_text(block, "utf-8")
        command = [sys.executable, str(file)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return lambda block: (apart if library_of(block) in APART else inside)(block)


@pytest.mark.filterwarnings("ignore")  # the libraries' own
@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=pytest.mark.slow if n == LITDATA else ()) for n in range(9)]
)
def test_a_block_reads_all_of_the_run(number, code_of, run_here, monkeypatch, tmp_path):
    block = code_of("reading.md")[number]
    library = library_of(block)
    assert (library == "litdata") == (number == LITDATA)
    if not is_installed(library):
        pytest.skip(f"{library} is not installed")
    if library == "datasets":
        import datasets

        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    told = run_here(block)
    if library == "duckdb":
        assert re.search(r"cats/\d(', -?\d| \(32, 24\))", told)
    else:
        assert [line for line in EXPECTED[library] if line not in told] == []


def test_every_block_is_run_and_every_library_is_of_the_version_that_is_named(code_of, repository):
    assert len(code_of("reading.md")) == 9
    assert {library_of(block) for block in code_of("reading.md")} == {*EXPECTED, "duckdb"}
    page = (repository / "infra" / "docs" / "reading.md").read_text("utf-8")
    pinned = dict(
        re.findall(r"^([\w.-]+)==(\S+)$", (repository / "constraints.txt").read_text(), re.M)
    )
    named = dict(re.findall(r"\b([Dd]?[\w]+) (\d+\.\d+(?:\.\d+)?)\b", page))
    for library, version in named.items():
        if library.lower() in pinned:
            assert pinned[library.lower()].startswith(version), library
    assert {name.lower() for name in named} >= {*EXPECTED, "duckdb"} - {"nvidia.dali"}
