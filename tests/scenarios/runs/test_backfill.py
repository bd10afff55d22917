"""The whole job end to end: what it leaves, and that a second run has nothing to do."""

import io
import itertools
import json
import tarfile

import httpx
import pyarrow.dataset
import pyarrow.parquet as pq
from PIL import Image

from flows.backfill import backfill
from tasks.io.shards import SHARD_ENDINGS

SIGNALS = ("alpha+0.00", "alpha+0.50", "codec", "codec_input", "input", "curve")
POINTS = 4
"""Alphas of the curve: −1, 0, 1, 2."""
ROWS = len(SIGNALS) - 1 + POINTS


def shards(folder, count, *endings):
    return {f"{folder}/shard-{i:06d}.{ending}" for i in range(count) for ending in endings}


def expected_files(operator, measure, choice):
    """Everything a run over shards of 3, 3 and 2 images leaves, its ledger aside."""
    clean = {"reference": 3, "tiny": 3, "natural": 2, "tiny.source": 2}
    files = {f"datasets/{name}/{table}.parquet" for name in clean for table in ("index", "shards")}
    for name, count in clean.items():
        files |= shards(f"datasets/{name}", count, *SHARD_ENDINGS)
    files |= shards("datasets/tiny/matches/reference", 3, "parquet")
    files |= {f"moments/tiny/selection-{choice}.json", f"operators/tiny/{operator}.safetensors"}
    for name in ("natural", "tiny.source"):
        files |= shards(f"moments/{name}/{measure}/{choice}", 2, "safetensors")
    for alpha in ("+0.00", "+0.50"):
        files |= shards(f"enhanced/tiny/{operator}/alpha={alpha}", 3, *SHARD_ENDINGS)
    for signal in SIGNALS:
        files |= shards(f"metrics/tiny/{operator}/{signal}", 3, "parquet")
        files |= {f"reports/tiny/{operator}/signals/{signal}.json"}
        if signal not in {"codec_input", "curve"}:  # their latents are measured nowhere
            files |= shards(f"features/tiny/{operator}/{signal}", 3, "safetensors")
    pages = ("report.html", "report.md", "run.json", "curve.png", "fidelity.parquet")
    files |= {f"reports/tiny/{operator}/{page}" for page in pages}
    return files | {"configurations/tiny.json", ".dotpipe", "reports/tiny/latest.html"}


def names_made(project):
    """The names of the operator, the measure and the choice, as they stand in the folders."""
    (operator,) = (project.workspace / "operators/tiny").iterdir()
    (measure,) = (project.workspace / "moments/natural").iterdir()
    (choice,) = measure.iterdir()
    return operator.stem, measure.name, choice.name


def size_of(image):
    with Image.open(image) as opened:
        return opened.size


def test_a_run_leaves_just_the_files_of_the_layout(backfilled):
    files = {name for name in backfilled.project.files() if not name.startswith("ledger/")}
    assert files == expected_files(*names_made(backfilled.project))


def test_every_file_is_vouched_for_by_one_record(backfilled):
    project, unvouched = backfilled.project, ("ledger/", "configurations/", ".dotpipe")
    assert project.vouch() == {name for name in project.files() if not name.startswith(unvouched)}


def test_enhanced_shards_have_the_keys_and_sizes_of_what_came_in(backfilled):
    project = backfilled.project
    operator, *_ = names_made(project)
    came_in = {
        path.relative_to(project.folder / "reference").with_suffix("").as_posix(): size_of(path)
        for path in (project.folder / "reference").rglob("*.png")
    }
    for alpha in ("+0.00", "+0.50"):
        enhanced = {}
        for tar in (project.workspace / f"enhanced/tiny/{operator}/alpha={alpha}").glob("*.tar"):
            with tarfile.open(tar) as archive:
                for info in archive:
                    image = io.BytesIO(archive.extractfile(info).read())
                    enhanced[info.name.removesuffix(".webp")] = size_of(image)
        assert enhanced == came_in


