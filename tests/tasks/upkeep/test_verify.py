"""Everything that the ledger vouches for, read again; repair makes just what is damaged anew."""

import errno
import os
import shutil
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from other_user import as_other_user

from tasks.fit.operators import read_operator
from tasks.io.errors import AccessRefused, ArtifactDamaged, StepMissing, StoreRefused
from tasks.io.store import Store
from tasks.io.workspace import Workspace
from tasks.pipeline import is_finished
from tasks.upkeep.status import status_of_steps
from tasks.upkeep.verify import repair, verify


@pytest.fixture
def run(finished_copy):
    return finished_copy


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


def test_every_file_has_the_mode_that_the_umask_gives(finished):
    own = os.umask(0o22)
    os.umask(own)
    assert {path.stat().st_mode & 0o777 for path in files_of(finished).values()} == {0o666 & ~own}


@pytest.fixture
def shared(finished, shared_folder):
    """The configuration of a finished run whose workspace other users may read."""
    copy = shared_folder / "workspace"
    shutil.copytree(finished.config.workspace, copy)
    copy.chmod(0o755)
    return finished.config.model_copy(update={"workspace": str(copy)})


def test_what_may_not_be_read_is_not_damaged_and_stays(shared):
    root, ledger = Path(shared.workspace), Workspace(shared.workspace).ledger
    operator = next(root.glob("operators/**/*.safetensors"))
    record = next(root.glob("ledger/reports/**/report@*.json"))
    table = next(root.glob("metrics/**/*.parquet"))
    operator.chmod(0)
    record.chmod(0)
    table.write_bytes(table.read_bytes() + b"1")
    with as_other_user():
        checked = list(verify(ledger))
    assert [len(each.damage) for each in checked if each.damage] == [1]
    closed = [sentence for each in checked for sentence in each.closed]
    assert len(closed) == 2
    assert all(sentence.endswith("Permission denied; let this user read it") for sentence in closed)
    before = len(list(ledger.survey("").all()))
    repair(ledger, [each for each in checked if each.damage])
    assert len(list(ledger.survey("").all())) == before - 1
    assert record.exists()


def test_an_operator_that_may_not_be_read_is_told_to_whoever_runs(shared):
    (operator,) = Path(shared.workspace).glob("operators/**/*.safetensors")
    operator.chmod(0)
    with as_other_user(), pytest.raises(AccessRefused, match=r"\.safetensors was refused: Perm"):
        read_operator(Workspace(shared.workspace), shared.restored_name, operator.stem)


@pytest.mark.parametrize("closed", ["", "ledger", "datasets/reference/index.parquet"])
def test_a_status_of_a_workspace_without_rights_is_a_sentence(shared, closed):
    path = Path(shared.workspace, closed)
    path.chmod(0)
    try:
        with as_other_user():
            told = status_told(shared)
    finally:
        path.chmod(0o755)
    assert "was refused: Permission denied; let this user read it" in told


def status_told(config):
    """What is said of all steps, or instead of them."""
    try:
        return " ".join(step.note for step in status_of_steps(config))
    except AccessRefused as error:
        return str(error)


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
    run.run()  # the report of a copied workspace
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


def failing(monkeypatch, victim, error):
    """Reading a file gives an error from its middle on."""
    stream = Store.stream

    @contextmanager
    def opened(store, path):
        with stream(store, path) as found:
            if path == victim:
                raise error
            yield found

    monkeypatch.setattr(Store, "stream", opened)


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), StoreRefused("x was refused with 403")]
)
def test_a_file_that_gives_an_error_is_damaged_and_all_others_are_read(run, monkeypatch, error):
    victim = "datasets/run/shard-000001.tar"
    failing(monkeypatch, victim, error)
    damage, checked = damage_of(run)
    assert damage == [f"{victim}: cannot be read: {error}"]
    assert len(checked) == len(list(run.workspace.ledger.survey("").all()))


def test_a_record_that_gives_an_error_is_damaged(run, monkeypatch):
    (victim,) = run.workspace.ledger.records("datasets/run/index")
    read = Store.read

    def bad(store, path):
        if path == victim.path:
            raise OSError(errno.EIO, "Input/output error")
        return read(store, path)

    monkeypatch.setattr(Store, "read", bad)
    assert damage_of(run)[0] == [f"{victim.path}: cannot be read: [Errno 5] Input/output error"]


