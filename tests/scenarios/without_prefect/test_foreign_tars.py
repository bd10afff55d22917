"""From somebody else's tars to enhanced ones: keys, images and what is known of them."""

import hashlib
import io
import json
import os
import subprocess
import tarfile

import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks.io.errors import ImageRefused
from tasks.io.images import Limits
from tasks.io.shards import INDEX_SCHEMA, member_name, members_of, read_members
from tests.support.pictures import decode

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 20)
KEYS = (
    "plain",
    "a.b/c 1",
    "Ελληνικά/εικόνα",
    "עברית/תמונה",
    "हिन्दी/चित्र",
    "日本語/写真",
    "emoji/👩‍👩‍👧",
    "k" * 1000,
    "字" * 1000,
    "per%cent",
)
BAD = "refused"


def side_of(key):
    return json.dumps({"caption": key}).encode()


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def foreign(tmp_path, pixels, softened):
    """Writes a restored and a natural corpus as tars; every key has JSON, one image is bad."""

    def write(name, change):
        with tarfile.open(tmp_path / f"{name}-0.tar", "w", format=tarfile.PAX_FORMAT) as archive:
            for number, key in enumerate((*KEYS, BAD)):
                image = png(change(pixels(number))) if key != BAD else b"no image"
                for ending, data in (("png", image), ("json", side_of(key))):
                    info = tarfile.TarInfo(f"{key}.{ending}")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
        return str(tmp_path / f"{name}-{{0..0}}.tar")

    return {"restored": write("restored", softened), "natural": write("natural", lambda x: x)}


@pytest.fixture
def run(tmp_path, steps, foreign):
    whole = steps(tmp_path / "workspace", foreign, shards={"max_bad_fraction": 0.2})
    whole.shard()
    whole.fit()
    whole.enhance()
    return whole


def shards_of(run):
    """The tars of a data set and of an enhanced one."""
    local = run.workspace.store.local()
    return [
        next(local.glob("datasets/run/*.tar")),
        next(local.glob(f"enhanced/run/{run.operator}/alpha=+0.50/*.tar")),
    ]


def test_what_is_known_of_images_goes_with_them_into_every_tar_and_its_index(run):
    for tar in shards_of(run):
        table = pq.read_table(tar.with_suffix(".parquet"))
        assert table.schema.names == INDEX_SCHEMA.names
        data = tar.read_bytes()
        rows = {row["key"]: row for row in table.to_pylist()}
        for key in KEYS:
            row = rows[key]
            image = data[row["offset"] : row["offset"] + row["size"]]
            assert row["status"] == "ok"
            assert hashlib.sha256(image).hexdigest() == row["sha256"]
            assert decode(image, LIMITS).shape == (row["height"], row["width"], 3)
            side = data[row["side_offset"] : row["side_offset"] + row["side_size"]]
            assert side == side_of(key)


def test_the_index_for_dali_of_every_tar_points_at_its_members(run):
    for tar in shards_of(run):
        with tarfile.open(tar, "r:") as archive:
            places = {info.name: (info.offset_data, info.size) for info in archive.getmembers()}
        first, *lines = tar.with_suffix(".idx").read_text("utf-8").splitlines()
        assert first == f"v1.2 {len(KEYS)}"
        fields = [field for line in lines for field in line.split()]
        named = zip(fields[3::4], fields[1::4], fields[2::4], strict=True)
        found = {name.replace("%20", " "): (int(start), int(size)) for name, start, size in named}
        assert found == places


@pytest.mark.filterwarnings("ignore")  # webdataset's own
def test_webdataset_reads_every_tar(run):
    import webdataset

    for tar, ending in zip(shards_of(run), ("png", "webp"), strict=True):
        samples = {s["__key__"]: s for s in webdataset.WebDataset(str(tar), shardshuffle=False)}
        assert set(samples) == {member_name(key, "x").removesuffix(".x") for key in KEYS}
        for key in KEYS:
            sample = samples[member_name(key, "x").removesuffix(".x")]
            assert sample["json"] == side_of(key)
            assert decode(sample[ending], LIMITS).shape == (24, 32, 3)


def test_hugging_face_datasets_stream_every_tar(run, tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    for tar, ending in zip(shards_of(run), ("png", "webp"), strict=True):
        rows = datasets.load_dataset(
            "webdataset",
            data_files=str(tar),
            split="train",
            streaming=True,
            cache_dir=str(tmp_path / "cache"),
        )
        found = {row["__key__"]: (row["json"]["caption"], row[ending].size) for row in rows}
        expected = {member_name(key, "x").removesuffix(".x"): (key, (32, 24)) for key in KEYS}
        assert found == expected


def test_plain_tar_lists_every_tar(run):
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    for tar, ending in zip(shards_of(run), ("png", "webp"), strict=True):
        command = ["tar", "--quoting-style=literal", "-tf", tar]
        listed = subprocess.run(command, capture_output=True, check=True, env=environment)
        assert listed.stderr == b""
        names = [member_name(key, end) for key in sorted(KEYS) for end in (ending, "json")]
        assert listed.stdout.decode().splitlines() == names


def test_restored_images_carry_what_is_known_of_the_clean_ones(tmp_path, steps, foreign):
    whole = steps(
        tmp_path / "restoring",
        {"reference": foreign["natural"]},
        degrade=[{"kind": "noise", "sigma": 0.1}],
        restore={"kind": "non-local-means"},
        shards={"max_bad_fraction": 0.2},
    )
    whole.shard()
    (tar,) = whole.workspace.store.local("datasets/run").glob("*.tar")
    with tarfile.open(tar) as archive:
        for key in KEYS:
            assert archive.extractfile(member_name(key, "json")).read() == side_of(key)


def test_an_image_that_is_not_enhanced_is_a_row_of_the_enhanced_index(
    tmp_path, steps, foreign, monkeypatch
):
    whole = steps(tmp_path / "half", foreign, shards={"max_bad_fraction": 0.2})
    whole.shard()
    whole.fit()
    tar = next(whole.workspace.store.local("datasets/run").glob("*.tar"))
    table = pq.read_table(tar.with_suffix(".parquet"))
    (plain,) = (member for member in members_of(table, "datasets/run") if member.key == "plain")
    ((_, data),) = read_members(whole.workspace.store, [plain])

    def refusing(image, limits):  # as a later version of the decoder may
        if image == data:
            raise ImageRefused("no image in one of the formats")
        return decode(image, limits)

    monkeypatch.setattr("tasks.io.shards.loader.decode", refusing)
    whole.enhance()
    enhanced = shards_of(whole)[1]
    rows = {row["key"]: row for row in pq.read_table(enhanced.with_suffix(".parquet")).to_pylist()}
    assert list(rows) == sorted(KEYS)
    assert rows["plain"]["status"] == "refused"
    assert rows["plain"]["reason"].startswith("no image in one of the formats")
    assert rows["plain"]["offset"] is None
    with tarfile.open(enhanced) as archive:
        assert len(archive.getnames()) == 2 * len(KEYS) - 2
