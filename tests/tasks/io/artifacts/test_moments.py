"""Moments and operators as files."""

import os

import pytest
import torch

from dot_kernels import GaussianMoments, LevelledOperator, solve_transport
from dot_kernels.level_fitting import solve_level
from tasks.io.artifacts.moments import (
    at_level,
    load_moments,
    load_operator,
    save_moments,
    save_operator,
)
from tasks.io.artifacts.tensors import load_tensors
from tasks.io.errors import ArtifactDamaged


@pytest.fixture
def moments(rng):
    return GaussianMoments.of(torch.randn(50, 4, generator=rng))


def test_moments_come_back_bit_for_bit_in_their_order(tmp_path, moments):
    parts = {"z": moments, "a": GaussianMoments.zero(4)}
    save_moments(parts, tmp_path / "m.safetensors", dataset="x")
    loaded, facts = load_moments(tmp_path / "m.safetensors")
    assert list(loaded) == ["z", "a"]
    assert facts == {"dataset": "x"}
    assert loaded["z"].count == 50
    assert torch.equal(loaded["z"].mean, moments.mean)
    assert torch.equal(loaded["z"].scatter, moments.scatter)
    assert loaded["a"].count == 0


@pytest.mark.parametrize("rank", [4, 2])
def test_an_operator_comes_back_with_noise_moments_and_diagnostics(tmp_path, rng, moments, rank):
    flat = torch.randn(50, rank, generator=rng) @ torch.randn(rank, 4, generator=rng)
    source = GaussianMoments.of(flat)
    operator = solve_transport(source, moments, ridge=0.0)
    assert operator.is_stochastic == (rank < 4)
    path = tmp_path / "o.safetensors"
    save_operator(operator, {"source": source, "target": moments}, path, pairing="paired")
    loaded, both, facts = load_operator(path)
    assert torch.equal(loaded.matrix, operator.matrix)
    assert loaded.is_stochastic == operator.is_stochastic
    assert loaded.diagnostics == operator.diagnostics
    assert torch.equal(both["target"].scatter, moments.scatter)
    assert facts["pairing"] == "paired"


def test_an_operator_with_levels_comes_back_as_one_of_its_kind(tmp_path, rng, moments):
    others = [GaussianMoments.of(torch.randn(50, 4, generator=rng)) for _ in range(3)]
    latent = solve_transport(others[0], moments)
    levels = {3: solve_level(others[1], moments), 0: solve_level(others[2], moments)}
    whole = {"source": others[0], "target": moments, at_level("source", 3): others[1]}
    path = tmp_path / "o.safetensors"
    save_operator(LevelledOperator(latent, levels), whole, path, pairing="paired")
    loaded, parts, facts = load_operator(path)
    assert isinstance(loaded, LevelledOperator)
    assert list(loaded.levels) == [0, 3]
    for ours, theirs in ((loaded.latent, latent), (loaded.levels[3], levels[3])):
        assert torch.equal(ours.matrix, theirs.matrix)
        assert torch.equal(ours.source_mean, theirs.source_mean)
        assert torch.equal(ours.target_mean, theirs.target_mean)
        assert ours.diagnostics == theirs.diagnostics
    assert parts.keys() == whole.keys()
    assert torch.equal(parts["level-3.source"].scatter, others[1].scatter)
    assert facts == {"pairing": "paired"}


def test_an_operator_without_levels_is_saved_as_before_there_were_any(tmp_path, moments):
    operator = solve_transport(moments, moments)
    save_operator(operator, {"source": moments, "target": moments}, tmp_path / "o")
    tensors, facts = load_tensors(tmp_path / "o", "gaussian-operator")
    assert facts.keys() == {"diagnostics"}
    expected = {"matrix", "source_mean", "target_mean"}
    expected |= {f"{s}.{t}" for s in ("source", "target") for t in ("count", "mean", "scatter")}
    assert tensors.keys() == expected


def test_equal_moments_make_equal_files(tmp_path, moments):
    for name in ("a", "b"):
        save_moments({"all": moments}, tmp_path / name, codec="pixel", dataset="x")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_of_another_kind_is_refused(tmp_path, moments):
    save_moments({"all": moments}, tmp_path / "m")
    rule = "must hold gaussian-operator or levelled-operator or repeated-operator, got 'moments'"
    with pytest.raises(ValueError, match=rule):
        load_operator(tmp_path / "m")


@pytest.mark.parametrize("place", ["tensor", "header", "end"])
def test_one_bit_that_turned_is_told_with_the_files_name(tmp_path, moments, place):
    path = tmp_path / "m"
    save_moments({"all": moments}, path, codec="pixel")
    data = bytearray(path.read_bytes())
    data[{"tensor": len(data) - 9, "header": data.index(b"pixel"), "end": -1}[place]] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactDamaged, match=r"moments/x must hold .*; run `dotpipe verify"):
        load_moments(path, "moments/x")


def test_a_file_cut_short_is_told(tmp_path, moments):
    path = tmp_path / "m"
    save_moments({"all": moments}, path)
    for size in (0, 7, 100, path.stat().st_size - 1):
        os.truncate(path, size)
        with pytest.raises(ArtifactDamaged, match=r"/m must hold the tensors that were written"):
            load_moments(path)
        save_moments({"all": moments}, path)
