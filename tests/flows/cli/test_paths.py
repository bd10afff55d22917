"""Paths of the command line: one sentence for every verb where a disk refuses one."""

import re

import pytest

from flows.cli import app
from flows.cli.paths import given_place

CONFIGURED = {
    verb: [verb, "{}"]
    for command in app.registered_commands
    if (verb := command.name or command.callback.__name__)
    not in ("init", "demo", "down", "alarms", "forget", "compare", "export", "apply", "metrics")
}
VERBS = CONFIGURED | {
    "codecs": ["codecs", "{}", "pixel"],
    "enhance natural": ["enhance", "n", "--natural", "{}", "--out", "o"],
    "enhance into": ["enhance", "n", "--natural", "n", "--out", "{}"],
    "export": ["export", "{}", "o"],
    "push": ["push", "{}", "--to", "hf://datasets/a/b"],
    "export into": ["export", "good.yaml", "{}"],
    "apply": ["apply", "{}", "n", "o"],
    "apply to": ["apply", "good.yaml", "{}", "o"],
    "apply into": ["apply", "good.yaml", "n", "{}"],
    "metrics": ["metrics", "{}", "n"],
    "metrics with": ["metrics", "n", "{}"],
    "forget": ["forget", "{}", "a"],
    "init": ["init", "{}"],
    "demo": ["demo", "{}"],
    "compare": ["compare", "{}", "good.yaml"],
    "compare with": ["compare", "good.yaml", "{}"],
    "pull": ["weights", "pull", "{}", "there"],
    "pull into": ["weights", "pull", "networks.yaml", "{}"],
}
PATHS = {
    "name": "x" * 300,
    "whole": "/".join(["x" * 200] * 30),
    "loop": "loop",
    "in a loop": "loop/c.yaml",
    "in a file": "good.yaml/c.yaml",
    "nothing": "",
    "zero byte": "a\0.yaml",
}
TEXT = """\
workspace: {workspace}
corpora: {{restored: {{path: '{restored}'}}, natural: {{path: n}}}}
codec: {{kind: pixel}}
"""
NO_NETWORKS = "evaluate: {features: null, lpips: null, niqe: false}\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with configurations, and a link to itself; returns how to change it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")

    def written(workspace="w", restored="r"):
        text = TEXT.format(workspace=workspace, restored=restored)
        (tmp_path / "networks.yaml").write_text(text, "utf-8")
        (tmp_path / "good.yaml").write_text(text + NO_NETWORKS, "utf-8")
        (tmp_path / "n").mkdir(exist_ok=True)

    written()
    return written


def is_one_sentence(code, err):
    return code == 1 and err.startswith("error: ") and len(err.splitlines()) == 1


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize("verb", VERBS)
def test_a_path_that_no_disk_takes_is_told_in_a_sentence(dotpipe, place, verb, path):
    code, _, err = dotpipe(*(word.format(path) for word in VERBS[verb]))
    assert is_one_sentence(code, err), err


PLACES = {
    "restored": ["enhance", "{}", "--natural", "n", "--out", "o"],
    "natural": ["enhance", "r", "--natural", "{}", "--out", "o"],
    "reference": ["enhance", "r", "--reference", "{}", "--out", "o"],
    "out": ["enhance", "r", "--natural", "n", "--out", "{}"],
    "weights": ["enhance", "r", "--natural", "n", "--out", "o", "--weights", "{}"],
    "export": ["export", "good.yaml", "{}"],
    "apply": ["apply", "o.safetensors", "{}", "o"],
    "apply into": ["apply", "o.safetensors", "r", "{}"],
    "metrics": ["metrics", "{}", "n"],
    "metrics with": ["metrics", "n", "{}"],
}


@pytest.mark.parametrize("path", ["", "a\0b"], ids=["nothing", "zero byte"])
@pytest.mark.parametrize("words", PLACES.values(), ids=PLACES)
def test_a_folder_that_can_be_none_is_told_in_a_sentence(dotpipe, place, words, path):
    code, _, err = dotpipe(*(word.format(path) for word in words))
    assert is_one_sentence(code, err), err
    assert f"a path must not be empty or hold a zero byte, got {path!r}" in err


@pytest.mark.parametrize("given", ["folder", "s3://bucket/prefix", "~/x y", "ü/日本"])
def test_a_folder_or_address_is_taken_as_it_was_given(given):
    assert given_place(given) == given


@pytest.mark.parametrize("verb", ["status", "verify", "gc", "choose", "run"])
@pytest.mark.parametrize("path", ["loop", "loop/w", PATHS["whole"]])
def test_a_workspace_that_no_disk_takes_is_told_in_a_sentence(dotpipe, place, verb, path):
    place(workspace=path)
    code, _, err = dotpipe(verb, "good.yaml", *["--best", "psnr"] * (verb == "choose"))
    assert is_one_sentence(code, err), err


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("loop", "Too many levels of symbolic links; correct the link there"),
        ("good.yaml/r", "every tar of .* must be there"),
        (PATHS["whole"], "File name too long; give a shorter path"),
    ],
)
def test_tars_that_no_disk_can_hold_are_told(dotpipe, place, path, told):
    place(restored=f"{path}/{{0..9}}.tar")
    code, out, _ = dotpipe("status", "good.yaml")
    assert code == 0
    assert re.search(f"shard good: .*{told}", out)
