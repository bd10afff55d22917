"""The configuration: every rule a sentence, every path anchored, every default shown."""

from pathlib import Path

import pytest
import yaml

import infra
from dot_kernels.dials import LOW_KEPT, LowBand
from tasks.config import Config, load_config
from tasks.config.compute import Ray, Threads
from tasks.config.sections import Curve, Enhance
from tasks.io.errors import ConfigurationError, CorpusError
from tasks.shard.corpus import require_sources

CONFIGURATIONS = sorted((Path(infra.__file__).parent / "configs").glob("*.yaml"))
NOISE = {"kind": "noise", "sigma": 0.2}
MADE = {
    "corpora": {"reference": {"path": "clean"}},
    "degrade": [NOISE],
    "restore": {"kind": "bicubic"},
}


@pytest.fixture
def write(tmp_path):
    """Writes a configuration with some sections changed; None leaves one out."""

    def write(**sections):
        tree = {
            "workspace": "w",
            "corpora": {"restored": {"path": "r"}, "natural": {"path": "n"}},
        }
        tree = {name: value for name, value in {**tree, **sections}.items() if value is not None}
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump(tree))
        return path

    return write


@pytest.fixture
def complaint(write):
    """What is said of a configuration with some sections changed."""

    def complain(**sections):
        with pytest.raises(ConfigurationError) as caught:
            load_config(write(**sections))
        return str(caught.value)

    return complain


@pytest.mark.parametrize(
    "name", ["x" * 300, "ü" * 128, f"in/{'x' * 256}/images", "x" * 252 + ".tar"]
)
def test_a_path_with_a_part_that_no_file_system_takes_is_told(write, name):
    told = r"a name in a path can have 255 bytes at most, got one of \d+"
    with pytest.raises(ConfigurationError, match=told):
        load_config(write(workspace=name))
    with pytest.raises(ConfigurationError, match=told):
        load_config(write(corpora={"restored": {"path": name}, "natural": {"path": "n"}}))


def test_a_part_of_255_bytes_a_key_of_a_bucket_and_a_list_in_braces_may_be_that_long(write):
    paths = ("x" * 255, f"s3://bucket/{'x' * 300}", f"{{{','.join(map(str, range(200)))}}}.tar")
    for path in paths:
        corpora = {"restored": {"path": path}, "natural": {"path": "n"}}
        assert load_config(write(corpora=corpora)).corpora.restored.path.endswith(path)


