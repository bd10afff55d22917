"""Two small runs with every kind of step, done act by act in processes that may be killed.

    python every_step.py FOLDER [ADDRESS]

Imports once, then does in a child process what is left to do in FOLDER, for every line of its
standard input, which says in JSON when the child is killed: never (null), or so many seconds after
a step of an act has begun, or after the child itself has. ``anew`` begins again at the first act.
It answers each with a line of JSON: the exit code, the act and the step that was at work, and the
seconds that each step took. Acts repeat safely, as commands of a user do; ADDRESS is where results
are pushed to.
"""

import json
import mmap
import os
import shutil
import signal
import sys
import time
from functools import partial
from pathlib import Path

from workspaces import plain_pipeline
from workspaces.brief_report import write_brief_report

from flows.runs.presence import at_work
from tasks.compact.compact import compact
from tasks.config import Config, Run, load_config
from tasks.export.plan import Export, claim_of
from tasks.fit.operators import fitted
from tasks.io.hub import Repository
from tasks.pipeline import whole_pipeline
from tasks.push.plan import Push, alphas_to_push
from tasks.push.sent import records_folder
from tasks.push.upload import send_files
from tasks.upkeep.cleaning.waste import clean

ALPHA = 0.5
RUNS = ("levelled", "trained")
START = "start of the process"
SECTIONS = """
degrade:
  - {kind: noise, sigma: 0.1}
shards: {images: 4}
compute: {device: cpu, batch: 2, shards_at_once: 1}
"""
LEVELLED = """
name: levelled
workspace: workspace
corpora: {reference: {path: images}}
restore: {kind: gaussian-blur, size: 3, sigma: 0.8}
codec: {kind: autoencoder-tiny, weights: ../codec}
patches: {size: 1}
transport: {levels: all}
reapply: 1
fit: {images: 6, pairing: paired, keep_latents: true}
enhance: {alphas: [0, 0.5]}
evaluate: {lpips: squeeze, niqe: false, features: squeezenet, curve: {step: 0.5}}
"""
TRAINED = """
name: trained
workspace: workspace
corpora: {reference: {path: images}}
restore:
  kind: residual-transport
  train: {steps: 6, segment: 2, batch: 2, crop: 16, width: 2, validation: 1, map_steps: 2,
    keep_every: 2}
codec: {kind: pixel, factor: 2}
patches: {size: 1}
enhance: {alphas: [0, 0.5], outputs: files}
evaluate: {lpips: null, niqe: false, features: null, curve: {step: 1}}
"""


def write_runs(folder: Path) -> None:
    """Write both configurations; images and weights are for the caller to bring."""
    for name, text in zip(RUNS, (LEVELLED, TRAINED), strict=True):
        (folder / name).mkdir(parents=True)
        (folder / name / "run.yaml").write_text(text + SECTIONS, "utf-8")


