"""The demonstration, as a user runs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from flows.cli.demo import TILE, write_demo
from tasks.config import load_config
from tasks.io.errors import ConfigurationError

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


@pytest.fixture
def dotpipe(tmp_path, shell):
    """Runs the command as a user does; returns the lines of its output and of its errors."""

    def run(*words, server=None):
        done = subprocess.run(
            [DOTPIPE, *words],
            cwd=tmp_path,
            env=shell(tmp_path / "prefect", server),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines(), done.stderr.splitlines()

    return run


BAR = re.compile(r"[a-z. ]{3,24} [━╸╺ ]* *\d+/\d+ *images \d:\d\d:\d\d .*(made|nothing to do)")


def test_the_demo_prints_bars_a_table_and_the_report_and_does_nothing_twice(
    dotpipe, tmp_path, server
):
    out, err = dotpipe("demo")
    dashboard, *bars = err
    assert dashboard.startswith("dashboard while this runs: http://127.0.0.1:")
    assert len(bars) == 8
    assert all(BAR.fullmatch(bar.rstrip()) for bar in bars)
    assert out[0].strip() == "demo"
    table = [line for line in out if line.startswith("│")]
    alphas = [f"alpha {alpha}" for alpha in ("0", "0.25", "0.5", "0.75", "1")]
    labels = [line.split("│")[1].strip() for line in table]
    assert labels == [*alphas, "input", "codec", "codec_input"]
    report = out[-1].removeprefix("report: ")
    assert report.endswith("/report.html")
    assert Path(tmp_path, report).is_file()

    again, err = dotpipe("run", "demo/demo.yaml", server=server)
    assert err == []  # no server is needed to see that nothing is left to do
    assert [line for line in again if line.startswith("│")] == table
    assert again[-2:] == ["nothing to do: every shard of every step is done", out[-1]]
