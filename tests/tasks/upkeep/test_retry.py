"""Refused images are tried again, all or those with a reason."""

import shutil

import pytest

from tasks.pipeline import is_finished
from tasks.upkeep.retry import find_refusals, withdraw_refusals

NO_IMAGE = "no image in one of the formats JPEG, PNG, WebP, TIFF, BMP, AVIF, HEIC, JPEG XL"


@pytest.fixture
def run(tmp_path, steps, pixels, write_images):
    images = {f"{i}.png": pixels(i) for i in range(6)} | {"2.png": b"no image", "4.png": b""}
    folder = write_images(tmp_path / "images", images)
    whole = steps(
        tmp_path / "workspace",
        {"restored": folder, "natural": folder},
        shards={"images": 3, "max_bad_fraction": 0.5},
    )
    whole.run()
    return whole


def test_refusals_are_found_by_artifact_and_reason(run):
    found = {each.record.artifact: each.reasons for each in find_refusals(run.config)}
    assert found == {
        f"datasets/{name}/shard-00000{number}": reasons
        for name in ("natural", "run")
        for number, reasons in (
            (
                0,
                {NO_IMAGE: 1},
            ),
            (1, {"empty file": 1}),
        )
    }
    chosen = find_refusals(run.config, "empty")
    assert {each.record.artifact for each in chosen} == {
        "datasets/natural/shard-000001",
        "datasets/run/shard-000001",
    }


def test_an_image_that_was_mended_in_place_comes_in(run, pixels, write_images, tmp_path):
    write_images(tmp_path / "images", {"4.png": pixels(4)})
    tried = withdraw_refusals(run.config, list(find_refusals(run.config)))
    assert tried == {
        NO_IMAGE: 2,
        "empty file": 2,
    }
    run.run()
    rows = run.workspace.shard_index("run", "shard-000001").to_pylist()
    assert [row["status"] for row in rows] == ["ok", "ok", "ok"]


def test_trying_again_in_vain_redoes_nothing_further(run):
    root = run.workspace.store.local("enhanced")
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.tar")}
    withdraw_refusals(run.config, list(find_refusals(run.config)))
    assert not is_finished(run.config)
    run.run()
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*.tar")} == before
    assert is_finished(run.config)


def test_an_image_counts_once_however_many_artifacts_left_it_out(
    tmp_path, steps, photographs, write_images
):
    restored = shutil.copytree(photographs["restored"], tmp_path / "restored")
    whole = (restored / "a" / "0.png").read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF  # the header is right, so the intake takes it
    write_images(restored, {"a/0.png": bytes(damaged)})
    corpora = {"restored": restored, "natural": photographs["natural"]}
    run = steps(tmp_path / "workspace", corpora, shards={"max_bad_fraction": 0.5})
    run.run()
    found = list(find_refusals(run.config))
    assert len(found) > 3
    assert withdraw_refusals(run.config, found) == {"damaged": 1}
