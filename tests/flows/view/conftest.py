"""A finished run of its own, which votes may be written beside."""

import shutil

import pytest

from tasks.view.viewed import Viewed


@pytest.fixture(scope="module")
def own_config(finished, tmp_path_factory):
    """The configuration of a copy of the finished run."""
    folder = tmp_path_factory.mktemp("own") / "workspace"
    shutil.copytree(finished.config.workspace, folder)
    return finished.config.model_copy(update={"workspace": str(folder)})


@pytest.fixture(scope="module")
def viewed(own_config):
    return Viewed.of(own_config)
