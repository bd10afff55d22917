"""An operator stays while the statistics are near its own, and whoever asks finds it."""

import json
import math

import pytest
import torch

from dot_kernels import gelbrich_distance
from dot_kernels.moments import merge
from tasks.fit.decide import make_decision, plan_decision
from tasks.fit.decision import Decision, decision_artifact, decision_facts, read_decision
from tasks.fit.measure import WHOLE
from tasks.fit.operators import find_operator
from tasks.fit.reduce import plan_reduction
from tasks.io.artifacts.moments import load_moments, load_operator
from tasks.io.errors import CorpusError, StepMissing
from tasks.pipeline import is_finished
from tasks.upkeep.cleaning.waste import find_waste
from tasks.upkeep.forget import forget
from tasks.upkeep.status import status_of_steps
from tasks.upkeep.verify import verify

BEYOND = 0.2


@pytest.fixture
def corpora(tmp_path, write_images, pixels, softened):
    """Adds images to both sides under the same names; returns the folders."""

    def add(**drawn):
        for name, image in drawn.items():
            write_images(tmp_path / "natural", {f"{name}.png": image})
            write_images(tmp_path / "restored", {f"{name}.png": softened(image)})
        return {"restored": tmp_path / "restored", "natural": tmp_path / "natural"}

    add(**{f"i{number}": pixels(number) for number in range(8)})
    return add


@pytest.fixture
def fitted(tmp_path, steps, corpora):
    """Shards and fits what there is; by default with a threshold."""

    def fit(name="run", refit_beyond=BEYOND, **fit_options):
        options = {"refit_beyond": refit_beyond, **fit_options}
        named = {role: {"path": str(path)} for role, path in corpora().items()}
        named["restored"]["name"] = "run"
        run = steps(tmp_path / "workspace", named, name=name, fit=options)
        run.shard()
        run.fit()
        return run

    return fit


def run_with(run, **fit_options):
    """The run with other options of the fit; nothing is done."""
    fit = run.config.fit.model_copy(update=fit_options)
    return type(run)(run.config.model_copy(update={"fit": fit}))


def operators(run):
    survey = run.workspace.ledger.survey("operators")
    return {artifact.rpartition("/")[2] for artifact in survey.artifacts()}


def moments_now(run):
    """The moments of both sides, by a way of their own: those of every shard, added up."""
    sides = {"source": "run", "target": "natural"}
    found = {}
    for side, dataset in sides.items():
        folder = run.workspace.store.local(f"moments/{dataset}")
        files = sorted(folder.glob("*/*/shard-*.safetensors"))
        found[side] = merge([load_moments(path)[0][WHOLE] for path in files])
    return found


def moments_of(run, operator):
    path = run.workspace.store.local(f"operators/run/{operator}.safetensors")
    return load_operator(path)[1]


def share_of(run, operator):
    """How far the statistics are from an operator's own, by how far these are apart."""
    now, then = moments_now(run), moments_of(run, operator)
    moved = sum(gelbrich_distance(now[side], then[side]) for side in ("source", "target"))
    return moved / gelbrich_distance(then["source"], then["target"])


def test_by_default_every_change_is_a_refit(fitted, corpora, pixels):
    run = fitted(refit_beyond=None)
    before = run.operator
    corpora(near=pixels(0))
    run = fitted(refit_beyond=None)
    assert run.operator != before
    assert not run.workspace.store.exists(f"{decision_artifact(run.config)}.json")
    assert decision_facts(run.opened) == {}


def test_the_first_fit_has_nothing_to_be_compared_with(fitted):
    run = fitted()
    decision = read_decision(run.opened)
    assert (decision.operator, decision.compared_with) == (run.operator, None)
    assert (decision.keeps, decision.share) == (False, None)


def test_an_operator_stays_while_the_statistics_are_near(fitted, corpora, pixels):
    before = fitted().operator
    corpora(near=pixels(0))
    run = fitted()
    assert run.operator == before
    assert operators(run) == {before}
    decision = read_decision(run.opened)
    assert decision.keeps
    assert 0 < decision.share < BEYOND


