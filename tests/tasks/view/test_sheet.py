"""The sheet: any column filters and sorts, pages are parts of one answer, all as in the tables."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.enhance.enhance import write_enhanced
from tasks.io.errors import ArtifactDamaged, ConfigurationError, StepMissing
from tasks.view.query import PageAsked
from tasks.view.sheet import Sheet
from tasks.view.viewed import Viewed, score_table


@pytest.fixture
def sheet(viewed):
    return Sheet(viewed)


def ask(at="+0.00", against="", start=0, count=50, **question):
    text = {"question": {"at": at, "against": against, **question}, "start": start, "count": count}
    return PageAsked.parse(json.dumps(text))


@pytest.fixture
def table(finished):
    """The rows of the metric tables of a signal, read by another reader, in the order of shards."""

    def read(signal):
        folder = f"metrics/run/{finished.operator}/{signal}"
        local = finished.workspace.store.local(folder)
        return pa.concat_tables(map(pq.read_table, sorted(local.glob("*.parquet")))).to_pylist()

    return read


def keys(page):
    return [row["key"] for row in page.rows]


def test_without_a_question_images_come_as_in_the_shards(sheet, table):
    page = sheet.page(ask())
    assert (page.total, page.start) == (8, 0)
    expected = table("alpha+0.00")
    assert keys(page) == [row["key"] for row in expected]
    assert [row["psnr"] for row in page.rows] == [row["psnr"] for row in expected]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("column", ["psnr", "ssim", "key", "width"])
def test_any_column_sorts(sheet, table, column, descending):
    page = sheet.page(ask(sort=column, descending=descending))
    rows = table("alpha+0.00")
    expected = sorted(rows, key=lambda row: row[column], reverse=descending)
    assert [row[column] for row in page.rows] == [row[column] for row in expected]
    assert sorted(keys(page)) == sorted(row["key"] for row in rows)


def test_changes_are_against_the_same_image_at_another_version(sheet, table):
    page = sheet.page(ask(against="+0.50", sort="psnr_change"))
    other = {row["key"]: row["psnr"] for row in table("alpha+0.50")}
    changes = [row["psnr_change"] for row in page.rows]
    assert changes == [row["psnr"] - other[row["key"]] for row in page.rows]
    assert changes == sorted(changes)


def test_changes_find_their_image_in_a_table_of_another_order(sheet, viewed, monkeypatch):
    straight = sheet.page(ask(against="+0.50")).rows
    from tasks.view import sheet as module

    original = module.score_table

    def turned(viewed, version, shard):
        rows = original(viewed, version, shard)
        return rows.take(np.arange(len(rows))[::-1]) if version.name == "+0.50" else rows

    monkeypatch.setattr(module, "score_table", turned)
    assert Sheet(viewed).page(ask(against="+0.50")).rows == straight


def test_pages_are_parts_of_one_answer(sheet):
    whole = keys(sheet.page(ask(sort="psnr")))
    parts = [keys(sheet.page(ask(sort="psnr", start=start, count=3))) for start in (0, 3, 6, 9)]
    assert [len(part) for part in parts] == [3, 3, 2, 0]
    assert [key for part in parts for key in part] == whole


def test_bounds_and_letters_filter(sheet, table):
    rows = table("alpha+0.00")
    middle = sorted(row["psnr"] for row in rows)[4]
    page = sheet.page(ask(where=[{"column": "psnr", "least": middle}]))
    assert keys(page) == [row["key"] for row in rows if row["psnr"] >= middle]
    page = sheet.page(
        ask(where=[{"column": "psnr", "most": middle}, {"column": "key", "text": "B/"}])
    )
    expected = [r["key"] for r in rows if r["psnr"] <= middle and r["key"].startswith("b/")]
    assert keys(page) == expected
    assert page.total == len(expected)
    assert sheet.page(ask(where=[{"column": "key", "text": ".*"}])).total == 0  # no pattern


def test_unknown_numbers_come_last_and_are_within_no_bounds(sheet, viewed, monkeypatch):
    known = Sheet._pieces

    def with_gaps(self, names, at, against):
        for piece in known(self, names, at, against):
            values = [None, float("nan"), *piece["psnr"].to_pylist()[2:]]
            yield piece.set_column(
                piece.column_names.index("psnr"), "psnr", pa.array(values, pa.float64())
            )

    whole = sheet.page(ask()).rows
    gone = {row["key"] for row in whole if whole.index(row) in (0, 1, 3, 4, 6, 7)}
    monkeypatch.setattr(Sheet, "_pieces", with_gaps)
    holed = Sheet(viewed)
    for descending in (False, True):
        page = holed.page(ask(sort="psnr", descending=descending))
        assert set(keys(page)[-6:]) == gone
    assert holed.page(ask(where=[{"column": "psnr", "least": -1000.0}])).total == 2
    assert holed.page(ask(where=[{"column": "psnr"}])).total == 2


def test_a_column_is_read_once(sheet, viewed, monkeypatch):
    reads = []
    read = Sheet._pieces
    monkeypatch.setattr(
        Sheet, "_pieces", lambda self, names, *rest: reads.append(names) or read(self, names, *rest)
    )
    sheet.page(ask(sort="psnr"))
    sheet.page(ask(sort="psnr", start=3))
    sheet.page(ask(sort="psnr", descending=True, where=[{"column": "ssim", "least": 0.0}]))
    sheet.page(ask())
    assert reads == [["psnr"], ["ssim"]]


def test_columns_that_no_image_has_are_not_shown(sheet):
    columns = {column.name: column for column in sheet.columns()}
    assert {"key", "shard", "psnr", "ssim", "width", "status", "reason"} <= columns.keys()
    assert not {"lpips", "signal", "alpha", "fingerprint"} & columns.keys()
    assert (columns["psnr"].better, columns["psnr"].unit, columns["psnr"].kind) == (
        ("more", "dB", "number")
    )


def test_a_column_counts_that_has_values_in_a_later_shard_only(sheet, viewed, monkeypatch):
    whole = {shard: score_table(viewed, viewed.version("+0.00"), shard) for shard in viewed.shards}
    first = next(iter(whole))
    place = whole[first].column_names.index("psnr")
    nothing = pa.nulls(whole[first].num_rows, pa.float64())
    whole[first] = whole[first].set_column(place, whole[first].schema.field("psnr"), nothing)
    monkeypatch.setattr("tasks.view.sheet.score_table", lambda _viewed, _at, shard: whole[shard])
    assert len(whole) > 1
    assert "psnr" in {column.name for column in sheet.columns()}
    monkeypatch.setattr("tasks.view.sheet.LOOKED_AT", 1)
    assert "psnr" not in {column.name for column in sheet.columns()}


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"sort": "colour"}, "a column must be one of .*psnr.*, got 'colour'"),
        ({"sort": "fingerprint"}, "a column must be one of"),
        ({"sort": "psnr_change"}, "a change must be against another version, got 'psnr_change'"),
        ({"at": "+0.33"}, r"a version must be one of \+0.00, .*, got '\+0.33'"),
        ({"at": "reference"}, "a version must be one with metrics"),
    ],
)
def test_what_is_not_there_is_told(sheet, question, said):
    with pytest.raises(ConfigurationError, match=said):
        sheet.page(ask(**question))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"question": {}}', '{"question": {"at": 1}}', "{" * 9999]
)
def test_a_question_that_is_none_is_told(text):
    with pytest.raises(ConfigurationError, match="a question must be one that the page asks"):
        PageAsked.parse(text)


def test_a_table_that_a_run_has_changed_is_told(viewed):
    other = Viewed(viewed.run, viewed.versions, {s: n + 1 for s, n in viewed.shards.items()}, 0)
    with pytest.raises(ArtifactDamaged, match="must have a row for each of its 4 images"):
        Sheet(other).page(ask())


def test_only_finished_shards_and_written_alphas_are_looked_at(tmp_path, steps, photographs):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    run = steps(tmp_path / "workspace", corpora)
    run.shard()
    run.fit()
    run.match()
    with pytest.raises(StepMissing, match="there are no enhanced images to look at yet"):
        Viewed.of(run.config)
    write_enhanced(run.enhancement_jobs()[0])
    more = run.config.model_copy(
        update={"enhance": run.config.enhance.model_copy(update={"alphas": (0.0, 0.5, 1.0, 0.75)})}
    )
    for config in (run.config, more):
        viewed = Viewed.of(config)
        assert (len(viewed.shards), viewed.unfinished) == (1, 2)
        assert list(viewed.versions) == ["+0.00", "+0.50", "+1.00", "input", "reference"]
        assert viewed.contenders == ["+0.00", "+0.50", "input", "reference"]