def test_the_metrics_are_one_table_with_a_row_for_every_image_and_signal(backfilled):
    operator, *_ = names_made(backfilled.project)
    folder = backfilled.project.workspace / "metrics/tiny" / operator
    rows = pyarrow.dataset.dataset(folder, partitioning="hive").to_table().to_pylist()
    assert len(rows) == len({(r["key"], r["signal"], r["alpha"]) for r in rows}) == 8 * ROWS
    assert {row["status"] for row in rows} == {"ok"}
    assert all(row["psnr"] > 0 for row in rows)


def test_the_report_exists_and_needs_nothing_but_itself(backfilled):
    operator, *_ = names_made(backfilled.project)
    folder = backfilled.project.workspace / "reports/tiny" / operator
    assert backfilled.address == str(folder / "report.html")
    page = (folder / "report.html").read_text("utf-8")
    assert "alpha 0.5" in page
    assert 'src="data:image/' in page
    assert 'src="http' not in page
    assert json.loads((folder / "run.json").read_text("utf-8"))["operator_name"] == operator
    summary = pq.read_table(folder / "fidelity.parquet").to_pylist()
    assert [row["images"] for row in summary] == [8] * ROWS


def test_each_step_says_how_many_shards_and_images_it_made(backfilled):
    assert {report.step: (report.made, report.images) for report in backfilled.reports} == {
        "shard reference": (3, 8),
        "shard natural": (2, 4),
        "restore tiny.source": (2, 4),
        "restore tiny": (3, 8),
        "measure latent patches": (4, 8),
        "enhance tiny": (3, 8),
        "score tiny": (0, 8),
        "fidelity": (6, 48),
    }


def test_progress_results_and_the_report_are_artifacts_in_prefect(backfilled):
    by_key = {artifact["key"]: artifact for artifact in backfilled.artifacts}
    assert {key: artifact["type"] for key, artifact in by_key.items()} == {
        "shard-reference": "progress",
        "shard-natural": "progress",
        "restore-tiny-source": "progress",
        "restore-tiny": "progress",
        "measure-latent-patches": "progress",
        "enhance-tiny": "progress",
        "score-tiny": "progress",
        "fidelity": "progress",
        "data-sets": "table",
        "restored-data-sets": "table",
        "restored-data-sets-devices": "table",
        "measured-patches": "table",
        "measured-patches-devices": "table",
        "transport-operator": "table",
        "enhanced-data-sets": "table",
        "enhanced-data-sets-devices": "table",
        "evaluation": "table",
        "metrics": "table",
        "report": "markdown",
    }
    assert by_key["enhance-tiny"]["data"] == 100.0
    assert by_key["enhance-tiny"]["description"].startswith(
        "enhance tiny: 8 images, 3 of 3 shards made, "
    )
    assert f"file://{backfilled.address}" in by_key["report"]["data"]
    rows = json.loads(by_key["metrics"]["data"])
    assert [(row["signal"], row["images"]) for row in rows][:2] == [("enhanced", 8)] * 2


def test_no_secret_of_the_environment_reaches_prefect(backfilled, server, secret):
    told = []
    for kind, order in (("flow_runs", "START_TIME_DESC"), ("task_runs", "END_TIME_DESC")):
        for offset in itertools.count(0, 200):  # other tests have left runs there too
            asked = {"sort": order, "limit": 200, "offset": offset}
            answer = httpx.post(f"{server}/api/{kind}/filter", json=asked).raise_for_status()
            told += answer.json()
            if len(answer.json()) < 200:
                break
    workspace = str(backfilled.project.workspace)
    given = [run["parameters"] for run in told if "parameters" in run]
    ours = [each for each in given if workspace in json.dumps(each)]
    assert len(ours) >= 6
    # of those that tests of blocks and of pushes have left there, too
    known = {"config", "keep", "operator", "shards", "queue", "address", "alphas"}
    assert set().union(*ours) <= known
    assert secret not in json.dumps([told, backfilled.artifacts])


def test_a_second_run_makes_nothing_and_writes_no_file(complete):
    before, bytes_before = complete.versions(), complete.files()
    reports, _ = backfill(complete.configure())
    assert [report.made for report in reports] == [0] * len(reports)
    assert {report.note for report in reports} == {"nothing to do"}
    assert complete.versions() == before
    assert complete.files() == bytes_before
