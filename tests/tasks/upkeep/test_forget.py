"""A forgotten image is in nothing any more, and does not come back."""

import re
from datetime import UTC, datetime

import pytest

from tasks.io.errors import ConfigurationError, StepMissing
from tasks.io.ledger import Ledger
from tasks.io.store import Store
from tasks.pipeline import is_finished
from tasks.upkeep.forget import forget
from tasks.view.votes import Vote, Votes

KEY = "a/2"


@pytest.fixture
def corpora(photographs):
    return {"restored": photographs["restored"], "reference": photographs["natural"]}


@pytest.fixture
def run(finished_copy):
    return finished_copy


def files_with(run, word):
    """Files that say a word, Parquet's columns decoded, except the record of what is forgotten."""
    import pyarrow.parquet as pq

    root = run.workspace.store.local()
    said = re.compile(rf"(?<![\w+/]){re.escape(word)}(?![\w+/])".encode())  # not in base64
    found = []
    for path in sorted(root.rglob("*")):
        if path.suffix == ".parquet":
            says = word in str(pq.read_table(path, partitioning=None).to_pylist())
        else:
            says = path.is_file() and said.search(path.read_bytes()) is not None
        found += [path.relative_to(root).as_posix()] if says else []
    return found


def test_a_forgotten_image_is_nowhere_before_and_after_the_next_run(run):
    assert files_with(run, KEY)
    gone = forget([run.config], [KEY], run.workspace)
    assert gone.shards == {"reference": ["shard-000000"], "run": ["shard-000000"]}
    assert files_with(run, KEY) == []
    run.run()
    assert is_finished(run.config)
    assert files_with(run, KEY) == []
    assert len(list(run.workspace.keys("run"))) == 7


def test_no_log_of_a_run_names_it_any_more(run):
    run.workspace.store.write("logs/run/2026-11-28T21-07-13-run-1.log", f"refused: {KEY}".encode())
    gone = forget([run.config], [KEY], run.workspace)
    assert files_with(run, KEY) == []
    assert gone.folders["logs/run"][0] == 1


def test_other_shards_keep_their_images_and_their_bytes(run):
    store = run.workspace.store
    other = "datasets/run/shard-000001.tar"
    before = (store.read(other), store.local(other).stat().st_mtime_ns)
    places = [place for place in run.workspace.keys("run") if place.key != KEY]
    forget([run.config], [KEY], run.workspace)
    run.run()
    assert (store.read(other), store.local(other).stat().st_mtime_ns) == before
    assert list(run.workspace.keys("run")) == places


def test_the_operator_that_it_was_fitted_with_goes_and_is_fitted_again(run):
    before = run.operator
    gone = forget([run.config], [KEY], run.workspace)
    assert gone.operators == [f"run/{before}"]
    assert not list(run.workspace.store.names("operators"))
    assert not list(run.workspace.store.names("enhanced"))
    run.run()
    assert run.operator != before


def test_an_operator_that_was_fitted_without_it_stays(tmp_path, steps, corpora):
    run = steps(tmp_path / "workspace", corpora, fit={"images": 1})
    run.run()
    (chosen,) = (key for keys in run.select().source.values() for key in keys)
    key = next(p.key for p in run.workspace.keys("run") if p.key != chosen)
    before = run.operator
    assert forget([run.config], [key], run.workspace).operators == []
    run.run()
    assert run.operator == before
    assert files_with(run, key) == []


def test_two_keys_at_once_spare_an_operator_that_knows_neither(tmp_path, steps, corpora):
    run = steps(tmp_path / "workspace", corpora, fit={"images": 1})
    run.run()
    (chosen,) = (key for keys in run.select().source.values() for key in keys)
    others = [place.key for place in run.workspace.keys("run") if place.key != chosen]
    operator = run.operator
    assert forget([run.config], others[:2], run.workspace).operators == []
    assert forget([run.config], [chosen], run.workspace).operators == [f"run/{operator}"]


def test_what_no_configuration_knows_any_more_is_searched_too(run, steps, corpora, tmp_path):
    other = steps(tmp_path / "workspace", corpora, name="former")
    other.run()
    forget([run.config], [KEY], run.workspace)
    assert files_with(run, KEY) == []


@pytest.mark.parametrize("moment", ["retire", "remove", "publishing"])
def test_a_forgetting_that_is_cut_short_can_be_repeated(run, monkeypatch, moment):
    remove = Store.remove

    def die(owner, path, *_):
        if moment == "remove" and path.startswith("claims/"):
            return remove(owner, path)
        return pytest.fail("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Store if moment == "remove" else Ledger, moment, die)
        with pytest.raises(pytest.fail.Exception):
            forget([run.config], [KEY], run.workspace)
    forget([run.config], [KEY], run.workspace)
    assert files_with(run, KEY) == []
    run.run()
    assert files_with(run, KEY) == []


def test_files_that_lost_their_record_go_too(run):
    ledger = run.workspace.ledger
    ledger.withdraw(ledger.survey("enhanced").all())
    forget([run.config], [KEY], run.workspace)
    assert files_with(run, KEY) == []


def test_beside_a_run_that_is_at_work_nothing_is_forgotten(run):
    with (
        run.workspace.claims.held("runs/other"),
        pytest.raises(StepMissing, match="runs/other is claimed"),
    ):
        forget([run.config], [KEY], run.workspace)


def test_what_other_configurations_made_of_it_goes_too(tmp_path, run, steps, corpora):
    other = steps(tmp_path / "workspace", corpora, name="other", fit={"ridge": 0.1})
    other.run()
    forget([run.config, other.config], [KEY], run.workspace)
    assert files_with(run, KEY) == []


def test_a_key_is_found_in_whichever_form_its_letters_are_given(
    tmp_path, steps, pixels, write_images
):
    names = {f"{name}.png": pixels(0) for name in ("cafe\u0301", "z")}
    folder = write_images(tmp_path / "images", names)
    run = steps(tmp_path / "workspace", {"restored": folder, "natural": folder})
    run.shard()
    forget([run.config], ["cafe\u0301"], run.workspace)
    run.shard()
    assert [place.key for place in run.workspace.keys("run")] == ["z"]


def test_an_image_that_no_data_set_has_is_told(run):
    with pytest.raises(ConfigurationError, match=r"one of a data set of .*, got 'nobody'"):
        forget([run.config], ["nobody"], run.workspace)


def test_forgetting_again_removes_nothing_more(run):
    forget([run.config], [KEY], run.workspace)
    run.run()
    before = set(run.workspace.store.names(""))
    again = forget([run.config], [KEY], run.workspace)
    assert (again.shards, again.folders) == ({}, {})
    assert set(run.workspace.store.names("")) == before


def test_what_is_remembered_does_not_tell_the_key(run):
    forget([run.config], [KEY], run.workspace)
    assert KEY not in "".join(run.workspace.store.names("forgotten"))


def test_votes_on_it_go_and_others_stay(run):
    votes = Votes(run.workspace.store, "run", run.operator)
    now = datetime(2026, 11, 29, tzinfo=UTC)
    for number, key in enumerate((KEY, "another")):
        ends = ("+0.00", "input", "l", "r")
        votes.add(Vote(str(number), now, "Ada", key, "shard-000000", *ends, "left", 1.0))
    forget([run.config], [KEY], run.workspace)
    assert files_with(run, KEY) == []
    assert [vote.key for vote in votes.all()] == ["another"]