@pytest.mark.parametrize(
    ("sections", "place", "known"),
    [
        ({"workspce": "w"}, "workspce", "workspace"),
        ({"corpora": {"restord": {"path": "r"}}}, "corpora.restord", "natural, reference"),
        (
            {"corpora": {"restored": {"path": "r", "siz": 2}, "natural": {"path": "n"}}},
            "corpora.restored.siz",
            "colour, crop, frames, limit, match, name, path, resize, resize_filter",
        ),
        ({"patches": {"sze": 3}}, "patches.sze", "fold, size"),
        (
            {"fit": {"image": 3}},
            "fit.image",
            "images, keep_latents, pairing, refit_beyond, ridge, seed, shrink",
        ),
        ({"enhance": {"alpha": 0}}, "enhance.alpha", "alphas, decoding"),
        (
            {"evaluate": {"lpip": None}},
            "evaluate.lpip",
            "against, clip_iqa, controls, curve, dists, features, leave_out_fitted, lpips, niqe",
        ),
        ({"shards": {"image": 3}}, "shards.image", "images, max_bad_fraction"),
        ({"compute": {"devce": "cpu"}}, "compute.devce", "batch, device"),
        ({"codec": {"kind": "pixel", "factr": 2}}, "codec.pixel.factr", "factor, kind"),
        (
            {"codec": {"kind": "autoencoder-kl", "weights": "w", "revison": "0"}},
            "codec.autoencoder-kl.revison",
            "kind, revision, sha256, weights",
        ),
        (
            MADE | {"degrade": [NOISE, {"kind": "noise", "sgma": 0.2}]},
            "degrade.1.noise.sgma",
            "kind, seed, sigma",
        ),
        (
            MADE | {"degrade": [{"kind": "downscale", "facter": 2}]},
            "degrade.0.downscale.facter",
            "factor, kernel, kind, rounding",
        ),
        (
            MADE | {"degrade": [{"kind": "gaussian-blur", "sizes": 3}]},
            "degrade.0.gaussian-blur.sizes",
            "kind, sigma, size, stride",
        ),
        (
            MADE | {"restore": {"kind": "gaussian-blur", "size": 3, "sigma": 1.0, "stride": 2}},
            "restore.gaussian-blur.stride",
            "kind, name, sigma, size",
        ),
        (
            MADE | {"restore": {"kind": "non-local-means", "strenth": 1}},
            "restore.non-local-means.strenth",
            "kind, name, patch_distance, patch_size, strength",
        ),
        (
            MADE | {"restore": {"kind": "spandrel", "chekpoint": "c"}},
            "restore.spandrel.chekpoint",
            "checkpoint, kind, name, sha256",
        ),
    ],
)
def test_a_misspelt_field_is_named_with_the_fields_that_are_known(
    complaint, sections, place, known
):
    text = complaint(**sections)
    assert f"{place}: no such field; known here: " in text
    assert known in text


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"workspace": None}, "workspace: Field required"),
        ({"corpora": None}, "corpora: Field required"),
        (
            {"corpora": {}},
            "corpora.restored must be given, or made by restore",
        ),
        ({"corpora": {"natural": {"path": "n"}}}, "corpora.restored must be given"),
        ({"corpora": {"restored": {"path": "r"}}}, "corpora.natural must be given"),
        ({"corpora": {"restored": {}}}, "corpora.restored.path: Field required"),
        (MADE | {"restore": None}, "degrade needs a restore section"),
        (MADE | {"degrade": None}, "restore needs a degrade section"),
        (
            MADE | {"corpora": {"restored": {"path": "r"}, "reference": {"path": "c"}}},
            "corpora.restored is made by degrade and restore; give one or other",
        ),
        (MADE | {"corpora": {"natural": {"path": "n"}}}, "degrade needs corpora.reference"),
        ({"name": "natural"}, "data sets must have different names, got natural, natural"),
        (
            MADE
            | {
                "name": "x",
                "corpora": {
                    "reference": {"path": "c"},
                    "natural": {"path": "n", "name": "x.source"},
                },
            },
            "data sets must have different names, got x, x.source, x.source, reference",
        ),
        ({"name": "two words"}, "name: String should match pattern"),
        ({"name": "../up"}, "got '../up'"),
        (
            {"enhance": {"alphas": [0, 0.001]}},
            "alphas name folders by two decimals",
        ),
        ({"enhance": {"alphas": [0, -0.001]}}, "alphas name folders by two decimals"),
        ({"enhance": {"alphas": [0.5, 0.5]}}, "alphas name folders by two decimals"),
        ({"enhance": {"alphas": []}}, "enhance.alphas: Tuple should have at least 1 item"),
        ({"enhance": {"alphas": [float("nan")]}}, "finite number, got nan"),
        ({"enhance": {"decoding": "both"}}, "'residual' or 'direct', got 'both'"),
        ({"patches": {"size": 0}}, "greater than or equal to 1, got 0"),
        ({"compute": {"device": "gpu"}}, "got 'gpu'"),
        (
            MADE
            | {
                "degrade": [{"kind": "downscale", "factor": 2}],
                "restore": {"kind": "non-local-means"},
            },
            "restore by non-local-means needs noise in degrade, or does nothing",
        ),
        (
            {"codec": {"kind": "pixl"}},
            "'pixel', 'autoencoder', 'autoencoder-kl', 'autoencoder-tiny', 'taef2'",
        ),
        ({"codec": {"factor": 2}}, "codec: kind must be given"),
        (MADE | {"degrade": [{"sigma": 0.2}]}, "degrade.0: kind must be given"),
        (MADE | {"degrade": [{"kind": "noise", "sigma": 50}]}, "sigma must be in [0, 10]"),
        (
            MADE | {"degrade": [NOISE | {"seed": 1.5}]},
            "degrade.0.noise.seed: Input should be a valid in",
        ),
        (
            MADE | {"degrade": [{"kind": "blur"}]},
            "'noise', 'downscale', 'gaussian-blur', 'jpeg'",
        ),
        (
            MADE | {"degrade": [{"kind": "downscale", "factor": 2, "kernel": "lanczos"}]},
            "'bicubic', 'bilinear' or 'area', got 'lanczos'",
        ),
        (
            MADE | {"restore": {"kind": "gaussian-blur", "size": 4, "sigma": 1.0}},
            "size of the Gaussian that smooths must be odd, got 4",
        ),
        (
            MADE | {"restore": {"kind": "gaussian-blur", "size": 3, "sigma": 0.0}},
            "sigma of a Gaussian blur must be above 0 pixels, got 0.0",
        ),
        (
            {"corpora": {"restored": {"path": "r", "resize": 8, "resize_filter": "box"}}},
            "'lanczos', 'bicubic', 'bilinear' or 'area', got 'box'",
        ),
        (
            {"codec": {"kind": "autoencoder-kl", "weights": "w", "revision": "main"}},
            "got 'main'",
        ),
    ],
)
def test_a_broken_rule_is_told_in_a_sentence(complaint, sections, sentence):
    assert sentence in complaint(**sections)


