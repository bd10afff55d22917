"""A run is opened by its configuration, or by its workspace wherever that lies now."""

import shutil
from pathlib import Path

import pytest

from tasks.config.registry import register
from tasks.io.errors import ConfigurationError
from tasks.library import configuration_of, open_run, write_sections


@pytest.fixture(scope="module")
def workspace(finished, tmp_path_factory):
    """A copy of a finished workspace, which knows two configurations."""
    copy = tmp_path_factory.mktemp("moved") / "copy"
    shutil.copytree(finished.config.workspace, copy)
    for name in ("run", "other"):
        config = finished.config.model_copy(update={"name": name, "workspace": str(copy)})
        register(config if name == "run" else _apart(config))
    return copy


def _apart(config):
    """The same with a data set of its own name."""
    restored = config.corpora.restored.model_copy(update={"name": "own"})
    return config.model_copy(
        update={"corpora": config.corpora.model_copy(update={"restored": restored})}
    )


def test_a_file_names_its_run(finished, tmp_path):
    file = tmp_path / "my-run.yaml"
    file.write_text(finished.config.model_dump_json(), "utf-8")
    run = open_run(file)
    assert (run.name, run.workspace) == ("run", finished.config.workspace)
    assert repr(open_run(str(file), "run")) == repr(run)
    with pytest.raises(ConfigurationError, match=r"name must be 'run', as in .*, got 'other'"):
        open_run(file, "other")
    with pytest.raises(ConfigurationError, match=r"none\.yaml.*No such file"):
        open_run(tmp_path / "none.yaml")


def test_a_workspace_that_was_moved_is_read_where_it_lies(workspace, finished, monkeypatch):
    moved = workspace.rename(workspace.parent / "moved")
    try:
        run = open_run(moved, "run")
        assert run.workspace == str(moved)
        expected = [picture.key for picture in open_run_of(finished).images(0)]
        assert [picture.key for picture in run.images(0)] == expected
        monkeypatch.chdir(moved.parent)
        assert repr(open_run("moved", "run")) == repr(run)
    finally:
        moved.rename(workspace)


def open_run_of(finished):
    from tasks.library import FinishedRun

    return FinishedRun.of(finished.config)


def test_a_bucket_is_opened_by_its_url(workspace, bucket):
    url = bucket.upload(workspace, "copy")
    run = open_run(url, "run")
    assert (len(run), run.workspace) == (8, url)


def test_which_run_of_a_workspace_must_be_clear(workspace, tmp_path):
    with pytest.raises(ConfigurationError, match=r"name must say which .*, got none of other, run"):
        open_run(workspace)
    with pytest.raises(ConfigurationError, match="name must be one of other, run, got 'third'"):
        open_run(workspace, "third")
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(ConfigurationError, match="in which no run has written"):
            open_run(place)


def test_sections_are_a_configuration_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sections = {"workspace": "work", "corpora": {"restored": {"path": "r"}}}
    sections["corpora"]["natural"] = {"path": str(tmp_path / "n")}
    with pytest.raises(ConfigurationError, match="sections must have a name"):
        write_sections(sections, tmp_path)
    config = configuration_of(write_sections({"name": "mine", **sections}, tmp_path))
    assert config.name == "mine"
    assert config.workspace == str(Path(tmp_path).resolve() / "work")
    with pytest.raises(ConfigurationError, match="the sections"):
        write_sections({"name": "mine", **sections, "alphas": [0]}, tmp_path)


def test_sections_mean_what_the_command_reads_of_them(tmp_path):
    told = {"tta": False, "mode": "false", "deep": [{"on": "true"}], "eps": 1e-5, "n": 2}
    sections = {
        "name": "mine",
        "workspace": str(tmp_path / "work"),
        "corpora": {"degraded": {"path": "d"}, "natural": {"path": "n"}},
        "restore": {"kind": "plug-in", "entry": "gain", "options": told},
    }
    options = configuration_of(write_sections(sections, tmp_path)).restore.options
    assert repr(options) == repr(
        {"tta": False, "mode": False, "deep": [{"on": True}], "eps": 1e-5, "n": 2}
    )
