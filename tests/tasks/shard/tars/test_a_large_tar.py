"""One tar, read as one and by parts: the same images, tables and numbers come out of both."""

import io
import json
import tarfile

import pyarrow.parquet as pq
import pytest
from PIL import Image
from tars.odd_tars import tar_of

from tasks.export.images import images_of as images_to_export
from tasks.io.shards import members_of, read_members, read_sides

SIDE = json.dumps({"caption": "日本"}).encode()
OF_PLACES = {"shard", "offset", "side_offset", "txt_offset", "cls_offset", "fingerprint"}
"""Columns that say where something lies, or what a shard is made from: all that may differ."""


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def members(draw):
    """Names and bytes of an own sort for each case; ``draw`` gives the image of a number."""
    long, odd = "n" * 180, "写真/日本"
    first = [(f"a/{n}.{end}", d) for n in range(5) for end, d in (("png", draw(n)), ("txt", b"c"))]
    second = [
        ("loose.json", SIDE),
        (f"{long}.png", draw(5)),
        (f"{long}.json", SIDE),
        ("a/1.png", draw(6)),  # again: refused
        (f"{odd}.png", draw(7)),
        ("e\u0301.png", draw(8)),
        ("bad.png", b"no image"),
    ]
    third = [
        ("\u00e9.png", draw(9)),  # in another part than the same in its other form
        ("loose.png", draw(10)),
        ("a/0.json", SIDE),  # far from its image
        ("x/../up.png", draw(11)),  # refused for its name
        ("a/2.txt", b"second caption"),  # too many of a kind
        ("u\u0308.png", draw(12)),
        (f"{odd}.cls", b"7"),
    ]
    return first, second, third


def write(path, draw):
    """Write a tar of three archives in a row: USTAR, GNU and PAX."""
    formats = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    path.write_bytes(b"".join(map(tar_of, members(draw), formats)))
    return str(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory, steps, pixels, softened):
    """Whole runs over the same tars, as one and by parts, and the rows of their summaries."""
    folder = tmp_path_factory.mktemp("large")
    corpora = {
        "restored": write(folder / "restored.tar", lambda seed: png(softened(pixels(seed)))),
        "reference": write(folder / "reference.tar", lambda seed: png(pixels(seed))),
    }
    made = {}
    for name, above in (("one", None), ("parts", 1)):
        options = {"images": 2, "max_bad_fraction": 0.5, "cut_tars_above": above}
        made[name] = steps(folder / name, corpora, shards=options)
        made[f"rows of {name}"] = made[name].run()
    return made


def rows_of(run, folder, pattern):
    """Rows of all tables below a folder, without places, in one order."""
    found = []
    for path in run.workspace.store.local(folder).glob(pattern):
        table = pq.read_table(path, partitioning=None)
        kept = [name for name in table.column_names if name not in OF_PLACES]
        found += table.select(kept).to_pylist()
    return sorted(found, key=str)


def images_of(run, folder):
    """Bytes of all images with what stands beside them, by their folder and key."""
    store, found = run.workspace.store, {}
    for path in run.workspace.store.local(folder).glob("**/shard-*.tar"):
        below = str(path.parent.relative_to(store.local()))
        members = members_of(pq.read_table(path.with_suffix(".parquet"), partitioning=None), below)
        sides = read_sides(store, members)
        for member, data in read_members(store, members):
            found[below.replace(run.operator, ""), member.key] = (data, sides.get(member.key))
    return found


def test_images_tables_and_numbers_do_not_depend_on_cuts(made):
    one, parts = made["one"], made["parts"]
    assert len(list(one.workspace.store.local("datasets/run").glob("*.tar"))) == 1
    assert len(list(parts.workspace.store.local("datasets/run").glob("*.tar"))) > 4
    for dataset in ("run", "reference"):
        rows = rows_of(parts, f"datasets/{dataset}", "index.parquet")
        assert rows == rows_of(one, f"datasets/{dataset}", "index.parquet")
        assert images_of(parts, f"datasets/{dataset}") == images_of(one, f"datasets/{dataset}")
    assert [row["status"] for row in rows].count("ok") == 11
    assert [row["status"] for row in rows].count("refused") == 3
    assert images_of(parts, "enhanced") == images_of(one, "enhanced")
    assert len(images_of(parts, "enhanced")) == 3 * 11
    metrics = rows_of(parts, "metrics", "**/shard-*.parquet")
    assert metrics == rows_of(one, "metrics", "**/shard-*.parquet")
    assert sum(row["psnr"] is not None for row in metrics) >= 3 * 11
    for ours, theirs in zip(made["rows of parts"], made["rows of one"], strict=True):
        for column, value in theirs.items():
            # sums over images are added shard by shard, which moves last bits
            is_sum = isinstance(value, float)
            expected = pytest.approx(value, rel=1e-5, abs=1e-7, nan_ok=True) if is_sum else value
            assert ours[column] == expected, column


def test_captions_and_the_like_are_found_wherever_they_stand(made):
    sides = {
        key: sides for (_, key), (_, sides) in images_of(made["parts"], "datasets/run").items()
    }
    assert sides["loose"] == {"json": SIDE}
    assert sides["a/0"] == {"json": SIDE, "txt": b"c"}
    assert "txt" not in (sides["a/2"] or {})
    assert sides["写真/日本"] == {"cls": b"7"}
    assert {"e\u0301", "\u00e9", "\u00fc"} <= sides.keys()


def test_an_export_names_the_files_as_if_the_tar_had_been_unpacked(made):
    for name in ("one", "parts"):
        run, named = made[name], set()
        enhanced = f"enhanced/run/{run.operator}/alpha=+0.50"
        for path in run.workspace.store.local(enhanced).glob("shard-*.tar"):
            images = images_to_export(run.workspace, "run", enhanced, path.stem, None)
            named.update(image.path for image in images)
        assert {"restored/a/0.webp", "restored/写真/日本.webp"} <= named
        assert len(named) == 11
