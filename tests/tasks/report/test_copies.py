"""Copies of finished reports, from a folder or a bucket."""

import pytest

from tasks.io.errors import ConfigurationError, StepMissing
from tasks.io.store import Store
from tasks.report.copies import download_report, page_to_open


def test_a_report_is_copied_with_its_tables(finished, tmp_path):
    page = download_report(finished.config, tmp_path / "copy")
    own = finished.workspace.store.local(f"reports/run/{finished.operator}")
    names = {"report.html", "report.md", "run.json", "curve.png", "fidelity.parquet"}
    assert {path.name for path in page.parent.iterdir()} == names
    assert all((own / name).read_bytes() == (page.parent / name).read_bytes() for name in names)


def test_a_report_is_not_copied_over_a_file(finished, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="into a folder, got the file"):
        download_report(finished.config, tmp_path / "file")


def test_the_page_to_open_is_the_report_or_a_copy_of_one_in_a_bucket(
    finished, tmp_path, monkeypatch
):
    own = finished.workspace.store.local(f"reports/run/{finished.operator}/report.html")
    assert page_to_open(finished.config) == own
    monkeypatch.setattr(Store, "local", lambda *_: None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    copy = page_to_open(finished.config)
    assert (copy.name, copy.parent.parent) == ("run.html", tmp_path)
    assert copy.parent.stat().st_mode & 0o777 == 0o700
    assert copy.read_bytes() == own.read_bytes()


def test_a_report_that_is_not_there_is_told_with_the_command(steps, photographs, tmp_path):
    run = steps(tmp_path / "workspace", photographs)
    run.shard()
    run.fit()
    with pytest.raises(StepMissing, match="run `dotpipe report CONFIG` first"):
        page_to_open(run.config)
