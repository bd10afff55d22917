"""The commands that look at reports, without Prefect."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import typer

from flows.cli.verbs import reports


@pytest.fixture
def opened(monkeypatch, capsys, tmp_path):
    """Opens the report of a stand-in; returns what was launched and what was printed."""
    page, launched = tmp_path / "report.html", []
    monkeypatch.setattr(reports, "parsed", lambda config: config)
    monkeypatch.setattr("tasks.report.copies.page_to_open", lambda *_: page)
    for name in reports.REMOTE:
        monkeypatch.delenv(name, raising=False)

    def run(result=0):
        monkeypatch.setattr(typer, "launch", lambda url: launched.append(url) or result)
        reports.open_report(Path("run.yaml"))
        return launched, capsys.readouterr().out.splitlines()

    run.page = page
    return run


def test_a_report_is_opened_in_a_browser(opened):
    launched, said = opened()
    assert launched == [opened.page.as_uri()]
    assert said == [f"report: {opened.page}"]


def test_over_ssh_its_address_is_printed_and_nothing_is_opened(opened, monkeypatch):
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    launched, said = opened()
    assert launched == []
    assert said == [f"report: {opened.page}"]


def test_without_a_browser_it_is_said(opened):
    assert opened(result=1)[1][1] == "there is no browser to open it in"


def test_two_runs_are_compared_and_the_page_is_written(finished, dotpipe, monkeypatch, tmp_path):
    monkeypatch.setattr(reports, "parsed", lambda *_, **__: finished.config)
    page = tmp_path / "both.html"
    code, told, _ = dotpipe("compare", "a.yaml", "b.yaml", "--page", page)
    assert code == 0
    assert "Differences are over 8 images that both have, each against itself: b less a" in told
    assert f"page: {page}" in told
    assert "alpha 0, a" in page.read_text("utf-8")


def test_a_page_that_cannot_be_written_is_told(finished, dotpipe, monkeypatch, tmp_path):
    monkeypatch.setattr(reports, "parsed", lambda *_, **__: finished.config)
    code, _, err = dotpipe("compare", "a.yaml", "b.yaml", "--page", tmp_path / "no" / "both.html")
    assert code == 1
    assert "--page must name a file that can be written" in err


def test_a_report_that_was_written_is_downloaded(finished, dotpipe, monkeypatch, tmp_path):
    monkeypatch.setattr(reports, "parsed", lambda *_, **__: finished.config)
    monkeypatch.setattr(reports, "watched", lambda *_: nullcontext())
    monkeypatch.setattr("flows.evaluate_dataset.report_dataset", lambda _: "where it is")
    code, told, _ = dotpipe("report", "a.yaml", "--download", tmp_path / "copy")
    assert code == 0
    assert told.splitlines() == [
        "report: where it is",
        f"downloaded: {tmp_path / 'copy' / 'report.html'}",
    ]
