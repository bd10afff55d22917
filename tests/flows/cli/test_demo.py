"""The demonstration, as a user runs it."""

import hashlib
import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import conv2d

from flows.cli.demo import NATURAL, REFERENCE, write_demo
from tasks.config import load_config
from tasks.io.errors import ConfigurationError
from tasks.io.networks.features.perceptual import load_lpips

RECORDS = Path(__file__).with_name("records_of_the_demo.txt")
"""What a release has left in the ledger of the demo, record by record."""

DOTPIPE = Path(sys.executable).with_name("dotpipe")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of a demo that has not been run."""
    folder = tmp_path_factory.mktemp("demo") / "here"
    write_demo(folder)
    return folder


def test_the_demo_is_whole_photographs_and_a_configuration_that_names_them(written):
    config = load_config(written / "demo.yaml")
    for role, names in (("natural", NATURAL), ("reference", REFERENCE)):
        folder = Path(getattr(config.corpora, role).path)
        assert sorted(path.name for path in folder.iterdir()) == sorted(names)
        for name in names:
            with Image.open(folder / name) as image:
                assert min(image.size) >= 300
    assert not set(NATURAL) & set(REFERENCE)


def test_what_is_there_is_kept(written):
    file = written / "demo.yaml"
    changed = file.read_text("utf-8").replace("size: 7", "size: 5")
    file.write_text(changed, "utf-8")
    photographs = list(written.rglob("photographs/*/*"))
    times = {path: path.stat().st_mtime_ns for path in photographs}
    assert write_demo(written) == file
    assert file.read_text("utf-8") == changed
    assert {path: path.stat().st_mtime_ns for path in photographs} == times


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


BETWEEN = re.compile(
    r"\d\d:\d\d:\d\d [a-z. ]{3,24}: "
    r"(\d+ of \d+ images.*|the map of \d+ dimensions|at work for \d:\d\d:\d\d)"
)
"""A line of a step that has been at work for a minute, as on a busy machine."""


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
    assert (len(begun), len(ended)) == (17, 17)
    between = [line for line in steps if line not in begun and line not in ended]
    assert all(BETWEEN.fullmatch(line) for line in between), between
    assert re.fullmatch(r"alpha 0: PSNR \+\d\.\d dB, Gelbrich −\d+ % against the input\.", out[0])
    assert out[2] == "The operator was fitted on none of the measured images."
    assert out[3].strip() == "demo"
    table = [line for line in out if line.startswith("│")]
    alphas = ["alpha 0", "alpha 0.5"]
    labels = [line.split("│")[1].strip() for line in table]
    assert labels == [*alphas, "input", *alphas]  # results, and their changes against the input
    report = out[-1].removeprefix("report: ")
    assert report.endswith("/report.html")
    assert Path(folder, report).is_file()

    again, err = dotpipe("run", "demo/demo.yaml", server=server)
    assert err == []  # no server is needed to see that nothing is left to do
    assert [line for line in again if line.startswith("│")] == table
    assert again[-2:] == ["nothing to do: every shard of every step is done", out[-1]]


def photographs(shards):
    """The images (3, h, w) in [0, 1] of a folder of shards, by their names without extension."""
    found = {}
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                key, _, ending = member.name.partition(".")
                if ending in ("png", "webp"):
                    image = Image.open(io.BytesIO(tar.extractfile(member).read())).convert("RGB")
                    found[key] = torch.from_numpy(np.array(image)).movedim(2, 0) / 255
    assert set(found) == {Path(name).stem for name in REFERENCE}
    return found


@pytest.fixture(scope="module")
def made(told, folder):
    """The photographs, as they are, as they came, and fully transported."""
    workspace = folder / "demo" / "workspace"
    (enhanced,) = workspace.glob("enhanced/demo/*/alpha=+0.00")
    datasets = workspace / "datasets"
    return [photographs(each) for each in (datasets / "reference", datasets / "demo", enhanced)]


def step_across_blocks(images):
    """The mean step between neighbours of two blocks of 2 x 2 pixels, over that inside blocks."""
    inside, across = [], []
    for image in images:
        for turned in (image, image.mT):
            steps = turned.diff(dim=2).abs()
            inside.append(steps[..., 0::2].mean())
            across.append(steps[..., 1::2].mean())
    return float(sum(across) / sum(inside))


def test_enhanced_photographs_of_the_demo_show_no_grid(made):
    _, came, enhanced = made
    assert step_across_blocks(came.values()) > 1.2  # as interpolation has it
    assert step_across_blocks(enhanced.values()) == pytest.approx(1, abs=0.02)


def test_enhanced_photographs_of_the_demo_are_far_nearer_to_the_truth_in_lpips(
    made, test_data, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(test_data / "weights/torch_home"))
    network = load_lpips("squeeze", "cpu")
    before, after = 0.0, 0.0
    for truth, came, enhanced in zip(*(each.values() for each in made), strict=True):
        distance = network(truth[None])
        before += float(distance(came[None]).mean())
        after += float(distance(enhanced[None]).mean())
    assert after < 0.6 * before


def arithmetic():
    """How this processor sums, as a digest: libraries choose an order by its kind."""
    waves = torch.arange(4096 * 108, dtype=torch.float64).reshape(4096, 108).sin()
    digest = hashlib.sha256((waves.mT @ waves).numpy().tobytes())
    image = waves.float()[None, None]
    for kind in (image, image.double()):
        seen = conv2d(kind, kind[..., :11, :11]).exp()
        digest.update(seen.numpy().tobytes() + seen.mean().numpy().tobytes())
    return f"arithmetic {digest.hexdigest()[:16]} on {torch.get_num_threads()} threads"


def before_sums(records):
    """What no sum moves of records: all of data sets, and what moments are made from."""
    first = [one for one in records if one.startswith(("datasets/", "moments/"))]
    return [re.sub(r"^(moments/.*)=\w+", r"\1", one) for one in first]


def _as_before(record):
    """A record as versions before folders of choices called it, whose fingerprints have no such."""
    record = re.sub(r"^(moments/\w+(?:\.source)?/[0-9a-f]{16})/[0-9a-f]{8}/", r"\1/", record)
    # The digest of a selection is of its file's name too.
    return re.sub(r"^(moments/\w+/selection)(?:-[0-9a-f]{8})?@(\w+)=\w+", r"\1@\2", record)


def test_a_workspace_of_an_earlier_release_needs_nothing_made_again(told, folder):
    """Fingerprints, which say what is done, and bytes are those of the release of these versions.

    Where a version in ``tasks.io.ledger.versions`` is raised, the records are written anew.
    Those of given images hold their paths and times, and a report holds paths. Sums of
    floating-point numbers depend on the processor and its threads, so where these are others
    than when the records were written, all is compared but what follows from moments.
    """
    ledger = folder / "demo" / "workspace" / "ledger"
    paths = sorted(path.relative_to(ledger).as_posix() for path in ledger.rglob("*.json"))
    own = re.compile(r"(?<=^datasets/)((?:natural|reference)/shard-\d+)@\w+")
    made = [own.sub(r"\1", path.removesuffix(".json")) for path in paths if "/report@" not in path]
    made = [_as_before(each) for each in made]
    written_with, *known = map(_as_before, RECORDS.read_text("utf-8").splitlines())
    if written_with != arithmetic():
        known, made = before_sums(known), before_sums(made)
    assert made == known
