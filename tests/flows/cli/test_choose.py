"""`dotpipe choose` after a run: an alpha in words, or one sentence and exit code 1."""

import os
import re
import shutil
import sys

import pytest

from flows.cli import main


@pytest.fixture
def choose(monkeypatch, capsys):
    """Runs `dotpipe choose` in this process; returns its exit code, output, and error output."""
    for name, value in {"DO_NOT_TRACK": "1", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, os.environ.get(name, value))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["dotpipe", "choose", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main()
        out, err = capsys.readouterr()
        return exited.value.code or 0, out, err[max(err.find("error: "), 0) :]

    return run


def alpha_of(out):
    """The alpha that the first line names."""
    return float(re.match(r"alpha (\S+): ", out)[1])


@pytest.fixture(scope="module")
def file(backfilled):
    """The configuration of a finished run, whose curve has the alphas -1, 0, 1 and 2."""
    backfilled.project.configure()
    return backfilled.project.file


def test_a_bound_on_distortion_gives_the_nearest_to_nature_within_it(choose, file):
    code, out, err = choose(file, "--min-psnr", 0)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert alpha_of(out) == 0
    assert lines[0] == "alpha 0: the best Gelbrich within the bounds"
    assert re.fullmatch(
        r"  PSNR: \S+ dB \(\S+ ± \S+ dB against the input: (better|worse|may be chance)\)", lines[1]
    )
    assert "not written" not in out


def test_any_metric_can_be_bounded_by_its_name(choose, file):
    code, out, err = choose(file, "--max", "change=0.5", "--min", "psnr=0", "--best", "gelbrich")
    assert (code, err) == (0, "")
    change = float(re.search(r"  IndRMSE: (\S+) levels", out)[1])
    assert change <= 0.5
    assert alpha_of(out) > alpha_of(choose(file, "--min", "psnr=0")[1])


def test_the_best_in_a_metric_can_be_had_without_bounds(choose, file):
    code, out, _ = choose(file, "--best", "psnr")
    assert code == 0
    assert alpha_of(out) in (0, 0.5, 1)


def test_alphas_of_the_curve_are_offered_with_the_way_to_have_them(choose, file):
    _, out, _ = choose(file, "--best", "ssim", "--beyond")
    within = choose(file, "--best", "ssim")[1]
    assert alpha_of(out) in (0, 0.5, 1, 2)
    assert 0 <= alpha_of(within) <= 1
    for answer in (out, within):
        written = alpha_of(answer) in (0, 0.5)
        assert ("add" in answer and "to enhance.alphas" in answer) != written


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "choose must know what you want, got no option; give --min-psnr"),
        (
            ("--best", "speed"),
            "best must be one of psnr, ssim, lpips, dists, change, niqe, clip_iqa, fid, ",
        ),
        (
            ("--max", "psnr=10"),
            "max must not bound psnr, of which more is asked for, got 'psnr=10'",
        ),
        (("--min", "speed=1"), "the metric of min must be one of psnr, ssim, "),
        (("--max-fid", 10), "fid must be in the fidelity table, but no alpha has it"),
        (("--max-lpips", 0.2), "lpips must be in the fidelity table, but no alpha has it"),
        (("--min-psnr", 99), "no alpha of the curve has psnr ≥ 99: psnr gets to "),
    ],
)
def test_what_cannot_be_had_is_one_sentence_and_exit_code_1(choose, file, words, sentence):
    code, out, err = choose(file, *words)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {sentence}")
    assert err.count("\n") == 1


def test_choosing_changes_nothing_and_starts_no_server(choose, file, backfilled, monkeypatch):
    monkeypatch.setattr("flows.service.server.prefect_server", lambda: pytest.fail("was started"))
    before = backfilled.project.versions()
    assert choose(file, "--best", "psnr")[0] == 0
    assert backfilled.project.versions() == before


def test_before_a_run_the_command_to_run_is_told(choose, project):
    code, _, err = choose(project.file, "--best", "psnr")
    assert code == 1
    assert "run `dotpipe shard CONFIG` first" in err


def test_after_a_change_the_command_to_run_is_told(choose, backfilled, tmp_path):
    folder = shutil.copytree(backfilled.project.folder, tmp_path / "project")
    changed = type(backfilled.project)(folder)
    changed.configure(enhance={"alphas": [0]})
    code, out, _ = choose(changed.file, "--best", "psnr")
    assert code == 0
    assert out.splitlines()[-1].endswith("`dotpipe evaluate` renews it")
