"""Entry points found by name, without importing anything, and loaded with their mistakes told."""

import sys
from importlib.metadata import EntryPoint

import pytest

from tasks.io.errors import ConfigurationError
from tasks.io.plug_ins import installed as installed_packages
from tasks.io.plug_ins.installed import all_installed, find, forget, source_digest
from tests.support.standins.packages_on_path import as_editable, installed, project


@pytest.fixture
def bring(tmp_path):
    """Installs a package that brings a restorer ``sharp`` of some code."""

    def bring(code="def make(device):\n    return None\n", target="sharp:make", version="1.0"):
        return installed(tmp_path / "site", project("restorer", target, version), code)

    return bring


def test_a_plug_in_is_found_with_its_package_and_version_and_not_imported(bring):
    with bring("raise SystemExit('imported')", version="2.5"):
        found = find("restorer", "sharp", field="restore.entry")
        assert found.identity == {"entry": "sharp", "package": "dotpipe-sharp", "version": "2.5"}
        assert str(found) == "'sharp' of dotpipe-sharp 2.5"
        assert "sharp" not in sys.modules
    assert all_installed("restorer") == []


def test_a_name_that_no_package_brings_is_told_with_those_that_are_there(bring):
    with bring(), pytest.raises(ConfigurationError) as caught:
        find("restorer", "sharpe", field="restore.entry")
    assert str(caught.value) == (
        "restore.entry must name a restorer that an installed package brings (entry points "
        "dotpipe.restorers), got 'sharpe'; installed are 'sharp' of dotpipe-sharp 1.0; install its "
        "package beside dotpipe, on every machine that runs tasks, or correct the name"
    )


def test_the_source_of_an_editable_package_counts_and_is_not_imported(bring, tmp_path):
    def identity(code):
        with as_editable(bring(code), tmp_path / "site"):
            return find("restorer", "sharp", field="restore.entry").identity

    first = identity("raise SystemExit(1)")
    assert first.keys() == {"entry", "package", "version", "source"}
    assert identity("raise SystemExit(1)") == first
    assert identity("raise SystemExit(2)") != first


def test_all_files_of_an_editable_package_count(tmp_path, monkeypatch):
    package = tmp_path / "site" / "sharp_package"
    package.mkdir(parents=True)
    for name in ("__init__.py", "inner.py"):
        (package / name).write_text("raise SystemExit")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    point = EntryPoint("sharp", "sharp_package.inner:make", "dotpipe.restorers")
    first = source_digest(point)
    (package / "inner.py").write_text("raise SystemExit(2)")
    assert source_digest(point) == first  # of the files that this process may have imported
    forget()
    assert source_digest(point) != first
    (package / "inner.py").write_text("raise SystemExit")
    forget()
    assert source_digest(point) == first
    (package / "notes.txt").write_text("no code")
    forget()
    assert source_digest(point) == first


def test_it_is_looked_for_once(bring, monkeypatch):
    with bring():
        found = find("restorer", "sharp", field="restore.entry")
        monkeypatch.setattr(installed_packages, "entry_points", None)
        assert find("restorer", "sharp", version="1.0", field="restore.entry") is found


def test_what_is_brought_as_something_else_is_not_found(bring):
    with bring(), pytest.raises(ConfigurationError, match=r"must name a codec .*none is installed"):
        find("codec", "sharp", field="codec.entry")


def test_two_packages_of_one_name_are_told(bring, tmp_path):
    other = project("restorer", "sharp:make").replace("dotpipe-sharp", "other-sharp")
    with (
        bring(),
        installed(tmp_path / "b", other, "make = print"),
        pytest.raises(ConfigurationError, match=r"that one package brings.*uninstall one"),
    ):
        find("restorer", "sharp", field="restore.entry")


def test_another_version_than_the_one_asked_for_is_told(bring):
    with bring():
        assert find("restorer", "sharp", version="1.0", field="restore.entry").version == "1.0"
        with pytest.raises(ConfigurationError, match=r"must be of version 0.9, got 'sharp' of dot"):
            find("restorer", "sharp", version="0.9", field="restore.entry")


@pytest.mark.parametrize(
    ("code", "target", "said"),
    [
        ("import nothing_of_this_name", "sharp:make", "ModuleNotFoundError: No module named"),
        ("", "sharp:make", "AttributeError: module 'sharp' has no attribute 'make'"),
        ("1 / 0", "sharp:make", "ZeroDivisionError: division by zero"),
        ("def make(:", "sharp:make", "SyntaxError"),
        ("make = 3", "sharp:make", "got sharp:make, which cannot be called"),
    ],
)
def test_what_cannot_be_imported_or_called_is_told(bring, code, target, said):
    with bring(code, target), pytest.raises(ConfigurationError) as caught:
        find("restorer", "sharp", field="restore.entry").load()
    assert "restorer 'sharp' of dotpipe-sharp 1.0 must be a function or a class" in str(
        caught.value
    )
    assert said in str(caught.value)
