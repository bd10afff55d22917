"""Maps of the decoder's activations: fitted level after level, resumed, kept and forgotten."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from PIL import Image

from dot_kernels import AutoencoderCodec, LevelledOperator, TiledCodec
from dot_kernels.enhancement import encode_padded, whole_cells
from dot_kernels.level_fitting import fit_levels, level_activations
from dot_kernels.levels import latent_part
from tasks.config import Config, Run
from tasks.config.patches import LatentSize
from tasks.enhance.enhance import write_enhanced
from tasks.fit import measure
from tasks.fit.decision import recipe_digest
from tasks.fit.encoding import Decoder
from tasks.fit.enough_patches import require_patches
from tasks.fit.latent_size import level_sizes
from tasks.fit.levels.plan import plan_level_map, plan_level_measurement
from tasks.fit.operators import find_operator, read_operator
from tasks.fit.select import chosen_images
from tasks.fit.statistics import MomentFiles
from tasks.io.artifacts.moments import at_level
from tasks.io.artifacts.tensors import load_tensors
from tasks.io.errors import ConfigurationError, CorpusError, StepMissing
from tasks.io.images.decoder_pool import decode
from tasks.io.images.pixels import to_tensor
from tasks.io.shards import read_members
from tasks.io.workspace import kept_latents
from tasks.jobs.stopwatch import Stopwatch, TimedCodec
from tasks.pipeline import is_finished
from tasks.upkeep.check import check
from tasks.upkeep.cleaning.waste import clean
from tasks.upkeep.forget import forget
from tests.support.networks.small_autoencoders import small


@pytest.fixture(scope="module")
def codec(tmp_path_factory):
    """A small auto-encoder with random weights, in a folder."""
    folder = tmp_path_factory.mktemp("codec")
    torch.manual_seed(0)
    widths = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    blocks = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    module = AutoencoderTiny(**widths, **blocks, latent_channels=2)
    twice = {name: 2 * weights for name, weights in module.state_dict().items()}
    module.load_state_dict(twice)  # else its images are as good as grey
    module.save_pretrained(folder)
    return {"kind": "autoencoder-tiny", "weights": str(folder)}


@pytest.fixture
def run_of(tmp_path, steps, photographs, codec):
    """A run with this auto-encoder, sharded and not yet fitted."""

    def make(name="w", **sections):
        sections = {"codec": codec, "transport": {"levels": "all"}, **sections}
        run = steps(tmp_path / name, photographs, **sections)
        run.shard()
        return run

    return make


def operator_of(run):
    return read_operator(run.workspace, run.config.restored_name, run.operator)


def latents_of(run, dataset, codec):
    """Latents of all images of a data set, one by one."""
    module = AutoencoderTiny.from_pretrained(codec["weights"])
    for shard in run.workspace.shards(dataset):
        for _, data in read_members(run.workspace.store, run.workspace.members(dataset, shard)):
            raster = decode(data, run.config.shards.limits())
            images = to_tensor([raster.pixels], "cpu")
            latents = encode_padded(images, AutoencoderCodec(module))
            yield whole_cells(latents, images.shape[2:], 2)


def latents_kept(run):
    """Keys of the images whose latents lie beside their moments."""
    found = list[str]()
    for name in run.workspace.store.names("moments"):
        if ".latents." in name:
            with run.workspace.store.fetched(name) as file:
                found += load_tensors(file, "latents")[0]
    return found


def test_the_fit_is_that_of_the_kernels_over_all_images_at_once(run_of, codec):
    run = run_of(patches={"size": 1}, fit={"ridge": 0.01})  # so that rounding stays small
    run.fit()
    operator, moments, _ = operator_of(run)
    assert isinstance(operator, LevelledOperator)
    assert list(operator.levels) == [0, 1]
    sides = [list(latents_of(run, dataset, codec)) for dataset in ("run", "natural")]
    module = AutoencoderCodec(AutoencoderTiny.from_pretrained(codec["weights"]))
    expected = fit_levels(latent_part(operator), *sides, module, ridge=0.01)
    for level, own in operator.levels.items():
        torch.testing.assert_close(own.matrix, expected.levels[level].matrix, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(own.target_mean, expected.levels[level].target_mean)
        assert moments[at_level("source", level)].dimension == 8


def test_images_narrower_than_a_latent_patch_count_at_the_levels_on_both_sides(
    tmp_path, steps, pixels, softened, write_images, codec
):
    natural = {f"{i}.png": pixels(i, 24, 32) for i in range(4)} | {"strip.png": pixels(9, 30, 9)}
    restored = {name: softened(image) for name, image in natural.items()}
    corpora = {
        "restored": write_images(tmp_path / "restored", restored),
        "natural": write_images(tmp_path / "natural", natural),
    }
    sections = {"codec": codec, "patches": {"size": 5}, "transport": {"levels": [0]}}
    run = steps(tmp_path / "w", corpora, **sections)
    run.shard()
    run.fit()
    moments = operator_of(run)[1]
    sides = [moments[at_level(side, 0)].count for side in ("source", "target")]
    assert sides == [4 * 12 * 16 + 15 * 4] * 2
    assert moments["source"].count == 4 * 8 * 12


def test_an_image_without_a_whole_cell_shows_no_activations(codec, rng):
    module = AutoencoderCodec(AutoencoderTiny.from_pretrained(codec["weights"]))
    decoder = Decoder(level=0, operator=None, fold="uniform", seed=0)
    timed = TimedCodec(TiledCodec(module, 64), Stopwatch())
    for size in ((0, 5), (3, 0)):
        found = decoder.moments(torch.rand(1, 2, *size), "key", timed, 3, None)
        assert (found.count, found.dimension) == (0, 8 * 9)


def test_without_levels_the_operator_has_the_name_that_it_had(run_of):
    plain, none = (
        run_of(transport={"levels": "none"}),
        run_of(transport={"levels": "none", "level_patch": 3}),
    )
    plain.fit()
    assert none.fit() == []
    assert find_operator(none.opened) == find_operator(plain.opened)


def test_levels_make_images_another_thing(run_of):
    plain, levelled = run_of("plain", transport={"levels": "none"}), run_of()
    images = []
    for run in (plain, levelled):
        run.fit()
        run.match() if run.config.reference_name else None
        (job, *_) = run.enhancement_jobs()
        write_enhanced(job)
        folder = run.workspace.store.local(f"enhanced/run/{run.operator}/alpha=+0.00")
        images.append((folder / "shard-000000.tar").read_bytes())
    assert images[0] != images[1]


def test_the_second_time_nothing_is_measured_or_solved(run_of):
    run = run_of()
    run.fit()
    for level in (0, 1):
        units = [*plan_level_measurement(run.opened, level), *plan_level_map(run.opened, level)]
        assert units
        assert [unit.job for unit in units] == [None] * len(units)


def test_a_level_waits_for_those_below(run_of):
    run = run_of()
    run.select()
    with pytest.raises(StepMissing):
        plan_level_measurement(run.opened, 0)
    with pytest.raises(StepMissing, match="dotpipe fit CONFIG"):
        find_operator(run.opened)


def test_the_targets_moments_serve_every_operator(run_of):
    run = run_of()
    run.fit()
    tree = run.config.model_dump()
    tree["fit"] |= {"ridge": 0.1}
    other = Run(Config.model_validate(tree), run.workspace)
    planned = type(run)(other.config)
    planned.fit()
    folders = {
        name.split("/")[2]
        for dataset in ("natural",)
        for name in run.workspace.store.names(f"moments/{dataset}")
        if name.endswith(".safetensors")
    }
    assert len(folders) == 3  # latents, and two levels


@pytest.mark.parametrize("transport", [{"levels": [1]}, {}])
def test_a_list_takes_just_these_levels_and_no_word_all_but_the_first(run_of, transport):
    run = run_of(transport=transport)
    run.fit()
    assert list(operator_of(run)[0].levels) == [1]


def test_a_level_that_the_decoder_lacks_is_told_with_those_that_it_has(run_of):
    run = run_of(transport={"levels": [1, 4]})
    with pytest.raises(ConfigurationError, match="among the 2 that the decoder"):
        run.fit()


def test_such_a_level_is_told_before_a_network_runs(run_of):
    run = run_of(transport={"levels": [1, 4]})
    with pytest.raises(ConfigurationError, match="among the 2 that the decoder"):
        require_patches(run.opened)
    bad = [each.said for each in check(run.config, runs_networks=False) if each.state == "bad"]
    assert [said for said in bad if "among the 2" in said]
    assert len(bad) == 1
    none = run_of(codec={"kind": "pixel", "factor": 4}, transport={"levels": [1]})
    with pytest.raises(ConfigurationError, match="must be none with a codec whose decoder has no"):
        require_patches(none.opened)


def test_too_few_patches_of_a_level_are_told_before_a_network_runs(run_of, monkeypatch):
    run = run_of(transport={"levels": [1], "level_patch": 3})
    require_patches(run.opened)
    monkeypatch.setattr(LatentSize, "patches_in", lambda *_: 9)  # of 8 images
    said = "72 dimensions of a patch at level 1 for the fit, got 72 at most of 8 image"
    with pytest.raises(CorpusError, match=f"{said}.* transport.level_patch: 1"):
        require_patches(run.opened)
    assert [each for each in check(run.config, runs_networks=False) if said in each.said]


@pytest.mark.parametrize("name", ["AutoencoderTiny", "AutoencoderKL", "AutoencoderKLFlux2"])
def test_sizes_of_levels_are_those_that_the_network_shows(tmp_path, name):
    module = small(name)
    module.save_pretrained(tmp_path)
    network = AutoencoderCodec(module)
    tree = {"name": "run", "workspace": str(tmp_path / "w"), "transport": {"levels": "all"}}
    tree["codec"] = {"kind": "autoencoder", "weights": str(tmp_path)}
    tree["corpora"] = {role: {"path": str(tmp_path)} for role in ("restored", "natural")}
    found = level_sizes(Config.model_validate(tree))
    latents = torch.zeros(1, network.channels, 2, 2)
    assert list(found) == list(range(len(network.stages) - 1))
    for level, (channels, factor) in found.items():
        shown = level_activations(latents, network, level)
        side = 2 * network.factor // factor
        assert shown.shape[1:] == (channels, side, side)


def test_what_overflows_in_half_precision_is_decoded_again_in_float32(run_of, monkeypatch):
    own, network = measure.load_codec, []

    def load(spec, device, precision, weights):
        loaded = own(spec, device, "float32", weights)
        if precision == "float32":
            return loaded
        first, *others = loaded.stages
        broken = dataclasses.replace(first, apply=lambda z: first.apply(z) * float("inf"))
        network.append(precision)
        return loaded.with_stages((broken, *others))

    exact = run_of("exact", transport={"levels": [0]})
    exact.fit()
    monkeypatch.setattr(measure, "load_codec", load)
    half = run_of("half", transport={"levels": [0]}, compute={"precision": "bfloat16"})
    half.fit()
    assert network
    both = (operator_of(run)[0].levels[0] for run in (exact, half))
    torch.testing.assert_close(*(each.matrix for each in both))


def test_another_seed_leaves_levels_as_they_are_where_no_noise_is_drawn(run_of):
    run = run_of(fit={"ridge": 0.01})
    run.fit()
    other = run_of(fit={"ridge": 0.01}, enhance={"seed": 5})
    assert other.fit() == []


def test_more_levels_leave_what_was_measured_of_those_below(run_of):
    run = run_of(transport={"levels": [0]})
    run.fit()
    before = set(run.workspace.store.names("moments"))
    more = run_of(transport={"levels": "all"})
    done = plan_level_measurement
    more.fit()
    assert all(unit.job is None for unit in done(run.opened, 0))
    folders = {name.rpartition("/")[0] for name in run.workspace.store.names("moments")}
    assert len(folders) == len({name.rpartition("/")[0] for name in before}) + 2  # of level 1


def test_maps_of_levels_stand_for_one_another_only_with_one_fold(run_of):
    plain, other = run_of(), run_of(patches={"fold": "gaussian"})
    plain.fit()
    recipes = []
    for run in (plain, other):
        files = MomentFiles.of(run.opened, chosen_images(run.opened))
        recipes.append(recipe_digest(run.config, files))
    assert recipes[0] != recipes[1]


@pytest.fixture
def encoded(monkeypatch):
    """Keys of the images that are decoded to be encoded, in order."""
    own, keys = measure.load_pictures, []

    def load(store, window, *rest):
        keys.extend(member.key for member in window)
        return own(store, window, *rest)

    monkeypatch.setattr(measure, "load_pictures", load)
    return keys


def test_the_encoder_sees_each_image_of_the_fit_once_whatever_the_levels(
    run_of, encoded, monkeypatch
):
    run = run_of("kept", fit={"ridge": 0.01})  # so that rounding stays small
    run.fit()
    assert len(encoded) == len(set(encoded)) * 2 == 16  # restored and natural of the same keys
    monkeypatch.setattr(kept_latents, "MOST_BYTES", 0)
    anew = run_of("anew", fit={"ridge": 0.01})
    anew.fit()
    assert len(encoded) == 16 + 3 * 16
    assert anew.operator == run.operator
    for level, own in operator_of(run)[0].levels.items():
        other = operator_of(anew)[0].levels[level]  # of other batches, so not bit for bit
        torch.testing.assert_close(own.matrix, other.matrix, atol=1e-5, rtol=1e-4)


def test_of_a_new_image_alone_latents_are_made(run_of, encoded, photographs):
    run = run_of()
    run.fit()
    encoded.clear()
    image = np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    added = [photographs[role] / "one-more.png" for role in ("natural", "restored")]
    for path in added:
        Image.fromarray(image).save(path)
    try:
        run.shard()
        run.fit()
        assert encoded == ["one-more", "one-more"]
    finally:
        for path in added:
            path.unlink()


@pytest.mark.parametrize("transport", [{"levels": "all"}, {}])
def test_the_pixel_codec_has_none(run_of, transport):
    run = run_of(codec={"kind": "pixel", "factor": 4}, transport=transport)
    run.fit()
    assert not isinstance(operator_of(run)[0], LevelledOperator)


def test_patches_of_activations_may_be_larger(run_of):
    run = run_of(transport={"levels": [1], "level_patch": 3})
    run.fit()
    assert operator_of(run)[0].levels[1].dimension == 9 * 8


def test_an_operator_in_use_stays_with_all_its_levels(run_of, tmp_path, photographs):
    run = run_of(fit={"refit_beyond": 1e9})
    run.fit()
    before = run.operator
    image = np.full((24, 32, 3), 90, np.uint8)
    for role in ("natural", "restored"):
        Image.fromarray(image).save(photographs[role] / "one-more.png")
    try:
        run.shard()
        run.fit()
        assert run.operator == before
        assert plan_level_measurement(run.opened, 0) == []
        assert isinstance(operator_of(run)[0], LevelledOperator)
    finally:
        for role in ("natural", "restored"):
            (photographs[role] / "one-more.png").unlink()


def test_a_clean_up_keeps_what_the_operator_was_made_by_and_forgetting_removes_it(run_of):
    run = run_of()
    run.run()
    report = run.workspace.store.read(f"reports/run/{run.operator}/run.json")
    assert set(json.loads(report)["fit"]["levels"]) == {"0", "1"}
    assert is_finished(run.config)
    clean(run.config)
    assert is_finished(run.config)
    assert sorted(run.workspace.store.names("operators")) == [
        f"operators/run/{run.operator}{end}.safetensors" for end in ("-latent", "-level-0", "")
    ]
    assert latents_kept(run)
    key = next(run.workspace.keys("run")).key
    forget([run.config], [key], run.workspace)
    assert list(run.workspace.store.names("operators")) == []
    assert key not in latents_kept(run)


def test_forgetting_removes_the_parts_of_an_operator_that_was_not_finished(run_of):
    run = run_of()
    run.fit()
    ledger, name = run.workspace.ledger, f"operators/run/{run.operator}"
    ledger.retire(ledger.records(name))
    assert set(run.workspace.store.names("operators")) == {
        f"{name}{part}.safetensors" for part in ("-latent", "-level-0")
    }
    key = next(run.workspace.keys("run")).key
    forget([run.config], [key], run.workspace)
    assert list(run.workspace.store.names("operators")) == []


def test_what_was_measured_is_not_measured_again_when_an_image_comes(run_of, monkeypatch):
    run = run_of(transport={"levels": [0]})
    run.fit()
    loaded = []
    monkeypatch.setattr(measure, "load_pictures", lambda *args: loaded.append(args) or [])
    for unit in plan_level_measurement(run.opened, 0):
        assert unit.job is None
    assert loaded == []


def test_levels_of_few_unpaired_images_are_shrunk_as_their_record_says(run_of):
    run = run_of(fit={"pairing": "unpaired", "images": 4})
    run.fit()
    (record,) = run.workspace.ledger.records(f"operators/run/{run.operator}")
    told = run.workspace.ledger.facts(record)["shrunk_levels"]
    for level, own in operator_of(run)[0].levels.items():
        moved = (1 - told[str(level)]["matrix"]) > 0
        assert torch.equal(own.matrix, torch.eye(own.dimension).double()) != moved


def test_the_record_has_diagnostics_of_every_level(run_of):
    run = run_of()
    run.fit()
    (record,) = run.workspace.ledger.records(f"operators/run/{run.operator}")
    facts = run.workspace.ledger.facts(record)
    operator = operator_of(run)[0]
    for level, own in operator.levels.items():
        assert facts["levels"][str(level)] == dataclasses.asdict(own.diagnostics)


def test_operators_of_two_folds_lie_side_by_side_where_results_have_names(run_of):
    runs = [
        run_of(enhance={"name": fold}, patches={"size": 1, "fold": fold}, transport={"levels": [1]})
        for fold in ("uniform", "gaussian")
    ]
    for run in runs:
        run.fit()
    first, second = (run.operator for run in runs)  # of which neither took the other's place
    assert first != second
    assert "-" not in first + second
