"""Results of former operators go, and never what somebody needs."""

import shutil

import pytest

from tasks.config.registry import register
from tasks.io.errors import StoreAway, WorkspaceBusy
from tasks.io.store import Store
from tasks.pipeline import is_finished
from tasks.upkeep.cleaning.former import former_operators, let_former_go, tidy_up
from tasks.upkeep.cleaning.waste import find_waste, remove_waste
from tasks.upkeep.verify import verify

KINDS = ("enhanced", "metrics", "features", "reports")


ALPHAS = {"enhance": {"alphas": [0]}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds corpora and workspace of all tests, which put it back as it was."""
    return tmp_path_factory.mktemp("nights")


@pytest.fixture(scope="module")
def corpora(folder, write_images, pixels, softened):
    """Adds pairs of images to the two folders that it returns."""

    def add(*numbers):
        for number in numbers:
            image = pixels(number)
            write_images(folder / "natural", {f"{number}.png": image})
            write_images(folder / "restored", {f"{number}.png": softened(image)})
        return {"restored": folder / "restored", "reference": folder / "natural"}

    return add


@pytest.fixture(scope="module")
def three_nights(folder, steps, corpora):
    """The operators of three runs, before each of which an image was added, in order."""
    run, operators = steps(folder / "workspace", corpora(0, 1, 2), **ALPHAS), []
    for number in (3, 4, 5):
        corpora(number)
        run.run()
        operators.append(run.operator)
    register(run.config)
    return operators


@pytest.fixture
def nights(folder, steps, corpora, three_nights, tmp_path, monkeypatch):
    """Gives the configuration that was run three times, and its operators in order."""
    kept = shutil.copytree(folder, tmp_path / "kept")
    used = {name: str(night) for night, name in enumerate(three_nights)}
    last_used = "tasks.upkeep.cleaning.former._last_used"  # as these runs took no second each
    monkeypatch.setattr(last_used, lambda name, *_: used.get(name, "9"))

    def run(**sections):
        each = steps(folder / "workspace", corpora(), **ALPHAS, **sections)
        register(each.config)
        return each, three_nights

    yield run
    shutil.rmtree(folder)
    kept.rename(folder)


def operators_of(run, kind):
    """The operators that have something of a kind, as a set."""
    names = run.workspace.store.names(kind)
    place = 2 if kind != "ledger" else 3
    return {name.split("/")[place].partition(".")[0] for name in names}


def is_whole(run):
    return is_finished(run.config) and not [c for c in verify(run.workspace.ledger) if c.damage]


def test_one_former_operator_stays_beside_the_one_in_use(nights):
    run, (first, second, third) = nights(keep=1)
    assert former_operators(run.opened, [run.config]) == [second, first]
    said = tidy_up(run.config)
    assert said.startswith("removed the results of 1 former operator(s), ")
    assert said.endswith(" kB, as keep is 1")
    for kind in ("operators", *KINDS):
        assert operators_of(run, kind) - {"latest"} == {second, third}
    assert first not in "".join(run.workspace.store.names("ledger"))
    assert not run.workspace.store.local(f"enhanced/run/{first}").exists()
    assert is_whole(run)
    assert tidy_up(run.config) == ""


@pytest.mark.parametrize(("keep", "default", "left"), [(None, None, 3), (None, 0, 1), (2, 0, 3)])
def test_the_configuration_says_how_many_else_whoever_runs_it(nights, keep, default, left):
    run, _ = nights(keep=keep)
    tidy_up(run.config, default)
    assert len(operators_of(run, "operators")) == left
    assert is_whole(run)


def test_what_another_configuration_uses_or_reports_on_stays(nights, steps, corpora):
    run, (*_, third) = nights(keep=0)
    sharing = {"restored": {"path": str(corpora()["restored"]), "name": "run"}}
    sharing["reference"] = corpora()["reference"]
    other = steps(run.config.workspace, sharing, name="other", enhance={"alphas": [0, 0.5]})
    other.run()
    register(other.config)
    assert other.operator == third
    corpora(6)
    run.run()
    assert not is_finished(other.config)
    let_former_go(run.config, 0)
    assert operators_of(run, "operators") == {third, run.operator}
    assert {"alpha=+0.50"} <= {n.split("/")[3] for n in run.workspace.store.names("enhanced")}
    assert is_whole(run)
    other.run()
    let_former_go(run.config, 0)
    assert operators_of(run, "operators") == {run.operator}
    assert is_whole(other)


def test_what_was_made_with_other_options_is_not_a_former_operators(nights, steps, corpora):
    run, (*_, third) = nights(keep=0)
    changed = steps(run.config.workspace, corpora(), **ALPHAS, fit={"ridge": 0.1})
    changed.run()
    assert former_operators(changed.opened, [changed.config]) == []
    let_former_go(changed.config, 0)
    assert {third, changed.operator} < operators_of(run, "operators")


def test_an_operator_that_is_kept_is_in_use_however_old_it_is(nights, corpora):
    run, (*_, third) = nights(keep=0, fit={"refit_beyond": 100})
    corpora(6)
    run.run()
    assert run.operator == third
    let_former_go(run.config, 0)
    assert operators_of(run, "operators") == {third}
    assert is_whole(run)


def test_beside_another_run_nothing_goes_and_the_next_one_does_it(nights):
    run, _ = nights(keep=0)
    with run.workspace.claims.held("runs/other-1"):
        with pytest.raises(WorkspaceBusy, match="runs/other-1 is claimed"):
            let_former_go(run.config, 0, ["runs/run-1"])
        said = tidy_up(run.config)
    assert said.startswith("results of former operators stay until the next run, or `dotpipe gc`: ")
    assert len(operators_of(run, "operators")) == 3
    with run.workspace.claims.held("runs/run-1"):
        assert tidy_up(run.config, beside=["runs/run-1"]).startswith("removed")
    assert operators_of(run, "operators") == {run.operator}


@pytest.mark.parametrize("calls", [1, 2, 7, 20])
def test_killed_midway_no_record_names_what_is_gone_and_the_next_run_ends_it(
    nights, monkeypatch, calls
):
    run, _ = nights(keep=0)
    remove, left = Store.remove, iter(range(calls))

    def cut(store, path):
        if next(left, None) is None:
            raise StoreAway("cut off")
        remove(store, path)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "remove", cut)
        assert "cut off" in tidy_up(run.config)
    for record in run.workspace.ledger.survey("").all():
        for path in run.workspace.ledger.facts(record)["files"]:
            assert run.workspace.store.exists(path)
    assert is_whole(run)
    assert tidy_up(run.config).startswith("removed")
    assert operators_of(run, "operators") == {run.operator}
    assert find_waste([run.config], run.workspace) == ([], [], [], {}, [])


def test_gc_leaves_what_keep_holds(nights):
    run, (_, second, third) = nights(keep=1)
    waste = find_waste([run.config], run.workspace)
    remove_waste(waste, [run.config], run.workspace)
    assert operators_of(run, "operators") == {second, third}
    assert operators_of(run, "enhanced") == {second, third}
    quiet = run.config.model_copy(update={"keep": None})
    assert find_waste([quiet], run.workspace, 1) == ([], [], [], {}, [])
    assert find_waste([quiet], run.workspace).records


def test_former_operators_go_from_a_bucket_too(bucket, nights, steps, corpora):
    local, (first, second, _) = nights()
    url = bucket.upload(local.workspace.store.local(), "workspace")
    run = steps(url, corpora(), **ALPHAS)
    assert let_former_go(run.config, 0).operators == [second, first]
    left = list(run.workspace.store.names(""))
    assert not [path for path in left if first in path or second in path]
