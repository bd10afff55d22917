"""What no configuration refers to is found, and nothing else goes."""

import subprocess
import sys
from contextlib import contextmanager

import pytest
from servers.s3_server import unconditional, unnamed, well

from tasks.config.registry import register, registered
from tasks.io.errors import WorkspaceBusy
from tasks.io.machine.processes import place
from tasks.io.store.atomic import aside_in
from tasks.io.store.spool import PARTIAL
from tasks.io.workspace import CLEANING, RUNS, Workspace, alone
from tasks.pipeline import is_finished
from tasks.upkeep.cleaning.removal import by_folder, total_of
from tasks.upkeep.cleaning.waste import clean, find_waste, remove_waste
from tasks.upkeep.verify import verify


@pytest.fixture
def corpora(photographs):
    return {"restored": photographs["restored"], "reference": photographs["natural"]}


@pytest.fixture
def run(finished_copy):
    return finished_copy


def names(run):
    return set(run.workspace.store.names(""))


def test_a_finished_run_has_no_waste(run):
    waste = find_waste([run.config], run.workspace)
    assert waste == ([], [], [], {}, [])


def test_what_a_dropped_alpha_left_goes_and_all_else_stays(tmp_path, run, steps, corpora):
    narrow = steps(tmp_path / "workspace", corpora, enhance={"alphas": [0, 0.5]})
    narrow.run()
    waste = find_waste([narrow.config], narrow.workspace)
    before = names(run)
    remove_waste(waste, [narrow.config], narrow.workspace)
    gone = before - names(run)
    assert gone
    assert all("alpha=+1.00/" in name or "alpha+1.00" in name for name in gone)
    assert is_finished(narrow.config)
    assert not [each for each in verify(narrow.workspace.ledger) if each.damage]
    assert find_waste([narrow.config], narrow.workspace) == ([], [], [], {}, [])


def test_what_another_configuration_needs_is_no_waste(tmp_path, run, steps, corpora):
    other = steps(tmp_path / "workspace", corpora, name="other", fit={"ridge": 0.1})
    other.run()
    both = [run.config, other.config]
    assert find_waste(both, run.workspace) == ([], [], [], {}, [])
    waste = find_waste([run.config], run.workspace)
    artifacts = [record.artifact.split("/") for record in waste.records]
    assert {(kind, name) for kind, name, *_ in artifacts if name != "other"} == {
        ("moments", "reference")  # of its own choice of images
    }


def test_files_without_a_record_and_notes_of_old_failures_go(run):
    store = run.workspace.store
    store.write("enhanced/stray.tar", b"left by a run that was killed")
    record = next(iter(run.workspace.ledger.survey("datasets").all()))
    run.workspace.ledger.note_failure(record.artifact, record.fingerprint, {"error": "past"})
    waste = find_waste([run.config], run.workspace)
    assert waste.files == ["enhanced/stray.tar"]
    assert len(waste.notes) == 1
    remove_waste(waste, [run.config], run.workspace)
    assert find_waste([run.config], run.workspace) == ([], [], [], {}, [])


def test_half_written_files_go_of_processes_that_were_killed_and_of_no_other(run):
    killed = subprocess.Popen([sys.executable, "-c", "pass"])
    killed.wait()
    spool = run.workspace.store.local(PARTIAL)
    spool.mkdir(exist_ok=True)
    left, ours = spool / f"dotpipe-{place()}-{killed.pid}-0a", aside_in(spool)
    for path in (left, ours):
        path.write_bytes(b"half")
    clean(run.config)
    assert [*spool.iterdir()] == [ours]


def test_folders_are_listed_with_what_they_hold(run):
    run.workspace.store.write("enhanced/old/a.tar", b"1")
    run.workspace.store.write("enhanced/old/b.tar", b"1")
    assert find_waste([run.config], run.workspace).folders["enhanced/old"][0] == 2


