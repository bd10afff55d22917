"""The method applied again: fitted round after round, resumed, kept and forgotten."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from torch.nn import functional

from dot_kernels import (
    AutoencoderCodec,
    GaussianMoments,
    GreyCodec,
    LevelledOperator,
    PixelCodec,
    RepeatedOperator,
    patch_moments,
    solve_transport,
)
from dot_kernels.dials import LowBand
from dot_kernels.enhancement import encode_padded, whole_cells
from dot_kernels.level_fitting import solve_level
from dot_kernels.levels import latent_part
from dot_kernels.rounds import images_after
from tasks.config import Config
from tasks.direct.apply import apply, images_to_enhance
from tasks.direct.operator_file import OperatorFile
from tasks.fit import measure
from tasks.fit.operators import fit_facts, read_operator
from tasks.fit.rounds import further_map
from tasks.fit.rounds.plan import plan_round_map, plan_round_measurement
from tasks.io.artifacts.moments import at_level, in_round
from tasks.io.errors import StepMissing
from tasks.io.images import Limits
from tasks.io.images.decoder_pool import decode
from tasks.io.images.pixels import to_pixels, to_tensor
from tasks.io.shards import members_of, read_index, read_members
from tasks.pipeline import is_finished, whole_pipeline
from tasks.report.accounting import time_steps
from tasks.upkeep.cleaning.waste import clean
from tasks.upkeep.forecasts.steps import forecast
from tasks.upkeep.forget import forget
from tasks.upkeep.status import status_of_steps
from tasks.upkeep.verify import verify

LIMITS = Limits(max_pixels=1 << 20, max_bytes=1 << 20)
STEPS = ["measure latent patches of round 2", "solve the operator of round 2"]


@pytest.fixture
def run_of(tmp_path, steps, photographs):
    """A run with a few options, sharded and not yet fitted."""

    def make(name="w", *, corpora=photographs, **sections):
        run = steps(tmp_path / name, corpora, **{"reapply": 1, **sections})
        run.shard()
        return run

    return make


@pytest.fixture(scope="module")
def finished(tmp_path_factory, steps, photographs):
    """A whole run of two rounds, its originals being the reference; to read."""
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    whole = steps(tmp_path_factory.mktemp("twice"), corpora, reapply=1)
    whole.run()
    return whole


def test_operators_lie_side_by_side_where_images_are_moved_by_another_seed(run_of):
    """As points of a study do: noise of a first round is part of what the second is fitted to."""
    runs = [run_of(enhance={"name": f"seed-{seed}", "seed": seed}) for seed in (0, 1)]
    for run in runs:
        run.fit()
    first, second = (run.operator for run in runs)
    assert first != second  # of which neither took the other's place
    names = {path.rpartition("/")[2] for path in runs[0].workspace.store.names("operators")}
    assert len({name[:16] for name in names} - {first, second}) == 1  # of the first round, shared


def operator_of(run):
    return read_operator(run.workspace, run.config.restored_name, run.operator)


def images_of(run, dataset):
    """All images of a data set by key, (1, 3, h, w)."""
    found = {}
    for shard in run.workspace.shards(dataset):
        members = run.workspace.members(dataset, shard)
        for member, data in read_members(run.workspace.store, members):
            found[member.key] = to_tensor([decode(data, LIMITS).pixels], "cpu")
    return found


def moments_of(images, codec, size=1):
    """Moments of the latent patches of images."""
    cells = (
        whole_cells(encode_padded(each, codec), each.shape[2:], codec.factor) for each in images
    )
    return sum((patch_moments(each, size) for each in cells), start=GaussianMoments.zero(12))


def solved_by_hand(source, target, ridge):
    """The map between moments, by numpy: symmetric roots of the covariances with their ridge."""

    def root(matrix, power):
        values, vectors = np.linalg.eigh(matrix)
        return (vectors * values.clip(1e-300) ** power) @ vectors.T

    covariances = []
    for each in (source, target):
        covariance = each.scatter.numpy() / (each.count - 1)
        covariances.append(covariance + ridge * np.trace(covariance) / 12 * np.eye(12))
    first, second = root(covariances[0], 0.5), root(covariances[0], -0.5)
    return second @ root(first @ covariances[1] @ first, 0.5) @ second


def moved_by_hand(image, matrix, source, target):
    """What the pixel codec of factor 2 makes of an image in one round with one dial, p = 1."""
    height, width = image.shape[2:]
    padded = functional.pad(image, (0, width % 2, 0, height % 2), mode="reflect")
    latents = functional.pixel_unshuffle(padded, 2)[0].double()
    centred = latents - source.mean[:, None, None]
    moved = torch.einsum("dc,cyx->dyx", torch.from_numpy(matrix), centred)
    decoded = functional.pixel_shuffle((moved + target.mean[:, None, None])[None], 2)
    return decoded[:, :, :height, :width].clamp(0, 1).float()


@pytest.mark.parametrize("pairing", ["paired", "unpaired"])
def test_both_maps_are_those_by_hand(run_of, pairing):
    fit = {"pairing": pairing, "images": 4, "shrink": 0.0, "ridge": 1e-3}
    run = run_of(fit=fit, enhance={"low_share": 1})
    run.fit()
    operator, moments, facts = operator_of(run)
    assert (facts["pairing"], facts["images"]) == (pairing, 4)
    selection = run.select()
    source, target = (
        [images[key] for keys in chosen.values() for key in keys]
        for images, chosen in (
            (images_of(run, "run"), selection.source),
            (images_of(run, "natural"), selection.target),
        )
    )
    codec = PixelCodec(2)
    natural, first = moments_of(target, codec), moments_of(source, codec)
    matrix = solved_by_hand(first, natural, 1e-3)
    torch.testing.assert_close(operator.rounds[0].matrix, torch.from_numpy(matrix))
    again = moments_of([moved_by_hand(x, matrix, first, natural) for x in source], codec)
    assert moments[in_round("source", 1)].count == again.count
    expected = solved_by_hand(again, natural, 1e-3)
    found = operator.rounds[1]
    torch.testing.assert_close(found.source_mean, again.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.target_mean, natural.mean)
    torch.testing.assert_close(found.matrix, torch.from_numpy(expected), rtol=1e-3, atol=1e-4)


def test_images_are_those_of_both_maps_and_of_the_operators_file(finished, photographs, tmp_path):
    operator = operator_of(finished)[0]
    assert isinstance(operator, RepeatedOperator)
    assert operator.between.low_band == LowBand(share=0.0, sigma=1.5)
    file = finished.workspace.store.local(f"operators/run/{finished.operator}.safetensors")
    direct = OperatorFile.load(file)
    for alpha in (0.0, 0.5, 1.0):
        folder = f"enhanced/run/{finished.operator}/alpha={alpha:+.2f}"
        store, found = finished.workspace.store, {}
        for shard in finished.workspace.shards("run"):
            members = members_of(read_index(store, f"{folder}/{shard}.parquet"), folder)
            found |= {
                m.key: decode(data, LIMITS).pixels for m, data in read_members(store, members)
            }
        for key, image in images_of(finished, "run").items():
            if alpha == 1.0:
                np.testing.assert_array_equal(found[key], to_pixels(image)[0])
            made = to_pixels(direct.enhance(image, [alpha])[0])[0]
            np.testing.assert_array_equal(found[key], made)
    images = images_to_enhance([str(photographs["restored"])], str(tmp_path / "out"))
    assert {each.reason for each in apply(direct, images, 0.5, LIMITS)} == {None}


def test_without_rounds_more_the_operator_is_the_first_rounds_as_it_was(run_of):
    twice, once = run_of(), run_of(reapply=0)
    twice.fit()
    assert once.fit() == []
    plain = operator_of(once)[0]
    assert once.operator != twice.operator
    torch.testing.assert_close(operator_of(twice)[0].rounds[0].matrix, plain.matrix, rtol=0, atol=0)
    thrice = run_of(reapply=2)
    assert thrice.fit() == []
    assert len(operator_of(thrice)[0].rounds) == 3
    assert len(set(twice.workspace.store.names("operators"))) == 3
    elsewhere = run_of("elsewhere", reapply=0)
    elsewhere.fit()
    assert elsewhere.operator == once.operator


def test_another_share_of_low_frequencies_is_another_operator_of_several_rounds_alone(run_of):
    found = []
    for reapply in (1, 0):
        runs = [run_of(reapply=reapply, enhance={"low_share": share}) for share in (0.0, 0.5)]
        for run in runs:
            run.fit()
        found.append(len({run.operator for run in runs}))
    assert found == [2, 1]


@pytest.mark.parametrize("stopped", range(2))
def test_a_fit_that_is_stopped_goes_on_where_it_stood(run_of, monkeypatch, stopped):
    whole = run_of("whole")
    whole.fit()
    run = run_of()
    module, name = ((measure, "save_moments"), (further_map, "save_operator"))[stopped]
    own, calls = getattr(module, name), []

    def deadly(*args, **facts):
        calls.append(args)
        # The moments of the first round are of two data sets with three shards each.
        if len(calls) == (8 if module is measure else 1):
            raise RuntimeError("stopped")
        return own(*args, **facts)

    monkeypatch.setattr(module, name, deadly)
    with pytest.raises(RuntimeError, match="stopped"):
        run.fit()
    with pytest.raises(StepMissing):
        run.fitted  # noqa: B018 - an operator is looked for
    before = len(calls)
    assert run.fit() == []
    assert len(calls) == before + (2 if module is measure else 1)
    path = f"operators/run/{whole.operator}.safetensors"
    assert run.workspace.store.read(path) == whole.workspace.store.read(path)
    assert plan_round_measurement(run.opened, 1)
    for unit in [*plan_round_measurement(run.opened, 1), *plan_round_map(run.opened, 1)]:
        assert unit.job is None


def test_a_round_waits_for_those_before(run_of):
    run = run_of()
    run.select()
    with pytest.raises(StepMissing):
        plan_round_measurement(run.opened, 1)
    with pytest.raises(StepMissing, match="dotpipe fit CONFIG"):
        run.fitted  # noqa: B018 - an operator is looked for


def test_status_forecast_timings_and_report_tell_of_the_round(run_of, finished):
    names = [step.name for step in whole_pipeline(finished.opened)]
    assert [name for name in names if name.endswith("of round 2")] == STEPS
    assert {each.name for each in status_of_steps(finished.config)} >= set(STEPS)
    fresh = run_of()
    told = {each.step: each.images for each in forecast(fresh.config)}
    assert told[STEPS[0]] == 8  # restored ones alone
    timings = {each.step: each for each in time_steps(finished.fitted, {})}
    assert timings[STEPS[0]].images == 8
    assert timings[STEPS[0]].seconds > 0
    folder = f"reports/run/{finished.operator}"
    record = json.loads(finished.workspace.store.read(f"{folder}/run.json"))
    own = operator_of(finished)[0].rounds[1]
    assert record["fit"]["rounds"]["round 2"] == json.loads(
        json.dumps(dataclasses.asdict(own.diagnostics))
    )
    assert "round 2" in finished.workspace.store.read(f"{folder}/report.md").decode()
    assert "Further rounds" in finished.workspace.store.read(f"{folder}/report.html").decode()
    assert (
        fit_facts(finished.fitted)["rounds"][0]["diagnostics"]["branch"] == own.diagnostics.branch
    )


def test_a_clean_up_keeps_all_rounds_and_forgetting_removes_them(run_of, photographs):
    corpora = {"restored": photographs["restored"], "reference": photographs["natural"]}
    run = run_of(corpora=corpora)
    run.run()
    kept = sorted(run.workspace.store.names("operators"))
    assert len(kept) == 2
    assert is_finished(run.config)
    clean(run.config)
    assert is_finished(run.config)
    assert sorted(run.workspace.store.names("operators")) == kept
    assert not any(each.damage for each in verify(run.workspace.ledger))
    key = next(run.workspace.keys("run")).key
    forget([run.config], [key], run.workspace)
    assert list(run.workspace.store.names("operators")) == []
    run.run()
    assert is_finished(run.config)
    assert key not in str(run.select())


def test_an_operator_in_use_stays_with_all_its_rounds(run_of, photographs):
    run = run_of(fit={"refit_beyond": 1e9, "pairing": "paired"})
    run.fit()
    before = run.operator
    fewer = run_of(
        fit={"refit_beyond": 1e9, "pairing": "paired"},
        corpora={
            "restored": {"path": str(photographs["restored"]), "limit": 7},
            "natural": {"path": str(photographs["natural"])},
        },
    )
    fewer.fit()
    assert fewer.operator == before
    assert plan_round_measurement(fewer.opened, 1) == []
    once = run_of(fit={"refit_beyond": 1e9, "pairing": "paired"}, reapply=0, name="once")
    once.fit()
    assert once.operator != before


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    """A small auto-encoder with random weights, in a folder."""
    folder = tmp_path_factory.mktemp("codec")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        widths = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
        blocks = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
        module = AutoencoderTiny(**widths, **blocks, latent_channels=2)
    module.load_state_dict({name: 2 * weights for name, weights in module.state_dict().items()})
    module.save_pretrained(folder)
    return {"kind": "autoencoder-tiny", "weights": str(folder)}


def test_every_round_has_maps_at_levels_of_its_own(run_of, codec, monkeypatch):
    own, keys = measure.load_pictures, []

    def load(store, window, *rest):
        keys.extend(member.key for member in window)
        return own(store, window, *rest)

    monkeypatch.setattr(measure, "load_pictures", load)
    run = run_of(codec=codec, transport={"levels": [1]}, fit={"ridge": 0.01})
    run.fit()
    operator, moments, _ = operator_of(run)
    assert [type(each) for each in operator.rounds] == [LevelledOperator] * 2
    assert len(keys) == 8 * 3  # restored and natural ones, and restored ones once more
    network = AutoencoderCodec(AutoencoderTiny.from_pretrained(codec["weights"]))
    expected = [
        images_after(each, network, operator.rounds[:1], operator.between)
        for each in images_of(run, "run").values()
    ]
    size = {"patch_size": 1}
    cells = [whole_cells(encode_padded(x, network), x.shape[2:], 2) for x in expected]
    source = sum(
        (patch_moments(z, **size) for z in cells), start=GaussianMoments.zero(network.channels)
    )
    torch.testing.assert_close(
        moments[in_round("source", 1)].mean, source.mean, rtol=1e-4, atol=1e-5
    )
    first, second = operator.rounds
    assert not torch.equal(latent_part(first).matrix, latent_part(second).matrix)
    sides = (moments[in_round(at_level(side, 1), 1)] for side in ("source", "target"))
    fitted = solve_level(*sides, ridge=0.01)
    torch.testing.assert_close(second.levels[1].matrix, fitted.matrix)
    names = sorted(run.workspace.store.names("operators"))
    assert len(names) == 4
    assert sum(name.endswith("-latent.safetensors") for name in names) == 2
    own_map = solve_transport(moments[in_round("source", 1)], moments["target"], ridge=0.01)
    torch.testing.assert_close(latent_part(second).matrix, own_map.matrix)


@pytest.mark.parametrize("is_grey", [False, True])
def test_large_images_are_measured_as_small_ones_are(
    tmp_path, steps, pixels, softened, write_images, codec, is_grey
):
    natural = {f"{i}.png": pixels(i, 46, 60) for i in range(3)}
    if is_grey:
        natural = {name: image.mean(axis=2).astype(np.uint8) for name, image in natural.items()}
    restored = {name: softened(image) for name, image in natural.items()}
    corpora = {
        "restored": write_images(tmp_path / "restored", restored),
        "natural": write_images(tmp_path / "natural", natural),
    }
    sources = []
    for tile in (16, 512):
        run = steps(
            tmp_path / str(tile),
            corpora,
            codec=codec,
            reapply=1,
            transport={"levels": [1]},
        )
        compute = run.config.compute.model_copy(update={"tile": tile})  # smaller than it may be
        run.config = run.config.model_copy(update={"compute": compute})
        run.shard()
        run.fit()
        sources.append(operator_of(run)[1][in_round("source", 1)])
    torch.testing.assert_close(sources[0].mean, sources[1].mean)
    torch.testing.assert_close(sources[0].scatter, sources[1].scatter)
    if is_grey:
        network = GreyCodec(AutoencoderCodec(AutoencoderTiny.from_pretrained(codec["weights"])))
        operator = operator_of(run)[0]
        cells = (
            network.encode(images_after(x, network, operator.rounds[:1], operator.between))
            for x in images_of(run, "run").values()
        )
        mean = sum((patch_moments(z, 1) for z in cells), start=GaussianMoments.zero(2)).mean
        torch.testing.assert_close(sources[1].mean, mean, rtol=1e-4, atol=1e-5)


def test_rounds_that_mix_latents_or_are_too_many_are_refused(run_of, photographs):
    tree = {
        "workspace": "w",
        "name": "n",
        "corpora": {role: {"path": str(path)} for role, path in photographs.items()},
    }
    with pytest.raises(ValueError, match=r"reapply must be 0 with enhance\.interpolation: latent"):
        Config.model_validate(tree | {"reapply": 1, "enhance": {"interpolation": "latent"}})
    with pytest.raises(ValueError, match="less than or equal to 3"):
        Config.model_validate(tree | {"reapply": 4})
