"""What a run was made of, in words."""

import hashlib
from dataclasses import asdict

import pytest
import torch

from dot_kernels import GaussianMoments, solve_transport
from dot_kernels.level_fitting import solve_level
from tasks.io.networks.codecs import Autoencoder, Pixel
from tasks.report.made_with import weights_of
from tasks.report.provenance import (
    Spectra,
    codec_in_words,
    decoder_table,
    operator_lines,
    run_facts,
)
from tasks.report.tables.dials import two_dials_in_words

REVISION, DIGEST = "1" * 40, "a" * 64
PROVENANCE = {"pairing": "paired", "images": 1, "codec": {"kind": "pixel", "factor": 2}}


@pytest.mark.parametrize(
    ("codec", "identity", "words"),
    [
        (
            Pixel(factor=8),
            {"kind": "pixel", "factor": 8},
            "pixel-unshuffle by a factor of 8; it has no weights",
        ),
        (
            Autoencoder(kind="autoencoder-kl", weights="a/b", revision=REVISION, sha256=DIGEST),
            {"kind": "autoencoder-kl", "weights": "a/b", "revision": REVISION},
            f"autoencoder-kl a/b at revision {REVISION}, weights with sha256 {DIGEST}",
        ),
        (
            Autoencoder(kind="autoencoder-tiny", weights="/w"),
            {"kind": "autoencoder-tiny", "sha256": ["c" * 64, DIGEST]},
            f"autoencoder-tiny from /w, weights with sha256 {DIGEST}",
        ),
    ],
)
def test_a_codec_is_told_in_words_with_its_digest(codec, identity, words):
    assert codec_in_words(codec, identity) == words


