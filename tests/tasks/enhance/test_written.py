"""Metrics that are wanted later are computed from the written images, without the auto-encoder."""

import io
import shutil

import pyarrow.parquet as pq
import pytest
import torch
from torchvision.models import squeezenet1_1

import tasks.enhance.enhance
import tasks.enhance.rendering
from tasks.config import Config
from tasks.enhance.rendering import Renderer
from tasks.io.errors import ShardDamaged
from tasks.io.ledger import VERSIONS, versions
from tasks.io.networks.features import extractors
from tasks.io.networks.published_weights import PUBLISHED
from tasks.pipeline import whole_pipeline
from tasks.upkeep.forecasts.steps import forecast
from tasks.upkeep.status import status_of_steps

WRITTEN = ("alpha+0.00", "alpha+0.50", "alpha+1.00", "input")
CODED = ("codec", "codec_input")


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory):
    """Random weights of SqueezeNet on this machine."""
    home = tmp_path_factory.mktemp("torch")
    (home / "hub" / "checkpoints").mkdir(parents=True)
    torch.manual_seed(0)  # torchvision initialises from the global state
    path = home / "hub" / "checkpoints" / PUBLISHED["squeezenet"].name
    torch.save(squeezenet1_1(weights=None).state_dict(), path)
    extractors._load_extractor.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        yield
    extractors._load_extractor.cache_clear()


@pytest.fixture(scope="module")
def corpora(photographs):
    return {"restored": photographs["restored"], "reference": photographs["natural"]}


@pytest.fixture(scope="module")
def base(tmp_path_factory, steps, corpora):
    """A run without features, and without controls that only the codec can make; to read."""
    run = steps(tmp_path_factory.mktemp("base"), corpora, evaluate={"controls": False})
    run.run()
    return run


@pytest.fixture
def later(base, tmp_path, steps):
    """Makes other steps of the same run, in a copy of its workspace."""

    def make(of=base, **sections):
        folder = tmp_path / "later"
        if not folder.exists():
            shutil.copytree(of.config.workspace, folder)
        tree = {**of.config.model_dump(), "workspace": str(folder)}
        for name, section in sections.items():
            tree[name] = {**tree[name], **section}
        return type(of)(Config.model_validate(tree))

    return make


@pytest.fixture
def coded(monkeypatch):
    """The keys of the pictures that go through the auto-encoder, in its order."""
    keys, render = [], Renderer._render_batch

    def counted(self, pairs):
        keys.extend(pair.picture.member.key for pair in pairs)
        return render(self, pairs)

    monkeypatch.setattr(Renderer, "_render_batch", counted)
    return keys


@pytest.fixture
def loads(monkeypatch):
    """How often a codec is asked for."""
    calls, load = [], tasks.enhance.enhance.load_codec

    def counted(*arguments):
        calls.append(1)
        return load(*arguments)

    monkeypatch.setattr(tasks.enhance.enhance, "load_codec", counted)
    return calls


def contents(run, signals=WRITTEN):
    """The bytes of metrics, features and moments of signals, by their paths."""
    store = run.workspace.store
    folders = [
        f"{kind}/run/{run.operator}/{s}" for kind in ("metrics", "features") for s in signals
    ]
    return {path: store.read(path) for folder in folders for path in store.names(folder)}


FEATURES = {"features": "squeezenet"}


def test_features_wanted_later_are_those_of_one_pass(later, steps, corpora, tmp_path, loads):
    once = steps(tmp_path / "once", corpora, evaluate={**FEATURES, "controls": False})
    rows = once.run()
    loads.clear()
    run = later(evaluate=FEATURES)
    assert run.run() == rows
    assert loads == []
    made, wanted = contents(run, WRITTEN[:3]), contents(once, WRITTEN[:3])
    assert len(made) == 3 * 3 * 3  # shards; tables, features and moments; alphas
    assert made == wanted


