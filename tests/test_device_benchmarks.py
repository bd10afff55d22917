"""The measurements of devices run themselves: very small, on the processor."""

import re
import runpy

import pytest
import torch


@pytest.fixture
def measure(repository, monkeypatch, capsys):
    """Runs one of the commands of tests/benchmarks/devices; returns what it prints."""
    folder = repository / "tests" / "benchmarks" / "devices"
    monkeypatch.syspath_prepend(folder)

    def run(name, *words):
        assert runpy.run_path(str(folder / f"{name}.py"))["main"](words) == 0
        return capsys.readouterr().out

    return run


def test_all_that_a_gpu_is_asked_for_is_measured_on_a_processor_too(measure):
    small = ["--tiny", "--side=32", "--batch=2", "--images=4", "--rounds=1"]
    said = measure("throughput", "--device=cpu", "--backend=eager", *small)
    rows = re.findall(r"^\| float32, (.*) \| ([\d.e+]+) \| ([\d.]+) \|$", said, re.MULTILINE)
    assert [title for title, *_ in rows] == ["eager", "eager, five alphas", "compiled"]
    assert rows[0][2] == "1.00"
    assert all(float(speed) > 0 for _, speed, _ in rows)
    bare, whole, share = re.search(
        r"a bare loop over files: (\S+) images/s; the pass: (\S+) images/s, which is (\d+)%", said
    ).groups()
    assert int(share) == pytest.approx(100 * float(whole) / float(bare), abs=1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_and_measures_nothing(measure):
    said = measure("throughput")
    assert said.count("\n") == 1
    assert "finds no GPU on this machine, so nothing was measured" in said


def test_what_a_megapixel_costs_is_measured_for_codecs_and_metrics(measure):
    said = measure("unit_costs", "--tiny", "--side=64", "--rounds=1")
    pixel, network = re.findall(r"^\| `(.*)` \| (\S+) \| (\S+) \| (\S+) \| ?(\S*) \|$", said, re.M)
    assert [pixel[0], network[0]] == ["pixel, factor 8", "a very small one"]
    assert all(float(each) > 0 for each in (*pixel[1:4], *network[1:4]))
    assert pixel[4] == ""
    assert float(network[4]) < 100
    assert re.search(r"^\| PSNR and SSIM \| [\d.e-]+ \|$", said, re.MULTILINE)