def test_spectra_are_those_of_covariances_and_map(rng):
    x = torch.randn(500, 3, generator=rng, dtype=torch.float64)
    source = GaussianMoments.of(x * torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    target = GaussianMoments.of(x * torch.tensor([4.0, 6.0, 2.0], dtype=torch.float64))
    operator = solve_transport(source, target, ridge=0.0)
    spectra = Spectra.of(operator, {"source": source, "target": target})
    for values in spectra:
        assert values == sorted(values, reverse=True)
    assert spectra.gains == pytest.approx([4.0, 3.0, 2 / 3], rel=0.1)
    assert spectra.source == pytest.approx([9.0, 4.0, 1.0], rel=0.2)
    assert spectra.in_words().startswith("Spectra on a logarithmic axis: source variances from ")


def test_numbers_of_the_operator_that_are_not_known_are_left_out():
    lines = operator_lines({"largest_gain": 5.30444, "map_standard_error": None, "images": 1000})
    assert [(line.name, line.value) for line in lines] == [
        ("largest gain", "5.304"),
        ("images", "1,000"),
    ]


def test_every_level_of_the_decoder_has_a_line(rng):
    moments = [GaussianMoments.of(torch.randn(50, 3, generator=rng) * k) for k in (1, 2)]
    maps = {level: solve_level(*moments) for level in (1, 3)}
    table = decoder_table({str(k): asdict(each.diagnostics) for k, each in maps.items()})
    assert [line[0].text for line in table.lines] == ["level 1", "level 3"]
    known = dict(zip(table.titles[1:], (cell.text for cell in table.lines[0][1:]), strict=True))
    assert float(known["largest gain"]) == pytest.approx(maps[1].diagnostics.largest_gain, rel=1e-3)
    assert float(known["after"]) < 1e-6
    assert float(known["Gelbrich before"]) > 1
    assert decoder_table({}).lines == []


def test_images_that_are_made_say_from_what_and_how(steps):
    config = steps(
        "/nowhere",
        {"reference": {"path": "/t", "limit": 1, "crop": 64}},
        degrade=[{"kind": "noise", "sigma": 0.2}],
        restore={"kind": "non-local-means"},
    ).config
    lines = {fact.name: fact.value for fact in run_facts(config, PROVENANCE, {})}
    assert lines["restored: run"].startswith("made from reference: noise (sigma 0.2), then non-")
    assert lines["reference: reference"] == "/t, central 64 × 64 pixels, the first 1 image"
    assert lines["pairing"] == "paired: both sides of the fit come from the same 1 image"


def test_every_option_of_degradations_and_of_resizing_is_told(steps):
    config = steps(
        "/nowhere",
        {"reference": {"path": "/t", "resize": 64, "resize_filter": "area"}},
        degrade=[
            {"kind": "downscale", "factor": 4, "kernel": "bilinear", "rounding": True},
            {"kind": "gaussian-blur", "size": 13, "sigma": 1.6, "stride": 2},
            {"kind": "noise", "sigma": 0.2, "seed": 1234},
        ],
        restore={"kind": "gaussian-blur", "size": 5, "sigma": 0.5},
    ).config
    lines = {fact.name: fact.value for fact in run_facts(config, PROVENANCE, {})}
    assert lines["restored: run"] == (
        "made from reference: downscale (factor 4, kernel bilinear, rounding), then "
        "gaussian-blur (size 13, sigma 1.6, stride 2), then noise (sigma 0.2, seed 1234), then "
        "gaussian-blur (size 5, sigma 0.5)"
    )
    assert lines["reference: reference"] == "/t, shorter side 64 pixels by area"


def test_two_dials_are_told_and_one_is_not(steps):
    def told(**enhance):
        config = steps("/nowhere", {"restored": "/r", "reference": "/t"}, enhance=enhance).config
        facts = {fact.name: fact.meaning for fact in run_facts(config, PROVENANCE, {})}
        return facts["alphas"], two_dials_in_words(config.enhance)

    assert told(low_share=1, low_sigma=3) == ("0 is the full transport", [])
    alphas, (sentence,) = told(low_share=0.25, low_sigma=3)
    words = "low ones, which a Gaussian blur of 3 pixels keeps, take 0.25 of the change"
    assert alphas == f"0 is the full transport, of high frequencies; {words}"
    assert sentence.startswith(f"Alpha is that of high frequencies; {words}.")
    assert "stay as they came" in told(low_share=0)[0]


@pytest.mark.parametrize(
    ("decided", "sentence"),
    [
        ({"kept": True, "compared_with": "a", "statistics_moved": 0.01234}, "kept: since it was f"),
        (
            {"kept": False, "compared_with": "a", "statistics_moved": 0.5},
            "fitted anew, as statistics had moved 0.5 from those of operator a; refit beyond 0.1",
        ),
        (
            {"kept": False, "compared_with": None, "statistics_moved": None},
            "fitted anew, as there was no operator to keep; refit beyond 0.1",
        ),
    ],
)
def test_whether_the_operator_stayed_is_told_where_there_is_a_threshold(steps, decided, sentence):
    config = steps("/nowhere", {"restored": "/r", "reference": "/t"}).config
    provenance = {"pairing": "paired", "images": 1, "codec": {"kind": "pixel", "factor": 2}}

    def told(facts):
        return {fact.name: fact.value for fact in run_facts(config, provenance | facts, {})}

    assert told(decided | {"refit_beyond": 0.1})["refit"].startswith(sentence)
    assert "refit" not in told({})


def test_digests_are_those_of_the_summary_and_not_of_the_disk(steps):
    wanted = {"lpips": "alex", "features": "squeezenet", "niqe": True, "dists": True}
    config = steps("/nowhere", {"restored": "/r", "reference": "/t"}, evaluate=wanted).config
    facts = {"lpips_sha256": DIGEST, "features_sha256": "b" * 64, "frechet_name": "FD-squeezenet"}
    facts |= {"niqe_sha256": "c" * 64, "dists_sha256": "d" * 64, "dists_vgg16_sha256": "e" * 64}
    assert weights_of(config, facts) == {
        "lpips": {"net": "alex", "sha256": DIGEST},
        "features": {"network": "squeezenet", "sha256": "b" * 64},
        "niqe": {"judge": "niqe", "sha256": "c" * 64},
        "dists": {"judge": "dists", "sha256": "d" * 64, "vgg16_sha256": "e" * 64},
    }
    assert set(weights_of(config, {}).values()) == {None}
    provenance = {"pairing": "paired", "images": 1, "codec": {"kind": "pixel", "factor": 2}}
    lines = {fact.name: fact.value for fact in run_facts(config, provenance, facts)}
    assert lines["LPIPS"] == f"alex, weights with sha256 {DIGEST}"
    assert lines["NIQE"] == f"weights with sha256 {'c' * 64}"


def test_the_checkpoint_of_the_restorer_is_told_while_it_is_there(steps, tmp_path):
    checkpoint = tmp_path / "restorer.safetensors"
    checkpoint.write_bytes(b"weights")
    config = steps(
        "/nowhere",
        {"reference": "/t"},
        degrade=[{"kind": "noise", "sigma": 0.2}],
        restore={"kind": "spandrel", "checkpoint": str(checkpoint)},
    ).config
    provenance = {"pairing": "paired", "images": 1, "codec": {"kind": "pixel", "factor": 2}}

    def told():
        return {f.name: f.value for f in run_facts(config, provenance, {})}["restorer"]

    digest = hashlib.sha256(b"weights").hexdigest()
    assert told() == f"spandrel, weights with sha256 {digest}"
    checkpoint.unlink()
    assert told() == "spandrel, checkpoint no longer there"
