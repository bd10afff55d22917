"""Results of one operator under names of their own: made beside others, and known to every verb."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.config.registry import register
from tasks.enhance.signals import signals_to_score
from tasks.export.export import write_exported
from tasks.export.plan import Export
from tasks.io.workspace import metrics_folder, reports_folder, votes_folder
from tasks.pipeline import is_finished
from tasks.report.outcome import read_results
from tasks.report.report import report_address
from tasks.upkeep.cleaning.former import let_former_go
from tasks.upkeep.cleaning.waste import find_waste, remove_waste
from tasks.upkeep.forget import forget
from tasks.upkeep.refused import list_unscored
from tasks.upkeep.status import status_of_steps
from tasks.upkeep.verify import verify
from tasks.view.viewed import Viewed, members

ALL = {"low_share": 1, "name": "all", "alphas": [0], "outputs": "files"}
SHARED = ("datasets", "moments", "operators")


@pytest.fixture(scope="module")
def made(tmp_path_factory, steps, pixels, softened, write_images):
    """A folder with a run, another with results of a name, and the files before the second."""
    folder = tmp_path_factory.mktemp("beside")
    images = {f"{i}.png": pixels(i) for i in range(5)}
    write_images(folder / "natural", images)
    write_images(folder / "restored", {name: softened(image) for name, image in images.items()})
    plain, named = runs_in(folder, steps)
    plain.run()
    before = files_of(plain)
    named.run()
    for run in (plain, named):
        register(run.config)
    return folder, before


@pytest.fixture
def runs(made, tmp_path, steps, monkeypatch):
    """Both runs, in a copy of the folder."""
    folder, _ = made
    kept = shutil.copytree(folder, tmp_path / "kept")
    yield runs_in(folder, steps)
    shutil.rmtree(folder)
    kept.rename(folder)


def runs_in(folder, steps):
    corpora = {"restored": folder / "restored", "reference": folder / "natural"}
    corpora["restored"] = {"path": str(corpora["restored"]), "name": "set"}
    return [
        steps(folder / "workspace", corpora, name=name, enhance=options)
        for name, options in (("run", {}), ("other", ALL))
    ]


def files_of(run):
    root = run.workspace.store.local()
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def of_results(run, paths):
    """Those of the paths that lie in folders of a run's results."""
    results = run.fitted.results
    return {path for path in paths if f"/set/{results}/" in path}


def test_they_lie_beside_those_of_the_operator_and_share_all_before(runs, made):
    plain, other = runs
    assert other.fitted.results == f"{plain.operator}-all"
    after, before = files_of(plain), made[1]
    assert {path: after[path] for path in before} == before
    new = {path for path in after.keys() - before.keys() if path.partition("/")[0] != "claims"}
    assert not [path for path in new if path.startswith(SHARED)]
    kinds = {path.partition("/")[0] for path in of_results(other, new)}
    assert kinds == {"enhanced", "metrics", "features", "reports", "ledger"}
    assert is_finished(plain.config)
    assert is_finished(other.config)


def test_status_report_and_choice_are_of_ones_own(runs):
    plain, other = runs
    for run, alphas in ((plain, {0.0, 0.5, 1.0}), (other, {0.0})):
        steps = list(status_of_steps(run.config))
        assert sum(step.missing + step.stale + step.failed for step in steps) == 0
        assert f"/{run.fitted.results}/report.html" in report_address(run.config)
        rows = read_results(run.config).rows
        assert {row["alpha"] for row in rows if row["signal"] == "enhanced"} == alphas
    page = plain.workspace.store.read("reports/other/latest.html").decode()
    assert f"{other.fitted.results}/report.html" in page


def test_images_of_them_without_a_value_are_told(runs):
    plain, other = runs
    signal, *_ = signals_to_score(other.config)
    folder = other.workspace.store.local(metrics_folder("set", other.fitted.results, signal))
    for path in folder.glob("*.parquet"):
        table = pq.read_table(path)
        place = table.column_names.index("status")
        unscored = pa.array(["unscored"] * len(table))
        pq.write_table(table.set_column(place, "status", unscored), path)
    assert [*list_unscored(plain.config)] == []
    assert {row.image for row in list_unscored(other.config)} == set("01234")


