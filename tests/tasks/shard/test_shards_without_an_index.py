"""What is known of a data set whose index is not there."""

import pytest

from tasks.io.catalogue import write_catalogue
from tasks.io.ledger import Record
from tasks.pipeline import is_finished


@pytest.fixture
def run(finished_copy):
    """A finished run with a reference: its data sets have matches below them."""
    return finished_copy


def lose_record(run):
    survey = run.workspace.ledger.survey("datasets/run")
    run.workspace.ledger.withdraw(survey.records("datasets/run/index"))


def lose_file(run):
    run.workspace.store.remove("datasets/run/index.parquet")
    lose_record(run)


@pytest.mark.parametrize("lose", [lose_record, lose_file])
def test_a_lost_index_loses_no_image(run, lose):
    before = list(run.workspace.keys("run"))
    tars = {path: path.read_bytes() for path in run.workspace.store.local().rglob("*.tar")}
    lose(run)
    assert not is_finished(run.config)
    run.run()
    assert list(run.workspace.keys("run")) == before
    assert {path: path.read_bytes() for path in tars} == tars
    assert is_finished(run.config)


def test_the_records_of_matches_are_no_shards(run):
    artifacts = run.workspace.ledger.survey("datasets/run").artifacts()
    assert [name for name in artifacts if "/matches/" in name]
    assert isinstance(next(iter(run.workspace.ledger.survey("datasets/run").all())), Record)


def test_a_catalogue_takes_a_shard_once(run, tmp_path):
    table = run.workspace.shard_index("run", "shard-000000")
    twice = [("shard-000000", None, table)] * 2
    with pytest.raises(ValueError, match="must be in a catalogue once, got shard-000000 twice"):
        write_catalogue(twice, tmp_path / "index", tmp_path / "shards")