def test_of_a_configuration_that_has_not_run_all_that_it_may_need_stays(
    tmp_path, run, steps, corpora
):
    other = steps(tmp_path / "workspace", corpora, fit={"ridge": 0.1})
    run.workspace.store.write("enhanced/run/left.tar", b"perhaps of this run")
    run.workspace.store.write("enhanced/gone/stray.tar", b"of no configuration")
    waste = find_waste([other.config], run.workspace)
    assert (waste.records, waste.files, waste.notes) == ([], ["enhanced/gone/stray.tar"], [])
    (doubt,) = waste.doubts
    assert doubt.startswith("'run' has not been run to its end, so all that it may need is kept (")
    assert doubt.endswith("or drop it with --drop run if it is not wanted any more")
    assert total_of(waste.folders) == "1 file, 19 B"


def test_a_run_that_was_cut_off_keeps_its_operator_and_its_last_report_and_no_others(
    tmp_path, steps, pixels, write_images
):
    folder = write_images(tmp_path / "images", {f"{i}.png": pixels(i) for i in range(4)})
    run = steps(tmp_path / "workspace", {"restored": folder, "reference": folder})
    run.run()
    operators = [run.operator]
    for number in (4, 5):
        write_images(folder, {f"{number}.png": pixels(number)})
        run.shard()
        run.fit()
        operators.append(run.operator)
    waste = find_waste([run.config], run.workspace)
    assert {record.artifact for record in waste.records} == {f"operators/run/{operators[1]}"}
    remove_waste(waste, [run.config], run.workspace)
    run.enhance()
    run.report()
    assert is_finished(run.config)
    former = find_waste([run.config], run.workspace)
    assert {r.artifact.split("/")[2] for r in former.records} == {operators[0]}
    assert former.doubts == []


def test_where_a_corpus_is_not_to_be_seen_nothing_of_its_configuration_goes(run, tmp_path):
    tree = run.config.model_dump()
    tree["corpora"]["restored"]["path"] = str(tmp_path / "not mounted")
    waste = find_waste([type(run.config).model_validate(tree)], run.workspace)
    assert (waste.records, waste.files) == ([], [])
    assert waste.doubts[0].startswith("what 'run' needs cannot be known here, so all of it is kept")


def test_what_is_cleaned_at_once_is_told(run):
    run.workspace.store.write("enhanced/old/a.tar", b"12")
    with run.workspace.claims.held("runs/run-1"), pytest.raises(WorkspaceBusy):
        clean(run.config)
    assert clean(run.config).folders == {"enhanced/old": (1, 2)}
    assert clean(run.config).folders == {}


def meanwhile(monkeypatch, event):
    """Have something happen just before a clean-up makes sure that no run is at work."""

    @contextmanager
    def later(*args):
        event()
        with alone(*args):
            yield

    monkeypatch.setattr("tasks.upkeep.cleaning.waste.alone", later)


def test_what_a_new_configuration_made_while_a_clean_up_began_stays(
    tmp_path, run, steps, corpora, monkeypatch
):
    other = steps(tmp_path / "workspace", corpora, name="other", fit={"ridge": 0.1})

    def run_other():
        register(other.config)
        other.run()

    meanwhile(monkeypatch, run_other)
    assert clean(run.config).folders == {}
    assert is_finished(other.config)


def test_what_a_new_configuration_took_up_while_somebody_was_asked_stays(
    tmp_path, run, steps, corpora, monkeypatch
):
    former = steps(tmp_path / "workspace", corpora, name="former", fit={"ridge": 0.1})
    former.run()
    waste = find_waste([run.config], run.workspace)
    assert waste.records
    meanwhile(monkeypatch, lambda: register(former.config))
    remove_waste(waste, [run.config], run.workspace)
    assert is_finished(former.config)


def test_a_configuration_is_dropped_only_when_no_run_is_at_work(tmp_path, run, steps, corpora):
    other = steps(tmp_path / "workspace", corpora, name="other", fit={"ridge": 0.1})
    other.run()
    register(other.config)
    waste = find_waste([run.config], run.workspace)
    with run.workspace.claims.held("runs/other-1"), pytest.raises(WorkspaceBusy):
        remove_waste(waste, [run.config], run.workspace, ["other"])
    assert list(registered(run.workspace.store)) == [other.config]
    remove_waste(waste, [run.config], run.workspace, ["other"])
    assert list(registered(run.workspace.store)) == []
    assert not is_finished(other.config)


