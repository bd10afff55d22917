"""Features of large data sets added up leaf by leaf: the same numbers, few leaves made anew."""

import shutil

import pytest
from workspaces.plain_pipeline import do

from tasks.evaluate import overlap
from tasks.evaluate.fidelity import plan_fidelity
from tasks.evaluate.sums import leaves
from tasks.evaluate.sums.add import write_sums
from tasks.evaluate.sums.plan import plan_sums
from tasks.io.catalogue.sampling import hash_of
from tasks.io.errors import StepMissing
from tasks.io.ledger import versions
from tasks.io.workspace import results_folders
from tasks.pipeline import is_finished
from tasks.upkeep.cleaning.waste import clean
from tasks.upkeep.forget import forget
from tasks.upkeep.status import status_of_steps
from tasks.upkeep.verify import repair, still_missing, verify

CURVE = {"step": 0.5, "networks": True, "low_shares": [1.0]}
AGAINST = {"against": ["reference", "natural"], "curve": CURVE}
STEP = "add up features"


@pytest.fixture(scope="module")
def corpora(tmp_path_factory, write_images, pixels, softened):
    """Twelve images with their originals, and ten others."""
    folder = tmp_path_factory.mktemp("corpora")
    natural = {f"{number:02d}.png": pixels(number, 32, 40) for number in range(12)}
    others = {f"n{number}.png": pixels(50 + number, 32, 40) for number in range(10)}
    write_images(folder / "reference", natural)
    write_images(folder / "natural", others)
    write_images(folder / "restored", {name: softened(each) for name, each in natural.items()})
    return folder


def make_large(patch, images):
    """Count data sets as large from one image more on; images of a fit of four are left out."""
    patch.setattr(leaves, "IMAGES", images)
    patch.setattr(overlap, "ENOUGH", 3)


@pytest.fixture(scope="module")
def make(steps, squeezenet_weights):
    def made(workspace, corpora, **evaluate):
        options = {"features": "squeezenet", **AGAINST, **evaluate}
        sections = {"enhance": {"alphas": [0, 1]}, "fit": {"images": 4}, "shards": {"images": 2}}
        roles = {role: corpora / role for role in ("restored", "reference", "natural")}
        return steps(workspace, roles, evaluate=options, **sections)

    return made


@pytest.fixture(scope="module")
def finished(make, corpora, tmp_path_factory):
    """Workspaces of runs that read features one by one, and that add them up; to copy."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        for name, images in (("direct", 100), ("leaves", 4)):
            make_large(patch, images)
            make(folder / name, corpora).run()
    return folder


@pytest.fixture
def opened(finished, make, corpora, tmp_path, monkeypatch):
    """A copy of one of them, where data sets are large as in the second."""

    def copied(name="leaves", **evaluate):
        make_large(monkeypatch, 4)
        shutil.copytree(finished / name, tmp_path / "workspace", dirs_exist_ok=True)
        return make(tmp_path / "workspace", corpora, **evaluate)

    return copied


@pytest.fixture
def changeable(corpora, tmp_path):
    """The folder of the images, which a test may change."""
    shutil.copytree(corpora, tmp_path / "kept")
    yield corpora
    for role in ("restored", "reference"):
        for path in (corpora / role).iterdir():
            if not (tmp_path / "kept" / role / path.name).exists():
                path.unlink()
        shutil.copytree(tmp_path / "kept" / role, corpora / role, dirs_exist_ok=True)


def rows_of(run):
    return {(row["signal"], row["alpha"]): row for row in run.report()}


def finish(run):
    """All that is missing, as a user's run does it."""
    do(run.opened, lambda step: not step.repeats)


def left_to_do(run):
    """But for the report, which says where the workspace lies."""
    steps = status_of_steps(run.config)
    return [s.name for s in steps if (s.missing or s.stale) and s.name != "report"]


