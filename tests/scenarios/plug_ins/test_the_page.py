"""The packages that infra/docs/plug-ins.md shows: installed from the page, and run."""

import io
import re
import tarfile
import tomllib
from pathlib import Path

import numpy as np
import polars
import pytest
import torch
import yaml
from PIL import Image
from scipy.fft import dctn
from scipy.ndimage import uniform_filter

from dot_kernels.degradations import degrade
from tasks.direct.operator_file import OperatorFile
from tasks.io.errors import ConfigurationError
from tasks.io.workspace import Signal, enhanced_folder
from tasks.library import FinishedRun
from tasks.restore.plan import plan_restoration
from tasks.upkeep.changes import change_of
from tasks.upkeep.check import check
from tasks.view.pictures import find_member, picture
from tasks.view.viewed import Viewed
from tests.support.pictures import images_of
from tests.support.standins.packages_on_path import installed

PAGE = Path(__file__).parents[3] / "infra" / "docs" / "plug-ins.md"
SECTIONS = {
    heading.rpartition(" ")[2]: text
    for heading, text in re.findall(
        r"^## (An? \w+(?: \w+)?)\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.M | re.DOTALL
    )
}


def block(kind: str, language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", SECTIONS[kind], re.M | re.DOTALL)
    return found


def as_another_version(kind: str) -> str:
    told = block(kind, "toml")
    return told.replace('version = "1.0"', 'version = "1.1"')


@pytest.fixture(scope="module")
def given(tmp_path_factory, write_images, pixels, softened):
    """Six natural images, and restored ones, of which a codec of 192 channels can be fitted."""
    folder = tmp_path_factory.mktemp("given")
    natural = {f"{i}.png": pixels(i, 96, 80) for i in range(6)}
    return {
        "natural": write_images(folder / "natural", natural),
        "restored": write_images(
            folder / "restored", {name: softened(image) for name, image in natural.items()}
        ),
    }


@pytest.fixture
def made(steps, given, tmp_path):
    """Makes the steps of the configuration that the page shows, on small images."""

    def make(kind, **more):
        tree = yaml.safe_load(block(kind, "yaml"))
        roles = tree.pop("corpora")
        corpora = {r: given["restored" if r == "restored" else "natural"] for r in roles}
        del tree["workspace"]
        return steps(tmp_path / "w", corpora, **tree, **more)

    return make


@pytest.mark.parametrize("kind", SECTIONS)
def test_a_package_is_twenty_lines_and_brings_what_its_section_says(kind):
    toml, code = block(kind, "toml"), block(kind, "python")
    lines = [line for line in (toml + code).splitlines() if line.strip()]
    assert len(lines) <= 20
    assert list(tomllib.loads(toml)["project"]["entry-points"]) == [f"dotpipe.{kind}s"]
    assert f"group `dotpipe.{kind}s`" in SECTIONS[kind]


def test_the_restorer_restores_and_its_next_version_restores_again(made, tmp_path):
    run = made("restorer")
    with installed(tmp_path / "site", block("restorer", "toml"), block("restorer", "python")):
        rows = run.run()
        assert {row["images"] for row in rows} == {6}
        clean = images_of(run, "reference")
        for key, restored in images_of(run).items():
            assert np.abs(restored - sharpened(clean[key], run.config.degrade)).max() <= 0.51
        assert to_restore(run) == [False, False]
    with installed(tmp_path / "site", as_another_version("restorer"), block("restorer", "python")):
        assert to_restore(run) == [True, True]


def sharpened(clean, degradations):
    """The example of the page by SciPy, of a degraded image, in levels."""
    image = torch.tensor(clean).movedim(-1, 0) / 255
    degraded = degrade(image, degradations, torch.Generator()).movedim(0, -1).double().numpy()
    mean = uniform_filter(degraded, (3, 3, 1), mode="mirror")
    return 255 * (degraded + 1.5 * (degraded - mean)).clip(0, 1)


def to_restore(run):
    config = run.config
    origin = config.made_datasets()[config.restored_name]
    units = plan_restoration(run.opened, origin, config.restored_name)
    return [unit.job is not None for unit in units]


def test_the_codec_is_the_cosine_transform_and_its_operator_can_be_applied(made, tmp_path, rng):
    run = made("codec")
    with installed(tmp_path / "site", block("codec", "toml"), block("codec", "python")):
        rows = run.run()
        distances = {(row["signal"], row["alpha"]): row["gelbrich"] for row in rows}
        assert distances["enhanced", 0.0] < 0.5 * distances["input", None]
        path = run.workspace.store.local(f"operators/run/{run.operator}.safetensors")
        file = OperatorFile.load(path, device="cpu")
        images = torch.rand(1, 3, 16, 24, generator=rng)
        latents = file.codec.encode(images)
        block_of = images[0, 1, 8:, 16:].double().numpy()
        expected = torch.from_numpy(dctn(block_of, norm="ortho")).flatten().float()
        torch.testing.assert_close(latents[0, 64:128, 1, 2], expected)
        torch.testing.assert_close(file.codec.decode(latents), images)
        assert made("codec").enhancement_jobs() == []
    with (
        installed(tmp_path / "site", as_another_version("codec"), block("codec", "python")),
        pytest.raises(ConfigurationError, match=r"codec.entry must be of version 1.0, got"),
    ):
        OperatorFile.load(path, device="cpu")


def test_the_metric_is_in_the_tables_and_its_next_version_measures_again(made, tmp_path):
    run = made("metric")
    with installed(tmp_path / "site", block("metric", "toml"), block("metric", "python")):
        rows = {(row["signal"], row["alpha"]): row for row in run.run()}
        folder = run.workspace.store.local(f"metrics/run/{run.operator}/input")
        tables = [polars.read_parquet(path) for path in sorted(folder.glob("*.parquet"))]
        found = dict(polars.concat(tables).select("key", "plug_in_colourfulness").iter_rows())
        for key, image in images_of(run).items():
            assert found[key] == pytest.approx(colourfulness(image), rel=1e-3)
        mean = sum(found.values()) / 6
        assert rows["input", None]["plug_in_colourfulness"] == pytest.approx(mean)
        report = run.workspace.store.read(f"reports/run/{run.operator}/report.md").decode()
        assert "colourfulness ↑" in report
        assert run.enhancement_jobs() == []
    with installed(tmp_path / "site", as_another_version("metric"), block("metric", "python")):
        jobs = run.enhancement_jobs()
        assert [len(job.enhanced) for job in jobs] == [0, 0]  # only measured again


def colourfulness(levels):
    """Hasler and Süsstrunk 2003, of an image (h, w, 3)."""
    red, green, blue = levels.astype(float).transpose(2, 0, 1)
    first, second = red - green, (red + green) / 2 - blue
    spread = np.hypot(first.std(), second.std())
    return spread + 0.3 * np.hypot(first.mean(), second.mean())


def test_the_format_is_written_and_shown_and_its_next_version_writes_again(made, tmp_path):
    run = made("format")
    with installed(tmp_path / "site", block("format", "toml"), block("format", "python")):
        run.run()
        folder = enhanced_folder("run", run.fitted.results, Signal("enhanced", 0.5))
        with tarfile.open(run.workspace.store.local(f"{folder}/shard-000000.tar")) as archive:
            names = archive.getnames()
            first = np.asarray(Image.open(archive.extractfile(names[0]), formats=["PPM"]))
        assert names == ["0.ppm", "1.ppm", "2.ppm"]
        report = run.workspace.store.read(f"reports/run/{run.operator}/report.html").decode()
        assert "plug-in:ppm, as its package writes it" in report
        assert report.count("alpha 0.5</figcaption>") == report.count("input x*</figcaption>") > 0
        viewed = Viewed.of(run.config)
        shown = picture(viewed, find_member(viewed, viewed.version("+0.50"), "shard-000000", "0"))
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(shown.data))), first)
        read = FinishedRun.of(run.config)
        assert {file.extension for file in read.files(0.5)} == {"ppm"}
        assert {file.extension for file in read.files("input")} == {"png"}
        seen = next(read.images(0.5))
        assert (seen.key, seen.file_format) == ("0", "plug-in:ppm")
        assert np.array_equal(seen.pixels, first)
        assert np.array_equal(read.image("0", 0.5).pixels, first)
        assert next(read.images("input")).file_format == "png"
        assert run.enhancement_jobs() == []
    with installed(tmp_path / "site", as_another_version("format"), block("format", "python")):
        jobs = run.enhancement_jobs()
        assert [len(job.enhanced) for job in jobs] == [3, 3]
        said = change_of(jobs[0].enhanced[0].target, run.workspace.ledger)
        assert said == "the package of enhance.format changed"
    assert Viewed.of(run.config).shards  # the table of a page can be seen without the package


@pytest.mark.parametrize("kind", ["restorer", "codec", "metric", "format"])
def test_without_the_package_the_check_says_so_in_a_sentence(made, kind):
    (bad,) = [each for each in check(made(kind).config) if each.state == "bad"]
    group = f"dotpipe.{kind}s"
    assert re.search(rf"must name a {kind} that an installed package brings .*{group}", bad.said)
    assert "none is installed; install its package" in bad.said