def test_what_is_damaged_of_them_is_found(runs):
    _, other = runs
    folder = reports_folder("set", other.fitted.results)
    other.workspace.store.local(f"{folder}/report.html").write_text("other")
    damaged = [each for each in verify(other.workspace.ledger) if each.damage]
    assert [each.record.artifact for each in damaged] == [f"{folder}/report"]


def test_they_are_no_waste_as_long_as_their_configuration_is_served(runs):
    plain, other = runs
    both = [plain.config, other.config]
    assert find_waste(both, plain.workspace)[:3] == ([], [], [])
    before = set(files_of(plain))
    waste = find_waste([plain.config], plain.workspace)
    remove_waste(waste, [plain.config], plain.workspace, dropped=["other"])
    gone = before - set(files_of(plain))
    assert of_results(other, before) <= gone
    assert not of_results(plain, gone)
    assert is_finished(plain.config)


def test_those_of_a_run_that_was_cut_off_stay(runs):
    plain, other = runs
    folder = reports_folder("set", other.fitted.results)
    plain.workspace.ledger.retire(plain.workspace.ledger.survey(folder).all())
    before = of_results(other, files_of(plain))
    waste = find_waste([plain.config, other.config], plain.workspace)
    assert len(waste.doubts) == 1
    assert not of_results(other, waste.files)
    remove_waste(waste, [plain.config, other.config], plain.workspace)
    assert of_results(other, files_of(plain)) == before


def test_a_forgotten_image_is_in_none_of_them(runs):
    plain, other = runs
    before = of_results(other, files_of(plain))
    forget([plain.config, other.config], ["2"], plain.workspace)
    assert not before & set(files_of(plain))  # as the operator was fitted on it too
    for run in runs:
        run.run()
        assert is_finished(run.config)
    pictures = {path for path in of_results(other, files_of(plain)) if path.endswith(".webp")}
    assert sorted(path.rpartition("/")[2] for path in pictures) == [
        f"{i}.webp" for i in (0, 1, 3, 4)
    ]


def test_what_a_shard_that_is_gone_left_of_them_goes_too(runs, made):
    plain, other = runs
    lost = {path for path in of_results(other, files_of(plain)) if "shard-000001" in path}
    for name in ("3.png", "4.png"):
        for kind in ("natural", "restored"):
            (made[0] / kind / name).unlink()
    plain.shard()
    assert lost
    assert not lost & set(files_of(plain))


def test_they_are_exported_and_viewed(runs, tmp_path):
    _, other = runs
    export = Export(other.fitted, str(tmp_path / "out"), 0.0)
    units = export.units()
    export.prepare(units)
    for unit in units:
        write_exported(unit.job)
    export.finish()
    out = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.webp")}
    made = of_results(other, files_of(other))
    assert out == {
        path.rpartition("/")[2]: files_of(other)[path] for path in made if path.endswith(".webp")
    }
    viewed = Viewed.of(other.config)
    version = viewed.version("+0.00")
    found = members(viewed, version, "shard-000000")
    assert {f"/{other.fitted.results}/" in member.file for member in found.values()} == {True}
    assert viewed.tables(version).folder.startswith(f"metrics/set/{other.fitted.results}/")
    assert votes_folder("set", other.fitted.results) == f"votes/set/{other.operator}-all"


def test_those_of_former_operators_go_with_them(runs, made, write_images, pixels, softened):
    plain, other = runs
    former, before = other.fitted.results, files_of(plain)
    write_images(made[0] / "natural", {"9.png": pixels(9)})
    write_images(made[0] / "restored", {"9.png": softened(pixels(9))})
    for run in runs:
        run.run()
    gone = let_former_go(other.config, 0)
    assert gone.operators == [former.partition("-")[0]]
    left = set(files_of(plain))
    assert not [path for path in before if f"/set/{gone.operators[0]}" in path and path in left]
    assert is_finished(plain.config)
    assert is_finished(other.config)
