"""Moments and operators as files."""

import pytest
import torch

from dot_kernels import GaussianMoments, solve_transport
from tasks.io.artifacts import load_moments, load_operator, save_moments, save_operator


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


def test_equal_moments_make_equal_files(tmp_path, moments):
    for name in ("a", "b"):
        save_moments({"all": moments}, tmp_path / name, codec="pixel", dataset="x")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_of_another_kind_is_refused(tmp_path, moments):
    save_moments({"all": moments}, tmp_path / "m")
    with pytest.raises(ValueError, match="must hold gaussian-operator, got 'moments'"):
        load_operator(tmp_path / "m")