def test_all_broken_rules_are_told_at_once(complaint):
    text = complaint(patches={"size": 0}, fit={"images": 0})
    assert "breaks 2 rule(s)" in text
    assert "patches.size" in text
    assert "fit.images" in text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a: [", "must be YAML in UTF-8"),
        (b"\xff\xfe", "must be YAML in UTF-8"),
        (b"- a\n- b\n", "must hold sections, got list"),
        (b"", "must hold sections, got nothing"),
        (b"just words", "must hold sections, got str"),
        (b"workspace: w\n1: 2\n", "1: Keys should be strings"),
    ],
)
def test_a_file_that_is_no_mapping_of_sections_is_told_in_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=sentence):
        load_config(path)


def test_a_missing_file_is_told_with_the_command_that_writes_one(tmp_path):
    with pytest.raises(ConfigurationError, match=r"No such file .*`dotpipe init` writes one"):
        load_config(tmp_path / "absent.yaml")


def test_relative_paths_count_from_the_file_not_from_the_current_folder(
    write, tmp_path, monkeypatch
):
    made = MADE | {
        "corpora": {"reference": {"path": "../clean"}, "natural": {"path": "/data/natural"}},
        "restore": {"kind": "spandrel", "checkpoint": "weights/net.pth"},
        "codec": {"kind": "autoencoder-tiny", "weights": "taesd"},
    }
    path = write(**made)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    config = load_config(Path("..") / path.name)
    assert config.workspace == str(tmp_path / "w")
    assert config.corpora.reference.path == str(tmp_path.parent / "clean")
    assert config.corpora.natural.path == "/data/natural"
    assert config.restore.checkpoint == str(tmp_path / "weights" / "net.pth")
    assert config.codec.weights == str(tmp_path / "taesd")


def test_urls_and_hub_names_are_left_as_they_are(write):
    codec = {"kind": "autoencoder-kl", "weights": "some/repository", "revision": "0" * 40}
    config = load_config(write(workspace="s3://bucket/prefix", codec=codec))
    assert config.workspace == "s3://bucket/prefix"
    assert config.codec.weights == "some/repository"


def test_a_run_is_named_by_its_file_unless_it_says_otherwise(write):
    assert load_config(write()).name == "run"
    assert load_config(write(name="mine")).restored_name == "mine"


@pytest.mark.parametrize("alpha", [0.125, 0.333, -0.001])
def test_alphas_that_two_decimals_cannot_name_are_refused(write, alpha):
    with pytest.raises(ConfigurationError, match="two decimals"):
        load_config(write(enhance={"alphas": [0, alpha]}))


def test_minus_zero_is_zero(write):
    (alpha,) = load_config(write(enhance={"alphas": [-0.0]})).enhance.alphas
    assert str(alpha) == "0.0"


@pytest.mark.parametrize(
    ("grid", "alphas"),
    [
        ({"start": 0, "stop": 1, "step": 0.25}, [0.0, 0.25, 0.5, 0.75, 1.0]),
        ({"start": 0, "stop": 1, "step": 0.4}, [0.0, 0.4, 0.8]),
        ({"start": 0.5, "stop": 0.5}, [0.5]),
        ({"start": 0, "stop": 0.05}, [0.0]),
        ({"start": -0.02, "stop": 0.01, "step": 0.01}, [-0.02, -0.01, 0.0, 0.01]),
        ({"start": -0.0, "stop": 1, "step": 1}, [0.0, 1.0]),
    ],
)
def test_a_curve_goes_from_its_start_by_steps(grid, alphas):
    found = Curve(**grid).alphas
    assert list(found) == alphas
    assert not any(str(alpha).startswith("-0.0") and alpha == 0 for alpha in found)


