"""Runs with every kind of step, killed again and again, end as one that nothing happened to."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderTiny
from flow_fixtures import Project
from servers.hub_server import using, variables
from torchvision.models import squeezenet1_1
from workspaces.every_step import START, write_runs

from tasks.io.networks.published_weights import PUBLISHED
from tasks.io.workspace import Workspace
from tasks.upkeep.verify import verify

KILLS = int(os.environ.get("DOTPIPE_TEST_KILLS", "12"))
SEED = int(os.environ.get("DOTPIPE_TEST_SEED", "0"))
TIMED = ("README.md", ".dotpipe/push.json", "report/run.json", "report/report.html")
"""Files on the Hub that say when and how long the run was, or have digests of those that do."""

ADDRESS = "hf://datasets/org/faces"


class Runs:
    """Two runs in a folder, which a process does that starts and kills others."""

    def __init__(self, folder, hub):
        self.folder, self.hub = folder, hub
        self.projects = [Project(folder / name, "run.yaml") for name in ("levelled", "trained")]
        self.errors = (folder / "errors.txt").open("w+", encoding="utf-8")
        script = Path(__file__).parents[2] / "support" / "workspaces" / "every_step.py"
        paths = filter(None, (str(script.parents[1]), os.environ.get("PYTHONPATH")))
        own = {"TORCH_HOME": str(folder / "torch"), "PYTHONPATH": os.pathsep.join(paths)}
        self.process = subprocess.Popen(
            [sys.executable, script, folder, ADDRESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env={**os.environ, **variables(hub), **own},
            text=True,
        )

    def go_on(self, when=None):
        """Exit code, act and step of a process that does what is left, and its steps' times."""
        self.process.stdin.write(json.dumps(when) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.complaint()
        return json.loads(line)

    def complaint(self):
        """What processes wrote last where errors go."""
        return (self.folder / "errors.txt").read_text("utf-8")[-3000:]

    def begin_anew(self):
        self.process.stdin.write("anew\n")
        for project in self.projects:
            shutil.rmtree(project.workspace)
        shutil.rmtree(self.folder / "exported")
        for path in (self.folder / "later").iterdir():
            (self.folder / "levelled" / "images" / path.name).unlink()
        self.hub.repositories.clear()

    def left(self):
        """All that the runs have left that must not differ, of workspaces, exports and the Hub."""
        files = {name: b"" for project in self.projects for name in self._names(project)}
        for project in self.projects:
            files |= {f"{project.folder.name}: {n}": data for n, data in project.lasting().items()}
        for path in (self.folder / "exported").rglob("*"):
            if path.is_file():
                files[path.relative_to(self.folder).as_posix()] = path.read_bytes()
        for path, data in self.hub.repositories["org/faces"].files.items():
            files[f"pushed: {path}"] = b"" if path in TIMED else data
        return files

    def _names(self, project):
        for path, _ in project._paths():
            if not path.startswith("logs/") and "/report@" not in path:
                yield f"{project.folder.name}/{path}"

    def require_whole(self):
        """Every record vouches for files that are as they were written."""
        levelled, trained = self.projects
        levelled.vouch()
        if trained.workspace.exists():  # of former checkpoints the records alone stay
            ledger = Workspace(str(trained.workspace)).ledger
            assert [each.damage for each in verify(ledger) if each.damage] == []


@pytest.fixture
def runs(tmp_path, hub, draw):
    write_runs(tmp_path)
    for number in range(11):
        folder = "levelled/images" if number < 5 else "later" if number < 7 else "trained/images"
        draw(tmp_path / folder / f"{number}.png", number, 32, 40)
    torch.manual_seed(0)
    widths = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    blocks = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    module = AutoencoderTiny(**widths, **blocks, latent_channels=2)
    module.load_state_dict({name: 2 * weights for name, weights in module.state_dict().items()})
    module.save_pretrained(tmp_path / "codec")
    path = tmp_path / "torch" / "hub" / "checkpoints" / PUBLISHED["squeezenet"].name
    path.parent.mkdir(parents=True)
    torch.save(squeezenet1_1(weights=None).state_dict(), path)
    begun = Runs(tmp_path, hub)
    with using(hub):
        yield begun
    begun.process.kill()
    begun.process.communicate()
    begun.errors.close()


def differing(left, right):
    """Names of files that only one has, or that have other bytes."""
    return sorted(n for n in left.keys() | right.keys() if left.get(n) != right.get(n))


def drawn(left, rng):
    """A moment to kill at: at any time of what is left or of its next steps, or in any of these."""
    left = left[: rng.choice([5, 15, 30, len(left)])]
    shares = [seconds for *_, seconds in left] if rng.random() < 0.5 else [1.0] * len(left)
    act, step, seconds = rng.choices(left, shares)[0]
    return [act, step, rng.uniform(0, 1.1 * seconds)]


@pytest.mark.slow
def test_runs_with_every_kind_of_step_survive_kills_at_random_moments(runs, capsys):
    code, *_ = runs.go_on()
    assert code == 0, runs.complaint()
    runs.require_whole()
    runs.begin_anew()
    code, *_, times = runs.go_on()  # what a process needs that has done it all before
    undisturbed, steps = runs.left(), [place[:2] for place in times]
    runs.begin_anew()
    rng, killed, wholes, at = random.Random(SEED), Counter(), 0, 0
    while killed.total() < KILLS or at:
        when = drawn(times[at:], rng) if killed.total() < KILLS else None
        code, act, step, _ = runs.go_on(when)
        told = f"seed {SEED}, after {killed.total()} kills, {when}, in {step}"
        if code == -signal.SIGKILL:
            killed[step] += 1
            at = steps.index([act, step]) if [act, step] in steps else at
            runs.require_whole()
            (runs.folder / "told.txt").write_text(repr(killed))
            continue
        assert code == 0, f"{told}: {runs.complaint()}"
        runs.require_whole()
        assert differing(runs.left(), undisturbed) == [], told
        wholes, at = wholes + 1, 0
        runs.begin_anew()
    with capsys.disabled():
        lines = [f"{killed.total()} kills, {wholes} whole runs, seed {SEED}"]
        lines += [f"{count:5} {step}" for step, count in killed.most_common()]
        sys.stdout.write("\n".join(["", *lines, ""]))
    assert START in {step for _, step, _ in times}
