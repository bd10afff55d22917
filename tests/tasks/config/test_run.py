"""A run: its configuration, its workspace, and where its weights are looked for."""

import pytest

from tasks.config import Config, Run
from tasks.io.networks.pulled_folder import MANIFEST
from tasks.io.networks.weights import FROM_THIS_MACHINE, Weights
from tasks.io.store import Store


@pytest.fixture
def run(tmp_path):
    """Opens the run of a configuration with changes."""

    def opened(**changes):
        corpora = {"restored": {"path": "r"}, "natural": {"path": "n"}}
        tree = {"name": "x", "workspace": str(tmp_path / "w"), "corpora": corpora}
        return Run.of(Config.model_validate({**tree, **changes}))

    return opened


def test_weights_are_looked_for_where_the_configuration_says(run, tmp_path):
    assert run().weights is FROM_THIS_MACHINE
    folder = str(tmp_path / "pulled")
    assert run(weights=folder).weights == Weights.of(folder)


def test_a_run_reads_the_manifest_of_its_pulled_folder_once(run, tmp_path, monkeypatch):
    reads, opened = [], run(weights=str(tmp_path))

    def read(_, path):
        reads.append(path)
        return b'{"files": {}}'

    monkeypatch.setattr(Store, "read", read)
    for _ in range(3):
        assert opened.weights.pulled.manifest == {}
    assert reads == [MANIFEST]