class Board:
    """What a child writes for its parent to read, alive or dead."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 256)

    def say(self, act: int, step: str) -> None:
        """Write which act is at work, and which step of it."""
        data = json.dumps([act, step]).encode()
        self._shared[:] = data.ljust(len(self._shared), b" ")

    def read(self) -> tuple[int, str]:
        """Return what was said last; the same again where it is just being written."""
        while True:
            try:
                act, step = json.loads(self._shared[:])
            except ValueError:
                continue
            return act, step


def do_units(units, work) -> dict[str, str]:
    """Do the jobs of units, last those that another run was at; return their fingerprints."""
    fingerprints, busy = {}, []
    for unit in units:
        fingerprints[unit.unit] = unit.fingerprint
        if unit.job is not None and getattr(work(unit.job), "state", "") == "busy":
            busy.append(unit.job.model_copy(update={"patient": True}))
    for job in busy:
        work(job)
    return fingerprints


@at_work
def run_all(config: Config, say) -> None:
    """Do all that is missing of a run, as its flow does, without Prefect.

    Reports are a sentence but where a restorer is trained: whole ones take half of the time.
    """
    run = Run.of(config)
    run.workspace.store.sweep()
    run.workspace.claims.sweep()
    for step in whole_pipeline(run):
        work = step.work.fn
        if step.verb == "report" and config.name != "trained":
            work = write_brief_report
        say(f"{step.verb}: {step.name}")
        if step.prepare is not None:
            step.prepare()
        fingerprints = do_units(step.plan(), work)
        if step.closing is not None and (job := step.closing.plan(fingerprints)) is not None:
            step.closing.work.fn(job)


@at_work
def export(config: Config, folder: Path) -> None:
    """Write plain files at one alpha."""
    run, destination = fitted(Run.of(config)), str(folder / "exported" / config.name)
    with run.workspace.claims.held(claim_of(destination), patient=True):
        plain_pipeline.export(Export(run, destination, ALPHA, None))


def push(config: Config, address: str) -> None:
    """Send all of it to the Hub, if it does not have it."""
    planned = _planned(Run.of(config, still=True), address)
    if not planned.is_done:
        planned.create(private=False)
        _send(config, address)


@at_work
def _send(config: Config, address: str) -> None:
    run = Run.of(config)
    with run.workspace.claims.held(records_folder(Repository.of(address)), patient=True):
        planned = _planned(run, address)
        for unit in planned.units():
            if unit.job is not None:
                send_files(unit.job)
        planned.finish()


def _planned(run: Run, address: str) -> Push:
    return Push(fitted(run), Repository.of(address), alphas_to_push(run.config, ()))


def grow(folder: Path) -> None:
    """Bring the images of the second night, each whole or not at all."""
    for path in sorted((folder / "later").iterdir()):
        aside = folder / "aside.png"
        shutil.copy2(path, aside)  # with its time, by which a file is known
        aside.replace(folder / "levelled" / "images" / path.name)


def acts(folder: Path, address: str | None):
    """Return all acts in order: a name, and a function that is told how to say its steps."""
    levelled, trained = (load_config(folder / name / "run.yaml") for name in RUNS)
    quietly = [
        ("export", partial(export, levelled, folder)),
        ("compact", partial(compact, levelled)),
        ("export compacted shards", partial(export, levelled, folder)),
    ]
    last = [("clean up", partial(clean, config)) for config in (levelled, trained)]
    pushed = [] if address is None else [("push", partial(push, levelled, address))]
    return [
        ("first night", partial(run_all, levelled)),
        ("new images", lambda _say: grow(folder)),
        ("second night", partial(run_all, levelled)),
        *((name, _silent(act)) for name, act in quietly),
        ("run that trains", partial(run_all, trained)),
        ("export files", _silent(partial(export, trained, folder))),
        *((name, _silent(act)) for name, act in (*pushed, *last)),
    ]


def _silent(act):
    return lambda _say: act()


def child(folder: Path, address: str | None, board: Board) -> None:
    """Do what is left, from the act on that the board names."""
    begun, _ = board.read()
    for number, (name, act) in enumerate(acts(folder, address)):
        if number >= begun:
            board.say(number, name)
            act(lambda step, number=number: board.say(number, step))
    board.say(1 << 20, "end")


def watched(process: int, board: Board, when: list | None) -> list:
    """Wait for a child, and kill it when it is time; return what is answered."""
    place, taken, began = board.read(), [], time.monotonic()
    due = began + when[2] if when is not None and when[1] == START else None
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        now, at = time.monotonic(), board.read()
        if at != place or ended:
            taken.append([*place, now - began])
            place, began = at, now
            if when is not None and [*at] == when[:2]:
                due = now + when[2]
        if ended:
            return [os.waitstatus_to_exitcode(status), *place, taken]
        if due is not None and now >= due:
            os.kill(process, signal.SIGKILL)
            due = None
        time.sleep(0.001)


def main(folder: Path, address: str | None) -> None:
    """Answer lines until there are no more."""
    import diffusers, lpips, matplotlib.pyplot, prefect.flows, skimage.restoration, torchvision  # noqa: E401, F401, I001

    os.fsync = lambda descriptor: None  # nobody pulls the plug
    board, begun = Board(), 0
    for line in sys.stdin:
        if line == "anew\n":
            begun = 0
            continue
        board.say(begun, START)
        if (process := os.fork()) == 0:
            child(folder, address, board)
            os._exit(0)
        answer = watched(process, board, json.loads(line))
        begun = answer[1]
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(sys.argv[2:] or [None]))
