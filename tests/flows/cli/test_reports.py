"""The commands that look at reports, without Prefect."""

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