def test_controls_that_are_not_written_are_made_by_the_codec(
    later, steps, corpora, tmp_path, coded
):
    before = steps(tmp_path / "before", corpora)
    before.run()
    wanted = steps(tmp_path / "once", corpora, evaluate=FEATURES)
    rows = wanted.run()
    coded.clear()
    run = later(before, evaluate=FEATURES)
    assert run.run() == rows
    assert len(coded) == 8
    assert contents(run, (*WRITTEN, *CODED)) == contents(wanted, (*WRITTEN, *CODED))


def test_a_metric_of_another_version_needs_no_codec(later, loads, monkeypatch):
    monkeypatch.setattr(versions, "VERSIONS", {**VERSIONS, "distortion": 3})
    run = later()
    before = contents(run)
    run.run()
    assert loads == []
    after = contents(run)
    assert before.keys() == after.keys()
    assert {path for path in after if "/features/" in path and after[path] != before[path]} == set()


def test_other_moments_need_the_codec(later, loads, monkeypatch):
    monkeypatch.setattr(versions, "NUMBERS_OF", {**versions.NUMBERS_OF, "latents": ("fidelity",)})
    monkeypatch.setattr(versions, "VERSIONS", {**VERSIONS, "distortion": 3})
    later().run()
    assert len(loads) == 3


def test_lossy_images_are_not_measured_again_but_made(steps, corpora, later, tmp_path, loads):
    before = steps(
        tmp_path / "before",
        corpora,
        enhance={"format": "jpeg"},
        evaluate={"controls": False},
    )
    before.run()
    loads.clear()
    run = later(before, evaluate=FEATURES)
    made = {path: run.workspace.store.read(path) for path in run.workspace.store.names("enhanced")}
    run.run()
    assert len(loads) == 3
    for path, data in made.items():
        assert run.workspace.store.read(path) == data


def test_an_alpha_more_makes_just_its_own_artifacts(later, coded):
    run = later(enhance={"alphas": (0, 0.5, 1, 0.25)})
    before = set(run.workspace.store.names(""))
    jobs = run.enhancement_jobs()
    assert {output.signal.alpha for job in jobs for output in (*job.enhanced, *job.tables)} == {
        0.25
    }
    run.enhance()
    assert len(coded) == 8
    new = {p for p in set(run.workspace.store.names("")) - before if not p.startswith("claims")}
    assert {path for path in new if "0.25" not in path} == set()


def test_an_alpha_and_features_more_are_made_each_in_its_way(
    later, coded, steps, corpora, tmp_path
):
    sections = {"enhance": {"alphas": (0, 0.5, 1, 0.25)}, "evaluate": FEATURES}
    run = later(**sections)
    assert [outcome.images for outcome in run.enhance()] == [3, 3, 2]
    assert len(coded) == 8
    sections["evaluate"] = {**FEATURES, "controls": False}
    once = steps(tmp_path / "once", corpora, **sections)
    once.run()
    signals = (*WRITTEN[:3], "alpha+0.25")
    assert contents(run, signals) == contents(once, signals)


def test_refused_pictures_stay_refused(later, loads, monkeypatch, steps, corpora, tmp_path):
    finite = tasks.enhance.rendering.all_finite

    def but_one(transported):
        usable = finite(transported)
        usable[0] = False
        return usable

    before = steps(
        tmp_path / "before", corpora, evaluate={"controls": False}, shards={"max_bad_fraction": 1}
    )
    with monkeypatch.context() as patch:
        patch.setattr(tasks.enhance.rendering, "all_finite", but_one)
        before.run()
    loads.clear()

    def refused(run):
        folder = f"metrics/run/{run.operator}/alpha+0.50"
        store = run.workspace.store
        tables = [pq.read_table(io.BytesIO(store.read(p))) for p in sorted(store.names(folder))]
        rows = [row for table in tables for row in table.to_pylist()]
        return {row["key"]: row["reason"] for row in rows if row["status"] == "refused"}

    run = later(before, evaluate=FEATURES)
    known = refused(run)
    assert len(known) >= 3
    outcomes = run.enhance()
    assert (loads, refused(run)) == ([], known)
    assert sum(sum(outcome.refused.values()) for outcome in outcomes) == len(known)


