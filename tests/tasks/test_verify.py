"""Everything that the ledger vouches for, read again; repair makes just what is damaged anew."""

import pytest

from tasks.plan import is_finished
from tasks.verify import repair, verify


@pytest.fixture
def run(tmp_path, steps, photographs):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    whole = steps(tmp_path / "workspace", corpora)
    whole.run()
    return whole


def damage_of(run):
    checked = list(verify(run.workspace.ledger))
    return [damage for each in checked for damage in each.damage], checked


def files_of(run):
    root = run.workspace.store.local()
    return {p.relative_to(root).as_posix(): p for p in sorted(root.rglob("*")) if p.is_file()}


def bytes_of(run):
    return {
        name: path.read_bytes()
        for name, path in files_of(run).items()
        if not name.startswith("ledger/")
    }


def test_of_a_finished_run_every_byte_is_as_it_was_written(finished):
    damage, checked = damage_of(finished)
    assert damage == []
    files = [path for name, path in files_of(finished).items() if not name.startswith("ledger/")]
    assert sum(each.size for each in checked) == sum(path.stat().st_size for path in files)


def test_every_kind_of_damage_is_named_with_its_file(run):
    files = files_of(run)
    tars = [name for name in files if name.endswith("shard-000000.tar") and "enhanced" in name]
    flipped, cut, gone = tars[:3]
    data = bytearray(files[flipped].read_bytes())
    data[600] ^= 1
    files[flipped].write_bytes(data)
    files[cut].write_bytes(files[cut].read_bytes()[:-512])
    files[gone].unlink()
    unread = next(path for name, path in files.items() if name.startswith("ledger/metrics"))
    unread.write_text("{")
    damage = "\n".join(damage_of(run)[0])
    assert f"{flipped}: other bytes than were written" in damage
    assert f"{cut}: " in damage
    assert "bytes, must be" in damage
    assert f"{gone}: not there" in damage
    assert "no record that can be read" in damage


@pytest.mark.parametrize(
    "part", ["datasets/run/shard-000001.tar", "operators/", "metrics/", "reports/", "moments/"]
)
def test_after_a_repair_the_next_run_makes_what_was_damaged_and_nothing_else(run, part):
    before = bytes_of(run)
    name, path = next((n, p) for n, p in files_of(run).items() if n.startswith(part))
    ledger = run.workspace.ledger
    together = next(
        files
        for record in ledger.survey("").all()
        if name in (files := ledger.facts(record)["files"])
    )
    path.write_bytes(b"garbage")
    kept = {n: p.stat().st_mtime_ns for n, p in files_of(run).items()}
    repair(run.workspace.ledger, (each for each in verify(run.workspace.ledger) if each.damage))
    assert not is_finished(run.config)
    run.run()
    assert damage_of(run)[0] == []
    after = bytes_of(run)
    volatile = [n for n in after if n.endswith(("report.html", "run.json"))]
    assert {n: d for n, d in after.items() if n not in volatile} == {
        n: d for n, d in before.items() if n not in volatile
    }
    again = {n for n, p in files_of(run).items() if p.stat().st_mtime_ns != kept.get(n)}
    assert {n for n in again if not n.startswith("ledger/")} == together.keys()