def sums_of(run):
    """The files of sums, and when each was written."""
    root = run.workspace.store.local()
    found = sorted(root.glob("features/**/sums/**/*.safetensors"))
    return {path.relative_to(root).as_posix(): path.stat().st_mtime_ns for path in found}


def parts_of(paths, place):
    """The names at one place of the paths."""
    return {path.split("/")[place] for path in paths}


def require_alike(found, expected):
    """But for the last digits, which depend on the order of additions."""
    assert found.keys() == expected.keys()
    for signal, row in expected.items():
        assert found[signal].keys() == row.keys()
        for column, value in row.items():
            if isinstance(value, float):
                assert found[signal][column] == pytest.approx(value, rel=1e-6, abs=1e-7), column
            else:
                assert found[signal][column] == value, column


def test_numbers_are_those_of_features_that_are_read_one_by_one(finished, make, corpora):
    direct, by_leaves = (make(finished / name, corpora) for name in ("direct", "leaves"))
    assert not sums_of(direct)
    found = sums_of(by_leaves)
    assert len({path.rpartition("/")[2] for path in found}) > 2
    assert {"alpha+0.00", "input", "curve", "map", "compared"} <= parts_of(found, 3)
    assert {"reference", "natural"} <= parts_of(found, 4)
    rows = rows_of(by_leaves)
    require_alike(rows, rows_of(direct))
    assert rows["enhanced", 0.0]["featured"] == 8


def test_images_of_the_fit_count_where_they_are_to(opened, monkeypatch):
    rows = []
    for images in (4, 100):
        run = opened(leave_out_fitted=False)
        shutil.rmtree(run.workspace.store.local(f"ledger/reports/run/{run.operator}"))
        make_large(monkeypatch, images)
        rows.append(rows_of(run))
    require_alike(*rows)
    assert rows[0]["enhanced", 0.0]["featured"] == 12


def test_what_was_measured_before_is_not_added_up(opened):
    run = opened("direct")
    assert left_to_do(run) == []
    assert {unit.job for unit in plan_sums(run.opened, lambda: run.fitted)} == {None}


@pytest.mark.parametrize("why", ["no network", "no weights"])
def test_a_large_data_set_without_features_has_none(make, corpora, tmp_path, monkeypatch, why):
    make_large(monkeypatch, 4)
    if why == "no weights":
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr("torch.hub.download_url_to_file", None)
    network = "squeezenet" if why == "no weights" else None
    against = AGAINST["against"] if network else None
    run = make(tmp_path / "workspace", corpora, features=network, against=against, curve=None)
    run.run()
    assert is_finished(run.config)
    assert not sums_of(run)
    assert STEP not in {status.name for status in status_of_steps(run.config)}


def test_images_of_a_fit_that_is_known_again_are_apart_again(opened, monkeypatch):
    run = opened()
    fit = run.config.fit.model_copy(update={"refit_beyond": 1.0})
    unknown = type(run)(run.config.model_copy(update={"fit": fit}))
    monkeypatch.setattr("tasks.fit.fitted_images._facts", lambda *_: {})  # too many to be listed
    finish(unknown)
    assert rows_of(unknown)["enhanced", 0.0]["featured"] == 12
    assert unknown.operator == run.operator
    finish(run)
    assert rows_of(run)["enhanced", 0.0]["featured"] == 8


def test_features_that_another_run_changes_meanwhile_are_not_added_up(opened, monkeypatch):
    run = opened(sample=100)
    (job, *_) = (unit.job for unit in plan_sums(run.opened, lambda: run.fitted) if unit.job)
    other = job.model_copy(update={"digests": ("0" * 32, *job.digests[1:])})
    with pytest.raises(StepMissing, match="must stay while they are added up, but another run"):
        write_sums(other)
    assert not run.workspace.ledger.records(f"{job.target.artifact}")[1:]


