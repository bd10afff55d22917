"""Commands that remove something from a workspace, as a user runs them."""

import json

import pytest

from tasks.io.ledger import Ledger
from tasks.io.store import Store

pytestmark = pytest.mark.usefixtures("server")


def test_gc_shows_what_it_would_remove_and_asks_first(complete, dotpipe, monkeypatch):
    stray = complete.workspace / "enhanced" / "stray.tar"
    stray.write_bytes(b"1")
    monkeypatch.setattr("typer.confirm", lambda question: False)
    code, out, _ = dotpipe("gc", complete.file)
    assert (code, stray.exists()) == (0, True)
    assert "kept for: tiny" in out
    assert "enhanced" in out
    code, out, _ = dotpipe("gc", complete.file, "--yes")
    assert (code, stray.exists()) == (0, False)
    assert "to remove: 1 file, 1 B in all\n" in out
    assert out.endswith("removed 1 file, 1 B\n")
    assert "nothing to remove" in dotpipe("gc", complete.file)[1]


def test_gc_says_which_notes_of_failures_it_would_remove(complete, dotpipe):
    Ledger(Store(str(complete.workspace))).note_failure("restorers/none/segment", "0" * 16, {})
    code, out, _ = dotpipe("gc", complete.file, "--yes")
    assert code == 0
    assert "to remove: 1 note(s) of failures that count no more\n" in out
    assert "folder" not in out
    assert "nothing to remove" in dotpipe("gc", complete.file)[1]


def test_gc_keeps_what_other_configurations_need_until_they_are_dropped(complete, dotpipe):
    other = complete.file.with_name("other.yaml")
    text = complete.file.read_text("utf-8").replace("name: tiny", "name: other")
    other.write_text(text, "utf-8")
    assert dotpipe("run", other)[0] == 0
    assert "nothing to remove" in dotpipe("gc", complete.file)[1]
    code, out, _ = dotpipe("gc", complete.file, "--drop", "other", "--yes")
    assert code == 0
    assert "enhanced/other" in out
    assert not (complete.workspace / "enhanced" / "other").exists()
    code, _, err = dotpipe("gc", complete.file, "--drop", "other")
    assert (code, err.startswith("error: --drop must name one of")) == (1, True)


def test_a_configuration_that_this_version_cannot_read_can_be_dropped(complete, dotpipe):
    old = complete.workspace / "configurations" / "old.json"
    old.write_text('{"name": "old", "unknown": 1}', "utf-8")
    code, _, err = dotpipe("gc", complete.file)
    assert (code, err.strip().endswith("or drop it with --drop old")) == (1, True)
    code, out, _ = dotpipe("gc", complete.file, "--drop", "old", "--yes")
    assert (code, old.exists()) == (0, False)
    assert "kept for: tiny" in out
    assert "nothing to remove" in dotpipe("gc", complete.file)[1]


def test_forget_takes_an_image_out_and_run_makes_the_rest_again(complete, dotpipe, monkeypatch):
    code, out, _ = dotpipe("forget", complete.file, "a/1", "--yes")
    assert code == 0
    assert "held by reference/shard-000000\nheld by tiny/shard-000000\n" in out
    assert f"`dotpipe run {complete.file}` makes again what is left" in out
    assert "if they were pushed to the Hub, they stay in its history" in " ".join(out.split())
    assert dotpipe("run", complete.file)[0] == 0
    complete.vouch()
    code, _, err = dotpipe("forget", complete.file, "nobody", "--yes")
    assert (code, err.startswith("error: a key to forget must be one of a data set")) == (1, True)
    monkeypatch.setattr("typer.confirm", lambda question: False)
    assert dotpipe("forget", complete.file, "a/2")[0] == 1


def test_gc_goes_on_beside_a_configuration_that_was_not_run_to_its_end(complete, dotpipe):
    stray = complete.workspace / "enhanced" / "stray.tar"
    stray.write_bytes(b"1")
    complete.configure(fit={"ridge": 0.1})
    code, out, _ = dotpipe("gc", complete.file, "--yes")
    assert (code, stray.exists()) == (0, False)
    assert "note: 'tiny' has not been run to its end, so all that it may need is kept" in out
    assert out.endswith("removed 1 file, 1 B\n")
    complete.configure()
    assert "nothing to remove" in dotpipe("gc", complete.file)[1]
    complete.vouch()


def test_a_compaction_that_was_cut_short_is_told_of_with_what_to_do(complete, dotpipe):
    assert "compaction" not in dotpipe("status", complete.file)[1]
    (complete.workspace / "compacting.json").write_text('{"made": {}}', "utf-8")
    what_to_do = "it was cut short, and `dotpipe compact CONFIG` goes on with it"
    assert what_to_do in dotpipe("status", complete.file)[1]
    told = json.loads(dotpipe("status", complete.file, "--json")[1])
    assert what_to_do in told["compaction"]
    (record,) = complete.workspace.glob("ledger/datasets/tiny/shard-000001@*")
    kept = record.rename(complete.folder / record.name)
    words = ("export", complete.file, complete.folder / "out", "--alpha", 0)
    code, _, err = dotpipe(*words)
    assert (code, what_to_do in err) == (1, True)
    kept.rename(record)
    assert "a compaction that had been cut short" in dotpipe("compact", complete.file)[1]
    assert "compaction" not in dotpipe("status", complete.file)[1]
    assert dotpipe(*words)[0] == 0


def test_compact_merges_small_shards_and_leaves_nothing_to_do(complete, dotpipe):
    assert "nothing to merge: no two small" in dotpipe("compact", complete.file)[1]
    text = complete.file.read_text("utf-8")
    assert "images: 3" in text
    complete.file.write_text(text.replace("images: 3", "images: 20"), "utf-8")
    assert dotpipe("run", complete.file)[0] == 0
    records = sorted(complete.workspace.rglob("ledger/**/*.json"))
    code, out, _ = dotpipe("compact", complete.file, "--dry-run")
    assert code == 0
    assert "to merge" in out
    assert "3 into 1" in out
    assert sorted(complete.workspace.rglob("ledger/**/*.json")) == records
    code, out, _ = dotpipe("compact", complete.file)
    assert (code, "merged" in out) == (0, True)
    assert len(list(complete.workspace.rglob("ledger/**/*.json"))) < len(records)
    assert "nothing to do: every shard of every step is done" in dotpipe("run", complete.file)[1]
    code, out, _ = dotpipe("verify", complete.file)
    assert (code, "damaged" in out) == (0, False)