def test_beside_a_run_that_is_at_work_nothing_is_removed(run):
    run.workspace.store.write("enhanced/stray.tar", b"1")
    waste = find_waste([run.config], run.workspace)
    with (
        run.workspace.claims.held("runs/run-1"),
        pytest.raises(WorkspaceBusy, match="runs/run-1 is claimed"),
    ):
        remove_waste(waste, [run.config], run.workspace)
    assert run.workspace.store.exists("enhanced/stray.tar")


@pytest.mark.parametrize("server", ["complete", "unnamed", "unconditional"])
def test_a_run_on_any_server_of_s3_keeps_those_who_clean_up_away(bucket, proxy, server):
    proxy.edit = unnamed if server == "unnamed" else bytes
    proxy.choose = unconditional if server == "unconditional" else well
    workspace = Workspace(f"{bucket.url}/workspace")
    with (
        workspace.claims.held(f"{RUNS}/demo-1"),
        pytest.raises(WorkspaceBusy, match=r"runs/demo-1 is claimed; wait for it to end"),
        alone(workspace),
    ):
        pass
    with alone(workspace), workspace.claims.held(CLEANING) as ours:
        assert not ours


def test_what_was_published_since_it_was_shown_is_kept(tmp_path, run, steps, corpora):
    narrow = steps(tmp_path / "workspace", corpora, enhance={"alphas": [0, 0.5]})
    narrow.run()
    waste = find_waste([narrow.config], narrow.workspace)
    run.run()
    remove_waste(waste, [run.config], run.workspace)
    assert is_finished(run.config)
    assert not [each for each in verify(run.workspace.ledger) if each.damage]


def test_what_is_not_of_this_project_is_never_waste(run, tmp_path):
    root = run.workspace.store.local()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "photograph.png").write_bytes(b"1")
    (root / "enhanced" / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("photographs/1.png", "my-run.yaml", "weights/manifest.json"):
        run.workspace.store.write(name, b"1")
    assert find_waste([run.config], run.workspace) == ([], [], [], {}, [])


def test_an_image_that_is_new_makes_no_index_waste(tmp_path, steps, pixels, write_images):
    folder = write_images(tmp_path / "images", {f"{i}.png": pixels(i) for i in range(4)})
    run = steps(tmp_path / "workspace", {"restored": folder, "reference": folder})
    run.run()
    write_images(folder, {"4.png": pixels(4)})
    assert find_waste([run.config], run.workspace) == ([], [], [], {}, [])


def test_without_its_weights_features_stay_and_nobody_is_told_to_drop_a_configuration(
    tmp_path, run, monkeypatch
):
    tree = run.config.model_dump()
    tree["evaluate"]["features"] = "inception-v3-compat"
    tree["weights"] = str(tmp_path)
    config = type(run.config).model_validate(tree)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for folder in ("features/reference/abc", "features/other/abc"):
        run.workspace.store.write(f"{folder}/shard-000000.parquet", b"1")
    waste = find_waste([config], run.workspace)
    assert (waste.records, waste.files) == ([], ["features/other/abc/shard-000000.parquet"])
    assert waste.doubts == [
        "which features 'run' needs cannot be known, so all of them are kept: the weights of "
        "inception-v3-compat must be on this machine, but are not in "
        f"{tmp_path}/torch/hub/checkpoints; set TORCH_HOME as it was when the configuration ran, "
        "or do this where it runs"
    ]


def test_folders_that_keys_name_count_as_one_and_a_data_set_may_be_called_images():
    files = {
        "enhanced/images/op/alpha=+0.50/shard-000000.tar": 1,
        "enhanced/run/op/alpha=+0.50/images/a/images/1.png": 2,
        "enhanced/run/op/alpha=+0.50/images/2.png": 3,
    }
    assert by_folder(files) == {
        "enhanced/images/op/alpha=+0.50": (1, 1),
        "enhanced/run/op/alpha=+0.50/images": (2, 5),
    }