def test_a_curve_has_31_alphas_by_default_and_they_name_folders():
    alphas = Curve().alphas
    assert len(alphas) == 31
    assert (alphas[0], alphas[10], alphas[-1]) == (-1.0, 0.0, 2.0)
    assert all(alpha == float(f"{alpha:.2f}") for alpha in alphas)
    assert str(alphas[10]) == "0.0"


def test_a_curve_does_not_go_beyond_its_stop():
    assert Curve(start=0, stop=1, step=0.6).alphas == (0.0, 0.6)


@pytest.mark.parametrize(
    ("curve", "sentence"),
    [
        ({"start": 1, "stop": 0}, "must go up from start to stop"),
        ({"start": 0, "stop": -0.04}, "must go up from start to stop"),
        ({"start": 0, "stop": 10.01, "step": 0.01}, "in at most 1000 steps"),
        ({"step": 0.009}, "greater than or equal to 0.01"),
        ({"step": 0}, "greater than or equal to 0.01"),
        ({"step": -0.1}, "greater than or equal to 0.01"),
        ({"step": float("nan")}, "finite number"),
        ({"stop": float("inf")}, "finite number"),
        ({"start": float("nan")}, "finite number"),
        ({"stepp": 0.1}, "known here: low_shares, networks, start, step, stop"),
        ({"step": float("inf")}, "finite number"),
        ({"start": 0, "stop": 1, "step": 0.125}, "two decimals"),
        ({"low_shares": [0, 1.1]}, "less than or equal to 1"),
        ({"low_shares": [0.5, 0.5]}, "low_shares name folders by two decimals and must differ"),
        ({"low_shares": [0.125]}, "low_shares name folders by two decimals and must differ"),
    ],
)
def test_a_curve_that_is_no_grid_is_told(complaint, curve, sentence):
    assert sentence in complaint(evaluate={"curve": curve})


def test_a_curve_can_be_as_fine_as_two_decimals_and_as_long_as_a_thousand_steps():
    assert len(Curve(start=0, stop=10, step=0.01).alphas) == 1001


@pytest.mark.parametrize(
    ("enhance", "sentence"),
    [
        ({"low_share": 0.5, "interpolation": "latent"}, "low_share must be 1 with interpolation: "),
        ({"low_share": -0.1}, "greater than or equal to 0"),
        ({"low_share": 1.1}, "less than or equal to 1"),
        ({"low_sigma": 0}, "greater than 0"),
        ({"low_sigma": 43}, "less than or equal to 42"),
    ],
)
def test_dials_that_cannot_be_are_told(complaint, enhance, sentence):
    assert sentence in complaint(enhance=enhance)


def test_low_frequencies_are_kept_unless_they_take_more_or_there_is_one_dial():
    assert Enhance().low_band == LOW_KEPT
    assert Enhance(low_share=0.5, low_sigma=5).low_band == LowBand(share=0.5, sigma=5.0)
    assert Enhance(low_share=1, low_sigma=5).low_band is None
    assert Enhance(interpolation="latent").low_band is None


REFERENCE = {"restored": {"path": "r"}, "reference": {"path": "t"}}


@pytest.mark.parametrize(
    ("sections", "count"),
    [
        ({"corpora": REFERENCE}, 31),
        ({"corpora": REFERENCE, "evaluate": {"curve": {"step": 1}}}, 4),
        ({"corpora": REFERENCE, "evaluate": {"curve": None}}, 0),
        ({"corpora": REFERENCE, "enhance": {"interpolation": "latent"}}, 0),
        ({"corpora": REFERENCE, "enhance": {"decoding": "direct"}}, 31),
        ({}, 31),  # without a reference: of distances to the input
        (MADE, 31),
    ],
)
def test_there_is_a_curve_where_it_can_be_had_in_closed_form(write, sections, count):
    assert len(load_config(write(**sections)).curve_alphas) == count


def test_features_are_compared_with_the_reference_only_if_there_is_one(complaint):
    text = complaint(evaluate={"against": "reference"})
    assert "evaluate.against is reference, so corpora.reference must be given" in text
    text = complaint(evaluate={"against": ["natural", "reference"]})
    assert "evaluate.against is reference, so corpora.reference must be given" in text