def test_a_store_that_is_away_is_no_damage_of_its_files(run, monkeypatch):
    failing(monkeypatch, "datasets/run/shard-000001.tar", OSError(errno.EIO, "gone"))
    monkeypatch.setattr(Store, "is_folder", lambda store: False)
    with pytest.raises(OSError, match="gone"):
        damage_of(run)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def blanked(path):
    """The pages of a Parquet file are zeros; its footer is whole."""
    data = path.read_bytes()
    path.write_bytes(b"PAR1" + bytes(20) + data[24:])


DAMAGES = [cut, blanked, lambda path: path.unlink()]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "part",
    [
        "datasets/run/shards.parquet",
        "datasets/run/index.parquet",
        "datasets/run/shard-000000.parquet",
        "datasets/run/matches/reference/shard-000000.parquet",
        "metrics/*.parquet",
        "reports/run/*/fidelity.parquet",
    ],
)
def test_every_damaged_table_is_mended_to_the_same_bytes(run, part, damage):
    before = bytes_of(run)
    path = next(p for n, p in files_of(run).items() if fnmatch(n, part))
    damage(path)
    notes = [step.note for step in status_of_steps(run.config)]
    assert all("dotpipe repair" in note for note in notes if note)
    damaged = [each for each in verify(run.workspace.ledger) if each.damage]
    assert len(damaged) == 1
    repair(run.workspace.ledger, damaged)
    assert not is_finished(run.config)
    run.run()
    assert damage_of(run)[0] == []
    after = bytes_of(run)
    lasting = [n for n in before if not n.endswith(("report.html", "run.json"))]
    assert {n: after[n] for n in lasting} == {n: before[n] for n in lasting}


def turned(path):
    """One bit of what a file holds: in the middle, or in the keys of a table."""
    data = bytearray(path.read_bytes())
    place = len(data) // 2
    if path.suffix == ".parquet":
        keys = pq.read_metadata(path).row_group(0).column(0)
        place = keys.data_page_offset + keys.total_compressed_size - 2
    data[place] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize(
    "part",
    [
        "datasets/run/shard-000000.tar",
        "moments/run/*/shard-000000.safetensors",
        "operators/run/*.safetensors",
        "enhanced/*/shard-000001.parquet",
        "datasets/run/matches/reference/shard-000000.parquet",
    ],
)
def test_nothing_is_made_of_a_file_of_which_one_bit_has_turned(run, part):
    turned(next(path for name, path in files_of(run).items() if fnmatch(name, part)))
    for kind in ("moments", "operators", "enhanced", "metrics", "reports"):
        for record in run.workspace.ledger.survey(kind).all():
            files = run.workspace.ledger.facts(record)["files"]
            if not any(fnmatch(name, part) for name in files):
                run.workspace.ledger.withdraw([record])
    read_operator.cache_clear()
    with pytest.raises(ArtifactDamaged, match=r"run `dotpipe (verify|repair) CONFIG`"):
        run.run()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["shards", "index"])
def test_a_damaged_index_is_told_to_be_one_while_its_record_is_there(run, name, damage):
    def read():
        if name == "shards":
            return run.workspace.shards("run")
        return list(run.workspace.keys("run"))

    damage(run.workspace.store.local(f"datasets/run/{name}.parquet"))
    with pytest.raises(ArtifactDamaged, match=rf"run/{name}\.parquet must be .*`dotpipe repair"):
        read()
    run.workspace.ledger.withdraw(run.workspace.ledger.records("datasets/run/index"))
    if damage is not blanked or name == "shards":
        with pytest.raises(StepMissing, match="run `dotpipe shard CONFIG` first"):
            read()


def test_a_damaged_list_of_shards_is_a_note_of_the_status(run):
    cut(run.workspace.store.local("datasets/run/shards.parquet"))
    notes = {step.name: step.note for step in status_of_steps(run.config)}
    assert "datasets/run/shards.parquet must be a whole Parquet file" in notes["enhance run"]