def test_an_operator_goes_when_the_statistics_have_moved(fitted, corpora, pixels):
    before = fitted().operator
    corpora(**{f"dark{number}": pixels(20 + number) // 4 for number in range(6)})
    run = fitted()
    assert run.operator != before
    decision = read_decision(run.opened)
    assert (decision.compared_with, decision.keeps) == (before, False)
    assert decision.share > BEYOND
    torch.testing.assert_close(
        moments_of(run, run.operator)["source"].mean, moments_now(run)["source"].mean
    )


@pytest.mark.parametrize("refit_beyond", [0.001, 10.0])
def test_the_share_is_the_squared_distance_moved_over_that_between_the_sides(
    fitted, corpora, pixels, refit_beyond
):
    before = fitted().operator
    corpora(other=pixels(50))
    run = fitted(refit_beyond=refit_beyond)
    share = read_decision(run.opened).share
    assert share == pytest.approx(share_of(run, before), rel=1e-6)
    assert (run.operator == before) == (share <= refit_beyond)


def test_slow_drift_adds_up_to_a_refit(fitted, corpora, pixels):
    run = fitted()
    first, moved, last = run.operator, [], moments_now(run)
    while run.operator == first:
        assert len(moved) < 20
        darker = (0.75 * pixels(len(moved) % 8)).astype("uint8")
        corpora(**{f"dark{len(moved)}": darker})
        run = fitted()
        decision, now = read_decision(run.opened), moments_now(run)
        apart = decision.apart
        step = sum(gelbrich_distance(now[side], last[side]) for side in now) / apart
        assert step < BEYOND  # each night's own change would never mean a refit
        assert decision.compared_with == first
        assert decision.share == pytest.approx(share_of(run, first), rel=1e-6)
        moved, last = [*moved, decision.share], now
    assert len(moved) > 2
    assert moved[-2] <= BEYOND < moved[-1]


def test_a_decision_is_made_once(fitted, corpora, pixels):
    fitted()
    corpora(near=pixels(0))
    run = fitted()
    before = run.workspace.ledger.records(decision_artifact(run.config))
    assert plan_decision(run.opened, run.select()) is None
    assert fitted().workspace.ledger.records(decision_artifact(run.config)) == before


def test_another_threshold_judges_the_operator_in_use(fitted, corpora, pixels):
    before = fitted().operator
    corpora(near=pixels(0))
    assert fitted().operator == before
    assert fitted(refit_beyond=0.5).operator == before
    assert fitted(refit_beyond=1e-6).operator != before


@pytest.mark.parametrize(
    "option", [{"ridge": 0.1}, {"seed": 1}, {"images": 7}, {"pairing": "unpaired"}]
)
def test_an_option_of_the_fit_means_a_refit_however_near_the_statistics(fitted, option):
    before = read_decision(fitted(refit_beyond=100, images=4).opened)
    after = read_decision(fitted(**{"refit_beyond": 100, "images": 4} | option).opened)
    assert after.compared_with is None
    assert after.recipe != before.recipe


def test_an_option_of_the_fit_that_comes_back_finds_its_operator(fitted, corpora, pixels):
    before = fitted().operator
    assert fitted(ridge=0.1).operator != before
    corpora(near=pixels(0))
    run = fitted()
    assert run.operator == before
    assert read_decision(run.opened).keeps


def test_configurations_with_thresholds_of_their_own_do_not_disturb_one_another(
    fitted, corpora, pixels
):
    before = fitted("patient", refit_beyond=10).operator
    corpora(other=pixels(50))
    strict = fitted("strict", refit_beyond=1e-6)
    patient = fitted("patient", refit_beyond=10)
    always = fitted("always", refit_beyond=None)
    assert patient.operator == before
    assert strict.operator == always.operator != before
    for run in (patient, strict, always):
        assert plan_decision(run.opened, run.select()) is None
        assert plan_reduction(run.opened, run.select())[1] is None
    assert operators(patient) == {before, strict.operator}


def test_a_new_configuration_takes_the_nearest_operator_that_is_near_enough(
    fitted, corpora, pixels
):
    far = fitted("first", refit_beyond=None).operator
    corpora(other=pixels(50))
    near = fitted("first", refit_beyond=None).operator
    corpora(near=pixels(0))
    run = fitted("second", refit_beyond=10)
    assert share_of(run, near) < share_of(run, far)
    assert run.operator == near


def test_the_operator_in_use_stays_though_another_is_nearer(fitted, corpora, pixels):
    before = fitted(refit_beyond=10).operator
    corpora(other=pixels(50))
    nearer = fitted("another", refit_beyond=None)
    assert share_of(nearer, nearer.operator) < share_of(nearer, before)
    assert fitted(refit_beyond=10).operator == before


@pytest.mark.parametrize("again", [True, False], ids=["same images", "other images"])
def test_where_the_operator_in_use_is_gone_it_is_decided_again(fitted, corpora, pixels, again):
    before = fitted().operator
    corpora(near=pixels(0))
    run = fitted()
    run.workspace.ledger.withdraw(run.workspace.ledger.records(f"operators/run/{before}"))
    if not again:
        corpora(nearer=pixels(1))
    with pytest.raises(StepMissing, match="run `dotpipe fit CONFIG` first"):
        find_operator(run.opened)
    run = fitted()
    assert run.operator not in {before}
    assert read_decision(run.opened).compared_with is None


def test_a_refit_that_was_cut_short_after_the_decision_is_taken_up(fitted, corpora, pixels):
    before = fitted().operator
    corpora(**{f"dark{number}": pixels(20 + number) // 4 for number in range(6)})
    run = fitted(refit_beyond=None)  # measures; its operator is taken away again
    run.workspace.ledger.withdraw(run.workspace.ledger.records(f"operators/run/{run.operator}"))
    run = run_with(run, refit_beyond=BEYOND)
    make_decision(plan_decision(run.opened, run.select()))
    decided = read_decision(run.opened).operator
    with pytest.raises(StepMissing):
        find_operator(run.opened)
    run = fitted()
    assert run.operator == decided != before


def test_statistics_that_cannot_be_compared_end_the_run_with_a_reason(
    tmp_path, steps, pixels, softened, write_images
):
    def folders(**images):
        for role, change in (("natural", lambda x: x), ("restored", softened)):
            write_images(tmp_path / role, {n: change(image) for n, image in images.items()})
        return {role: tmp_path / role for role in ("natural", "restored")}

    corpora = folders(**{"large.png": pixels(0, 128, 128)})
    options = {"codec": {"kind": "pixel", "factor": 8}, "fit": {"refit_beyond": 1}}
    run = steps(tmp_path / "workspace", corpora, **options)
    run.shard()
    run.fit()
    before = run.operator
    folders(**{"small.png": pixels(1, 8, 8)})
    for role in ("natural", "restored"):
        (tmp_path / role / "large.png").unlink()
    run.shard()
    with pytest.raises(CorpusError, match=r"no transport can be fitted.*at least 2 samples, got 1"):
        run.fit()
    assert read_decision(run.opened).operator == before


def test_a_forgotten_image_takes_the_operator_in_use_along_if_it_was_fitted_on_it(
    fitted, corpora, pixels
):
    before = fitted(refit_beyond=100).operator
    corpora(later=pixels(0))
    run = fitted(refit_beyond=100)
    assert forget([run.config], ["later"], run.workspace).operators == []
    run = fitted(refit_beyond=100)
    assert run.operator == before
    assert forget([run.config], ["i3"], run.workspace).operators == [f"run/{before}"]
    run = fitted(refit_beyond=100)
    assert operators(run) == {run.operator} != {before}


def test_a_kept_operator_is_no_waste_until_every_change_means_a_refit(fitted, corpora, pixels):
    def finish(refit_beyond):
        run = fitted(refit_beyond=refit_beyond)
        run.enhance()
        run.report()
        return run, find_waste([run.config], run.workspace)

    before = fitted().operator
    corpora(near=pixels(0))
    run, waste = finish(BEYOND)
    assert waste == ([], [], [], {}, [])
    assert run.operator == before
    assert is_finished(run.config)
    assert not [checked for checked in verify(run.workspace.ledger) if checked.damage]
    run, waste = finish(None)
    gone = {record.artifact for record in waste.records}
    assert {f"operators/run/{before}", decision_artifact(run.config)} <= gone


def test_the_status_says_that_it_is_to_be_decided_and_why(fitted, corpora, pixels):
    run = fitted()

    def told(refit_beyond):
        other = run_with(run, refit_beyond=refit_beyond)
        return {step.name: step for step in status_of_steps(other.config)}

    assert told(BEYOND)["keep or refit"].done == 1
    found = told(0.3)
    assert found["keep or refit"].reasons == {"refit_beyond (0.2 → 0.3) changed": 1}
    assert found["solve the operator"].note == "waits for an earlier step"
    assert "keep or refit" not in told(None)


def test_what_a_report_says_of_the_decision(fitted, corpora, pixels):
    fitted()
    corpora(near=pixels(0))
    run = fitted()
    decision = read_decision(run.opened)
    assert decision_facts(run.opened) == {
        "kept": True,
        "compared_with": run.operator,
        "statistics_moved": decision.share,
        "refit_beyond": BEYOND,
    }
    text = run.workspace.store.read(f"{decision_artifact(run.config)}.json")
    assert json.loads(text)["operator"] == run.operator


@pytest.mark.parametrize(("moved", "share"), [(0.0, 0.0), (1e-9, math.inf)])
def test_an_operator_between_equal_sides_stays_only_while_nothing_moves(moved, share):
    decision = Decision(
        operator="a", recipe="b", refit_beyond=1, compared_with="a", moved=moved, apart=0.0
    )
    assert decision.share == share