def test_they_go_with_the_results_of_a_former_operator(opened):
    run = opened()
    folder = f"features/run/{run.operator}"
    assert all(path.startswith(folder) for path in sums_of(run))
    assert folder in results_folders("run", run.operator)


def test_an_image_more_has_its_leaf_alone_added_up_anew(opened, changeable, write_images, pixels):
    run = opened()
    before = sums_of(run)
    # Names of which the fit chooses none, so that the operator stays.
    chosen = sorted(hash_of(f"{number:02d}", 0) for number in range(12))[3]
    (name, *_) = (f"{n}.png" for n in range(12, 99) if hash_of(str(n), 0) > chosen)
    for role in ("restored", "reference"):
        write_images(changeable / role, {name: pixels(12, 32, 40)})
    finish(run)
    assert is_finished(run.config)
    after = sums_of(run)
    assert before.keys() <= after.keys()
    changed = {path for path in after if before.get(path) != after[path]}
    assert len({path.rpartition("/")[2].removeprefix("from-") for path in changed}) == 1
    assert {"reference"} == parts_of({path for path in changed if "/compared/" in path}, 4)


def test_another_sample_has_all_of_them_added_up_anew(opened):
    before = sums_of(opened())
    run = opened(sample=100)
    (status,) = (s for s in status_of_steps(run.config) if s.name == STEP)
    assert status.done == 0
    assert list(status.reasons) == ["sample (5000 → 100) changed"]
    with pytest.raises(StepMissing, match="must have been added up, but have not"):
        list(plan_fidelity(run.fitted))
    run.report()
    assert all(when != before[path] for path, when in sums_of(run).items())


def test_numbers_of_features_that_change_are_added_up_anew(opened, monkeypatch):
    run = opened()
    raised = {**versions.VERSIONS, "fidelity": versions.VERSIONS["fidelity"] + 1}
    monkeypatch.setattr(versions, "VERSIONS", raised)
    assert STEP in left_to_do(run)


def test_they_are_no_waste_until_nothing_needs_them(opened, monkeypatch):
    run = opened()
    assert not clean(run.config).records
    assert sums_of(run)
    make_large(monkeypatch, 100)
    clean(run.config)
    assert not sums_of(run)
    assert left_to_do(run) == []


def test_they_are_no_waste_where_weights_are_missing(opened, tmp_path, monkeypatch):
    run = opened()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    assert not clean(run.config).records
    assert sums_of(run)


def test_damaged_ones_that_nothing_asks_for_are_not_another_runs(opened):
    run = opened()
    path = next(iter(sums_of(run)))
    run.workspace.store.local(path).unlink()
    damaged = [each for each in verify(run.workspace.ledger) if each.damage]
    repair(run.workspace.ledger, damaged)
    finish(run)
    assert path not in sums_of(run)
    assert still_missing(run.config, damaged) == []


def test_a_forgotten_image_is_in_none_of_them(opened):
    run = opened()
    forget([run.config], ["03"], run.workspace)
    assert not sums_of(run)
    finish(run)
    assert is_finished(run.config)
    assert rows_of(run)["input", None]["featured"] in (7, 8)  # it may have been of the fit


def test_shards_that_are_gone_are_in_none_of_them(opened, changeable, make, tmp_path):
    run = opened()
    for name in ("00.png", "01.png"):
        (changeable / "restored" / name).unlink()
    finish(run)
    assert is_finished(run.config)
    fresh = make(tmp_path / "fresh", changeable)
    fresh.run()
    require_alike(rows_of(run), rows_of(fresh))


def test_a_step_that_may_not_come_is_not_announced(make, corpora, tmp_path, monkeypatch):
    run = make(tmp_path / "workspace", corpora)
    assert STEP not in {status.name for status in status_of_steps(run.config)}
    run.shard()
    assert STEP not in {status.name for status in status_of_steps(run.config)}
    make_large(monkeypatch, 4)
    assert STEP in {status.name for status in status_of_steps(run.config)}