def test_features_can_be_compared_with_own_references_and_other_photographs(write):
    corpora = REFERENCE | {"natural": {"path": "n"}}
    both = load_config(write(corpora=corpora, evaluate={"against": ["natural", "reference"]}))
    assert both.against_names == ("natural", "reference")
    one = load_config(write(corpora=corpora, evaluate={"against": ["natural"]}))
    assert one.against_names == ("natural",)
    assert one == load_config(write(corpora=corpora, evaluate={"against": "natural"}))


@pytest.mark.parametrize(
    ("corpora", "against", "got"),
    [
        (
            REFERENCE,
            ["reference", "natural"],
            "reference and natural, which are data set reference",
        ),
        (
            REFERENCE | {"natural": {"path": "n"}},
            ["natural", "natural"],
            "natural and natural, which are data set natural",
        ),
    ],
)
def test_features_are_not_compared_with_the_same_images_twice(complaint, corpora, against, got):
    text = complaint(corpora=corpora, evaluate={"against": against})
    assert f"evaluate.against must list different images, got {got}" in text


@pytest.mark.parametrize(
    ("sections", "name"),
    [
        ({}, "natural"),
        ({"evaluate": {"against": "natural"}}, "natural"),
        ({"corpora": REFERENCE}, "reference"),
        ({"corpora": REFERENCE, "evaluate": {"against": "natural"}}, "reference"),
        (
            {
                "corpora": REFERENCE | {"natural": {"path": "n", "name": "photos"}},
                "evaluate": {"against": "natural"},
            },
            "photos",
        ),
        (
            {
                "corpora": REFERENCE
                | {"natural": {"path": "n"}, "reference": {"path": "t", "name": "truth"}}
            },
            "truth",
        ),
        (MADE, "reference"),
    ],
)
def test_features_are_compared_with_the_reference_unless_told_otherwise(write, sections, name):
    config = load_config(write(**sections))
    assert config.against_name == name
    assert name in config.given_datasets()


def test_one_network_and_one_metric_may_stand_without_a_list(write):
    evaluate = load_config(write(evaluate={"features": ["squeezenet"], "pyiqa": "musiq"})).evaluate
    assert (evaluate.features, evaluate.pyiqa) == ("squeezenet", ("musiq",))
    assert evaluate.judges(has_reference=True) == ("pyiqa_musiq",)
    assert evaluate.networks == {"features": "squeezenet"}


@pytest.mark.parametrize(
    ("evaluate", "sentence"),
    [
        ({"features": "inception"}, "'inception-v3-compat', 'clip-rn50'"),
        ({"features": ["squeezenet", "dino"]}, "'dinov2-vit-s-14', 'dinov2-vit-b-14'"),
        ({"features": ["squeezenet", "squeezenet"]}, "must differ, got squeezenet, squeezenet"),
        ({"features": []}, "'squeezenet', got an empty list"),
        ({"pyiqa": ["musiq", "musiq"]}, "must differ, got musiq, musiq"),
        ({"pyiqa": ["musiq {}"]}, "evaluate.pyiqa.0"),
        ({"lpips": "resnet"}, "'alex', 'vgg' or 'squeeze'"),
        ({"against": "restored"}, "'reference' or 'natural'"),
        ({"against": ["reference", "restored"]}, "'reference' or 'natural'"),
        ({"against": []}, "evaluate.against"),
        ({"sample": 99}, "greater than or equal to 100"),
        ({"sample": 50_001}, "less than or equal to 50000"),
    ],
)
def test_a_broken_rule_of_evaluation_is_told(complaint, evaluate, sentence):
    assert sentence in complaint(evaluate=evaluate)


@pytest.mark.parametrize(
    ("runner", "meant"),
    [
        ("threads", Threads()),
        ("ray", Ray(kind="ray")),
        ({"kind": "ray", "gpus": 0.5}, Ray(kind="ray", gpus=0.5)),
    ],
)
def test_a_runner_is_named_by_a_word_or_given_in_full(write, runner, meant):
    config = load_config(write(compute={"runner": runner}))
    assert config.compute.runner == meant
    assert Config.model_validate_json(config.model_dump_json()) == config  # as flows are told


