"""The newest report of a configuration: where it is, and copies of it on this machine's disk."""

import tempfile
from pathlib import Path

from tasks.config import Config, Run
from tasks.fit.operators import fitted
from tasks.io.errors import ConfigurationError, StepMissing
from tasks.io.store import Store, temporary_room
from tasks.report.report import report_artifact
from tasks.report.study.ownership import require_own_page
from tasks.report.study.page import study_page
from tasks.study.study_file import load_study

NAMES = ("report.html", "report.md", "run.json", "curve.png", "fidelity.parquet")
"""The files of a report; without a reference there is no curve."""


def find_report(config: Config) -> tuple[Store, str]:
    """The store and the path of the configuration's report.

    Raises:
        StepMissing: it has not been written.
    """
    run = fitted(Run.of(config))
    path = f"{report_artifact(run)}.html"
    if not run.workspace.store.exists(path):
        raise StepMissing("there is no report yet; run `dotpipe report CONFIG` first")
    return run.workspace.store, path


def page_to_open(config: Config) -> Path:
    """The report's page on this machine's disk; of one in a bucket, a copy that stays there.

    The copy lies in a new temporary folder that only this user can read.

    Raises:
        StepMissing: it has not been written.
    """
    return _on_disk(*find_report(config), config.name)


def study_to_open(file: Path) -> Path:
    """The page of the study in a file, as ``page_to_open`` returns it.

    Raises:
        ConfigurationError: the file holds no study that can be run.
        StepMissing: the page has not been written.
    """
    study = load_study(file)
    require_own_page(study, file)
    store, path = study_page(study)
    if not store.exists(path):
        raise StepMissing("there is no page yet; run `dotpipe study FILE` first")
    return _on_disk(store, path, study.name)


def _on_disk(store: Store, path: str, name: str) -> Path:
    """The file in a store, or a copy of it under a name if it lies in a bucket."""
    local = store.local(path)
    if local is not None:
        return local
    content = store.read(path)
    with temporary_room():
        page = Path(tempfile.mkdtemp(prefix="dotpipe-report-")) / f"{name}.html"
        page.write_bytes(content)
    return page


def download_report(config: Config, folder: Path) -> Path:
    """Copy the report with its tables and its record into a folder; return the page's path.

    Raises:
        StepMissing: it has not been written.
        ConfigurationError: the folder is a file.
    """
    store, path = find_report(config)
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"a report is downloaded into a folder, got the file {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    below = path.rpartition("/")[0]
    for name in NAMES:
        if store.exists(f"{below}/{name}"):
            (folder / name).write_bytes(store.read(f"{below}/{name}"))
    return folder / "report.html"
