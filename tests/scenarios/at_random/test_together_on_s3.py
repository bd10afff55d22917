"""Runs and compactions at once, on an S3 that fails, leave what quiet ones leave.

A night brings images, and its runs make small shards of them. Each round is of one of four kinds,
whose moments are drawn so that a compaction is at work when something else happens.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from servers.s3_server import Bucket, sometimes, well
from workspaces.contents import tables, tars

from tasks.io.workspace import Workspace

ROUNDS = int(os.environ.get("DOTPIPE_TEST_ROUNDS", "4"))
SEED = int(os.environ.get("DOTPIPE_TEST_SEED", "0"))
FAULTS = 0.1
"""Share of all requests that fail, in every way that the proxy knows."""

WORKSPACE = "runs/workspace"
SECTIONS = {
    "name": "together",
    "shards": {"images": 4},
    "restore": {"kind": "gaussian-blur", "size": 3, "sigma": 0.8},
}
NIGHTS = (
    ("reference/0", "reference/1", "reference/2", "reference/3", "reference/4"),
    ("reference/5", "reference/6"),
    ("reference/7", "reference/8", "reference/9"),
)
NATURAL = (("natural/20", "natural/21"), ("natural/22",), ())
"""After the first two nights shards have 4, 1, 2 and 2, 1 images; a compaction makes 4, 3 and 3 of
them. Those of the third night are not small."""


def of_night(number):
    """The files that a night brings, below the project."""
    return [f"{name}.png" for name in (*NIGHTS[number - 1], *NATURAL[number - 1])]


@dataclass
class Draws:
    """The acts of one round, its moments drawn within the time of a run or of a compaction."""

    rng: random.Random
    run_s: float
    compact_s: float

    def within(self, span, share=1.0):
        return {"seconds": self.rng.uniform(0, share * span)}

    def run_ends(self):
        """Two runs of the second night, a compaction once they end, and a run that comes to it."""
        return [
            {"name": "run", "brings": of_night(2)},
            {"name": "run", "after": 0, **self.within(1)},
            {"name": "compact", "after": 0, **self.within(self.run_s)},
            {"name": "run", "after": 2, **self.within(self.compact_s, 0.8)},
            {"name": "run", "after": 2, "until": "over", **self.within(2), "brings": of_night(3)},
        ]

    def killed(self):
        """A compaction that is killed, runs that come then, another compaction."""
        at, share = self.rng.choice([("begun", 1.0), ("changes indexes", 0.5)])
        kill = {"killed_after": self.rng.uniform(0, share * self.compact_s), "killed_from": at}
        later = {"after": 0, "until": "over"}
        first, *_ = nights = self.rng.choice([((), of_night(3)), (of_night(3),)])
        return [
            {"name": "compact", **kill},
            {"name": "compact", **later, **self.within(self.run_s)},
            {"name": "run", **later, **self.within(1), "brings": first},
            *(
                {"name": "run", "after": 2, "until": "over", **self.within(2), "brings": night}
                for night in nights[1:]
            ),
        ]

    def two(self):
        """Two compactions at once, a run that comes to the first, new images after the second."""
        return [
            {"name": "compact"},
            {"name": "compact", **self.within(self.compact_s)},
            {"name": "run", "after": 0, **self.within(self.compact_s, 0.8)},
            {"name": "run", "after": 1, "until": "over", "brings": of_night(3)},
        ]

    def new_images(self):
        """A compaction, to which runs come, one of them with new images."""
        return [
            {"name": "compact"},
            {"name": "run", "after": 0, **self.within(self.compact_s), "brings": of_night(3)},
            {"name": "run", "after": 0, **self.within(self.compact_s)},
        ]

    KINDS = ("run_ends", "killed", "two", "new_images")


@pytest.fixture
def together(tmp_path, proxy):
    """Has processes do acts; what each noted, as pairs of a note and its second."""
    script = Path(__file__).parents[2] / "support" / "workspaces" / "together.py"
    support = str(script.parents[1])
    paths = os.pathsep.join([support, os.environ.get("PYTHONPATH", "")])
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (
        (tmp_path / "errors.txt").open("w+", encoding="utf-8") as errors,
        subprocess.Popen(
            [sys.executable, script],
            **pipes,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": paths},
            text=True,
        ) as process,
    ):

        def start(project, *acts):
            process.stdin.write(json.dumps([str(project.file), acts]) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
            complaint = (tmp_path / "errors.txt").read_text("utf-8")[-6000:]
            assert line, complaint
            noted = json.loads(line)
            for act, notes in zip(acts, noted, strict=True):
                may = {"done"} if act["name"] == "run" else {"done", "StepMissing"}
                may |= {"killed"} if "killed_after" in act else set()
                assert notes[-1][0] in may, complaint
            return noted

        yield start
        process.stdin.close()


@pytest.fixture
def project(tmp_path, draw, project):
    """A project whose images wait in ``later`` for their nights."""
    fresh = type(project)(tmp_path / "together")
    for night in (1, 2, 3):
        for name in of_night(night):
            draw(fresh.folder / "later" / name, int(Path(name).stem))
    return fresh


@dataclass
class Rounds:
    """A workspace in a bucket, which is put into the state in which a round begins.

    It is always at the same place, which reports tell.
    """

    project: object
    together: object
    bucket: Bucket
    states: dict[int, dict[str, bytes]]
    """What lies in the bucket after the runs of so many nights."""

    def begin(self, nights: int):
        """Have the images and the workspace be those after some nights."""
        for role in ("reference", "natural"):
            shutil.rmtree(self.project.folder / role, ignore_errors=True)
            (self.project.folder / role).mkdir()
        self.project.configure(workspace=f"{self.bucket.url}/{WORKSPACE}", **SECTIONS)
        for night in range(1, nights + 1):
            for name in of_night(night):
                shutil.copy2(self.project.folder / "later" / name, self.project.folder / name)
        former = self.bucket.keys(WORKSPACE)
        for key in former:
            self.bucket.client.delete_object(Bucket=self.bucket.name, Key=key)
        for name, data in self.states[nights].items():
            self.bucket.put(f"{WORKSPACE}/{name}", data)

    def quiet(self, *acts, nights: int):
        """Do acts one after the other; what is there at the end, and the seconds of each."""
        took = []
        self.begin(nights)
        for act in acts:
            (notes,) = self.together(self.project, act)
            assert notes[-1][0] == "done", notes
            took.append(dict(notes)["over"])
        return took

    def left(self):
        """What must not differ of a workspace: names with bytes; and images and rows."""
        self.project.hold(self.bucket.files(WORKSPACE))
        self.project.vouch()
        assert not self.bucket.uploads()
        assert "compacting.json" not in self.project.files()
        told = ("failures/", "claims/runs/")
        lasting = self.project.lasting()
        names = {name: data for name, data in lasting.items() if not name.startswith(told)}
        workspace = Workspace(str(self.project.workspace))
        images = {kind: tars(workspace, kind) for kind in ("datasets", "enhanced")}
        rows = {f: t.to_dicts() for f, t in tables(workspace, "metrics").items()}
        shutil.rmtree(self.project.workspace)
        return names, (images, rows)


@pytest.fixture
def rounds(project, together, bucket):
    """Rounds that can begin after one night and after two."""
    made = Rounds(project, together, bucket, {0: {}})
    for night in (1, 2):
        made.quiet({"name": "run", "brings": of_night(night)}, nights=night - 1)
        made.states[night] = bucket.files(WORKSPACE)
    return made


def account(acts, noted):
    """What compactions came to, in words; how many merged while a run was there."""
    told, beside = [], 0
    starts = [dict(n)["starts"] for act, n in zip(acts, noted, strict=True) if act["name"] == "run"]
    ends = [n[-2][1] for act, n in zip(acts, noted, strict=True) if act["name"] == "run"]
    for act, notes in zip(acts, noted, strict=True):
        if act["name"] != "compact":
            continue
        seen, at = [note for note, _ in notes], dict(notes)
        word = next(w for w in ("merged", "nothing to merge", "StepMissing", "killed") if w in seen)
        busy = f", busy {seen.count('busy')} times before" if "busy" in seen else ""
        told.append(word + busy + _of_former(seen))
        if word == "merged":
            came = [each for each in starts if at["begun"] <= each <= at["over"]]
            ended = [each for each in ends if at["begun"] - 1 <= each <= at["begun"]]
            beside += bool(came or ended)
            told[-1] += f" ({len(came)} runs came to it, {len(ended)} had just ended)"
    return told, beside


def _of_former(seen):
    """What a compaction did about one that was cut short, or how far a killed one was."""
    looked = seen.index("looks for small shards") if "looks for small shards" in seen else len(seen)
    former, own = seen[:looked], seen[looked:]
    words = [
        f", a former one: {note}" for note in former if note.startswith(("changes", "removes"))
    ]
    if "killed" in seen:
        words.append(", at indexes" if "changes indexes" in own else ", before indexes changed")
    return "".join(words)


@pytest.mark.slow
def test_runs_and_compactions_at_once_leave_what_quiet_ones_leave(rounds, proxy, capsys):
    night, compact = {"name": "run", "brings": of_night(3)}, {"name": "compact"}
    quiet = []
    for acts in ((compact, night), (night, compact)):
        rounds.quiet(*acts, nights=2)
        quiet.append(rounds.left())
    proxy.choose = sometimes(FAULTS, seed=SEED)
    (run_s,) = rounds.quiet({"name": "run", "brings": of_night(2)}, nights=1)
    (compact_s,) = rounds.quiet(compact, nights=2)
    say = partial(_say, capsys)
    say(f"\nseed {SEED}: a run takes {run_s:.1f} s, a compaction {compact_s:.1f} s")
    beside = 0
    for number in range(ROUNDS):
        rng, kind = random.Random(f"{SEED}-{number}"), Draws.KINDS[number % 4]
        acts = getattr(Draws(rng, run_s, compact_s), kind)()
        proxy.choose = well
        rounds.begin(nights=1 if kind == "run_ends" else 2)
        proxy.choose = sometimes(FAULTS, seed=rng.randrange(1 << 30))
        noted = rounds.together(rounds.project, *acts)
        told, merged = account(acts, noted)
        while (last := rounds.together(rounds.project, compact)[0])[-1][0] != "done":
            rounds.together(rounds.project, {"name": "run"})
        told.append("at last " + account([compact], [last])[0][0])
        names, content = rounds.left()
        same = [names == each for each, _ in quiet]
        say(f"round {number}, {kind}: {'; '.join(told)}; the bytes of {same}")
        assert content in [each for _, each in quiet]
        assert any(same) or kind == "killed"
        beside += bool(merged)
    say(f"{beside} of {ROUNDS} rounds merged beside a run; {dict(proxy.faults)}")
    assert 2 * beside >= ROUNDS


def _say(capsys, text):
    with capsys.disabled():
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