@pytest.mark.parametrize(
    ("compute", "sentence"),
    [
        ({"runner": "dask"}, "compute.runner: Input tag 'dask'"),
        ({"runner": {"kind": "ray", "adress": "x"}}, "known here: address, cpus, gpus, kind"),
        ({"runner": {"kind": "ray", "gpus": 2}}, "less than or equal to 1, got 2"),
        ({"runner": {"address": "ray://head:10001"}}, "compute.runner: kind must be given"),
        ({"runner": "ray", "device": "cuda:1"}, "auto, cuda or cpu with the runner ray"),
    ],
)
def test_a_broken_rule_of_the_runner_is_told(complaint, compute, sentence):
    assert sentence in complaint(compute=compute)


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_every_ready_configuration_loads(path):
    assert load_config(path).name


def test_the_template_shows_the_defaults():
    path = next(path for path in CONFIGURATIONS if path.stem == "template")
    shown = yaml.safe_load(path.read_text("utf-8"))
    needed = {name: shown[name] for name in ("name", "workspace", "corpora")}
    assert Config.model_validate(shown) == Config.model_validate(needed)
    optional = set(Config.model_fields) - {"degrade", "restore"}
    assert set(shown) == optional


@pytest.mark.parametrize(
    ("corpus", "sections", "sentence"),
    [
        ({"crop": 8}, {"fit": {"images": 10}}, "192 dimensions of a patch for the fit, got 10 at"),
        ({"crop": 16, "limit": 48}, {}, "got 192 at most of 48 image(s); use more or larger"),
        ({"crop": 16, "limit": 49}, {}, None),
        ({"crop": 8}, {"patches": {"size": 2}}, "768 dimensions of a patch for the fit, got 0 at"),
        ({"limit": 5}, {}, None),  # of unknown size
    ],
)
def test_cropped_images_that_cannot_have_enough_patches_are_told(write, corpus, sections, sentence):
    corpora = {"restored": {"path": "r"}, "natural": {"path": "n", **corpus}}
    tree = {"corpora": corpora, "codec": {"kind": "pixel", "factor": 8}, "patches": {"size": 1}}
    file = write(**{**tree, **sections})
    if sentence is None:
        load_config(file)
    else:
        with pytest.raises(ConfigurationError) as caught:
            load_config(file)
        assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"workspace": ""}, "workspace: a location must be one line"),
        ({"workspace": "$HOME/x"}, "workspace: a location must be written out, got $HOME"),
        ({"workspace": "s3:/bucket/x"}, "workspace: an address must begin with s3:// in full"),
        (
            {"workspace": "~no-such-user/x"},
            "must name a home of this machine, got '~no-such-user/x'",
        ),
        ({"workspace": f"x/{256 * 'a'}/y"}, "at most, got one of 256"),
        (
            {"weights": f"x/{130 * 'é'}"},
            "weights: a name in a path can have 255 bytes at most, got",
        ),
        ({"weights": "~no-such-user/x"}, "must name a home of this machine"),
        (
            MADE | {"restore": {"kind": "spandrel", "checkpoint": "~no-such-user/x.pth"}},
            "restore.checkpoint: a path that begins with ~",
        ),
        (
            {"codec": {"kind": "autoencoder-tiny", "weights": "~no-such-user/x"}},
            "must name a home of this machine",
        ),
    ],
)
def test_a_path_that_nobody_can_follow_is_told(complaint, tmp_path, sections, told):
    assert told in complaint(**sections)
    assert [path.name for path in tmp_path.iterdir()] == ["run.yaml"]


def test_the_folder_of_the_configuration_may_have_any_name(tmp_path):
    folder = tmp_path / "a $b\u00a0c "
    folder.mkdir()
    (folder / "run.yaml").write_text(
        "{workspace: w, corpora: {restored: {path: r}, natural: {path: n}}}"
    )
    config = load_config(folder / "run.yaml")
    assert config.workspace == f"{folder}/w"
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_a_path_that_leads_into_itself_is_no_path_of_a_corpus(write, tmp_path):
    (tmp_path / "r").symlink_to("r")
    config = load_config(write())
    with pytest.raises(CorpusError, match="must be a folder"):
        require_sources({"run": config.corpora.restored})


def test_a_study_in_place_of_a_configuration_is_told(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("study: {name: s, base: base.yaml, grid: {fit.images: [1]}}")
    with pytest.raises(ConfigurationError, match="must be a configuration, got a study; `dotpipe"):
        load_config(path)
