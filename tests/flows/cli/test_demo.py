"""The demonstration, as a user runs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from flows.cli.demo import TILE, write_demo
from tasks.config import load_config
from tasks.io.errors import ConfigurationError

RECORDS = Path(__file__).with_name("records_of_the_demo.txt")
"""What a release has left in the ledger of the demo, record by record."""

DOTPIPE = Path(sys.executable).with_name("dotpipe")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of a demo that has not been run."""
    folder = tmp_path_factory.mktemp("demo") / "here"
    write_demo(folder)
    return folder


def test_the_demo_is_tiles_of_photographs_and_a_configuration_that_names_them(written):
    config = load_config(written / "demo.yaml")
    tiles = {}
    for role in ("natural", "reference"):
        folder = Path(getattr(config.corpora, role).path)
        tiles[role] = sorted(folder.rglob("*.png"))
    assert {role: len(found) for role, found in tiles.items()} == {"natural": 43, "reference": 37}
    for tile in (*tiles["natural"], *tiles["reference"]):
        with Image.open(tile) as image:
            assert (image.size, image.mode) == ((TILE, TILE), "RGB")


def test_what_is_there_is_kept(written):
    file = written / "demo.yaml"
    changed = file.read_text("utf-8").replace("factor: 8", "factor: 4")
    file.write_text(changed, "utf-8")
    times = {path: path.stat().st_mtime_ns for path in written.rglob("*.png")}
    assert write_demo(written) == file
    assert file.read_text("utf-8") == changed
    assert {path: path.stat().st_mtime_ns for path in written.rglob("*.png")} == times


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "demo").write_text("")
    with pytest.raises(ConfigurationError, match="the demo needs a folder, got the file"):
        write_demo(tmp_path / "demo")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the commands are run."""
    return tmp_path_factory.mktemp("user")


@pytest.fixture(scope="module")
def dotpipe(folder, shell):
    """Runs the command as a user does; returns the lines of its output and of its errors."""

    def run(*words, server=None):
        done = subprocess.run(
            [DOTPIPE, *words],
            cwd=folder,
            env=shell(folder / "prefect", server),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines(), done.stderr.splitlines()

    return run


ENDED = re.compile(
    r"\d\d:\d\d:\d\d [a-z. ]{3,24}: ended after \d:\d\d:\d\d, "
    r"(done|nothing to do, \d+ images|\d of \d shards made, \d+ images, [\d.]+ images/s)"
)


@pytest.fixture(scope="module")
def told(dotpipe):
    """What the demo has printed."""
    return dotpipe("demo")


def test_the_demo_prints_its_steps_a_table_and_the_report_and_does_nothing_twice(
    told, dotpipe, folder, server
):
    out, err = told
    checking, starting, log, dashboard, *steps = err
    assert (checking, starting) == ("checking", "starting Prefect")
    assert Path(log.removeprefix("log: ")).is_file()
    assert "dashboard while this runs: http://127.0.0.1:" in dashboard
    begun = [line for line in steps if ": begins" in line]
    ended = [line for line in steps if ENDED.fullmatch(line)]
    assert (len(begun), len(ended), len(steps)) == (17, 17, 34)
    assert re.fullmatch(r"alpha 0: Gelbrich −\d+ %, PSNR −0\.\d dB against the input\.", out[0])
    assert out[2] == "The operator was fitted on none of the measured images."
    assert out[3].strip() == "demo"
    table = [line for line in out if line.startswith("│")]
    alphas = [f"alpha {alpha}" for alpha in ("0", "0.25", "0.5", "0.75", "1")]
    labels = [line.split("│")[1].strip() for line in table]
    changes = [*alphas, "codec", "codec_input"]  # against the input
    assert labels == [*alphas, "input", "codec", "codec_input", *changes]
    report = out[-1].removeprefix("report: ")
    assert report.endswith("/report.html")
    assert Path(folder, report).is_file()

    again, err = dotpipe("run", "demo/demo.yaml", server=server)
    assert err == []  # no server is needed to see that nothing is left to do
    assert [line for line in again if line.startswith("│")] == table
    assert again[-2:] == ["nothing to do: every shard of every step is done", out[-1]]


def test_a_workspace_of_an_earlier_release_needs_nothing_made_again(told, folder):
    """Fingerprints, which say what is done, and bytes are those of the release of these versions.

    Where a version in ``tasks.io.ledger.versions`` is raised, the records are written anew.
    Those of given images hold their paths and times, and a report holds paths. Sums of
    floating-point numbers, from the moments on, depend on the processor and its threads.
    """
    ledger = folder / "demo" / "workspace" / "ledger"
    paths = sorted(path.relative_to(ledger).as_posix() for path in ledger.rglob("*.json"))
    own = re.compile(r"(?<=^datasets/)((?:natural|reference)/shard-\d+)@\w+")
    made = [own.sub(r"\1", path.removesuffix(".json")) for path in paths if "/report@" not in path]
    known = RECORDS.read_text("utf-8").splitlines()
    if (torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()) != ("AVX512", 2):
        known, made = ([one for one in each if "datasets/" in one] for each in (known, made))
    assert made == known