def test_a_written_image_that_is_missing_is_told(later):
    run = later(evaluate=FEATURES)
    path = f"enhanced/run/{run.operator}/alpha=+0.50/shard-000000.tar"
    run.workspace.store.write(path, b"")
    with pytest.raises(ShardDamaged, match=r"alpha=\+0.50/shard-000000.tar must hold .* repair"):
        run.enhance()


def test_moments_that_are_gone_are_made_again(later, loads, base):
    run = later(evaluate=FEATURES)
    path = f"features/run/{run.operator}/alpha+0.50/shard-000000.safetensors"
    before = run.workspace.store.read(path)
    run.workspace.store.remove(path)
    run.run()
    assert len(loads) == 1
    assert run.workspace.store.read(path) == before


def test_the_plan_says_what_is_only_measured(later):
    (told,) = (s for s in forecast(later(evaluate=FEATURES).config) if s.step == "enhance run")
    assert (told.images, told.size_bytes, told.seconds) == (8, None, None)
    assert told.why.startswith("the weights or network of the features changed; measured on the")
    sections = {"enhance": {"alphas": (0, 0.25)}, "evaluate": FEATURES}
    (told,) = (s for s in forecast(later(**sections).config) if s.step == "enhance run")
    assert told.images == 8
    assert told.seconds > 0
    assert "auto-encoder" not in told.why


EDITS = {
    "nothing": {},
    "a metric's network": {"evaluate": FEATURES},
    "an alpha more": {"enhance": {"alphas": (0, 0.5, 1, 0.25)}},
    "an alpha less": {"enhance": {"alphas": (0, 1)}},
    "an alpha and a network": {"enhance": {"alphas": (0, 0.25)}, "evaluate": FEATURES},
    "the controls": {"evaluate": {"controls": True}},
    "the curve": {"evaluate": {"curve": {"start": 0, "stop": 1, "step": 0.5}}},
    "the decoding": {"enhance": {"decoding": "direct"}},
    "the format": {"enhance": {"format": "png"}},
    "the sample": {"evaluate": {"sample": 100}},
    "the ridge": {"fit": {"ridge": 0.5}},
    "the images of the fit": {"fit": {"images": 4}},
    "images to leave in": {"evaluate": {"leave_out_fitted": False}},
    "what is refused": {"shards": {"max_bytes": 10_000_000}},
    "the batch": {"compute": {"batch": 3}},
}


def done_by_a_run(run):
    """How many units the next run makes of each step: what closes a step counts if it is all."""
    made = {}
    for step in whole_pipeline(run.opened):
        if step.prepare is not None:
            step.prepare()
        units = [unit for unit in step.plan() if unit.job is not None]
        for unit in units:
            step.work.fn(unit.job)
        made[step.name] = len(units)
        for closing in (unit for unit in step.units() if unit.job is not None):
            step.closing.work.fn(closing.job)
    return made


QUICK = ("nothing", "a metric's network", "an alpha and a network", "the ridge")


@pytest.mark.parametrize(
    "edit", [pytest.param(e, marks=() if e in QUICK else pytest.mark.slow) for e in EDITS]
)
def test_the_next_run_does_what_the_status_says(later, edit):
    run = later(**EDITS[edit])
    told = {step.name: step for step in status_of_steps(run.config) if not step.waits}
    planned = {step.step for step in forecast(run.config)}
    made = done_by_a_run(run)
    for name, step in told.items():
        to_do = step.missing + step.stale + step.failed
        assert to_do <= made[name] <= to_do + step.doubtful, name
        assert (name in planned) == (to_do + step.doubtful > 0), name
    assert {name for name, units in made.items() if units} <= planned
    assert done_by_a_run(run) == dict.fromkeys(made, 0)
