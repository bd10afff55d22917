"""Plug-ins as metrics of single images: described by their class, and looked at."""

import pytest
import torch

from tasks.config.sections import Evaluate
from tasks.io.artifacts.more_metrics import facts_on_packages, more_metrics
from tasks.io.errors import ConfigurationError
from tasks.io.networks.features.judges import (
    facts_on_judges,
    judge_facts,
    judge_files,
    judge_identity,
    judge_title,
    judges_named,
    load_judge,
)
from tasks.io.networks.plug_ins.metric import load_metric, require_metrics
from tests.support.standins.packages_on_path import installed, project

CODE = """
class Make:
    better = "less"
    title, unit, digits, needs_reference = "error", "level", 2, True

    def __init__(self, device):
        pass

    def __call__(self, image, reference):
        if image.max() == 0:
            return None
        return 255 * (image - reference).abs().mean()
"""
ALONE = "class Make:\n    better = 'more'\n    def __init__(self, device): pass\n"
NAME = "plug_in_error"


@pytest.fixture
def bring(tmp_path):
    def bring(code=CODE, version="1.0"):
        return installed(tmp_path / "site", project("metric", "error:Make", version), code)

    return bring


def test_it_measures_each_image_against_its_reference(bring):
    images, references = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    images[1] = 0
    with bring():
        judge = load_judge(NAME, "cpu")
        assert judge.column == NAME
        expected = float(255 * (images[0] - references[0]).abs().mean())
        assert judge(images, references, None) == [pytest.approx(expected), None]
        assert judge(images, None, None) == [None, None]
        whole = judge.in_tiles(_reader(images), _reader(references), (16, 16), None)
        assert whole == pytest.approx(expected)
        assert judge.in_tiles(_reader(images), None, (16, 16), None) is None
        assert (
            judge.in_tiles(_reader(images), _reader(references), (1 << 13, 1 << 12), None) is None
        )


def test_one_that_works_in_place_changes_its_own_copies_only(bring):
    code = CODE.replace("(image - reference)", "image.sub_(reference.mul_(1))")
    code = code.replace("255 * ", "reference.zero_().sum() + 255 * ")
    images, references = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)
    given = images.clone(), references.clone()
    with bring(code):
        judge = load_judge(NAME, "cpu")
        assert None not in judge(images, references, None)
        assert judge.in_tiles(_reader(images), _reader(references), (16, 16), None) > 0
    assert torch.equal(images, given[0])
    assert torch.equal(references, given[1])


def _reader(images):
    return lambda rows, columns: images[:1, :, rows.start : rows.stop, columns.start : columns.stop]


def test_tables_know_what_its_class_says(bring):
    with bring():
        facts = facts_on_judges([load_judge(NAME, "cpu")])
    (metric,) = more_metrics(facts_on_packages({**facts, "other": "x"}))
    assert (metric.column, metric.title, metric.unit) == (NAME, "error", "level")
    assert (metric.better, metric.digits, metric.reference) == ("less", 2, True)
    assert metric.meaning == "error against the reference, by dotpipe-error 1.0"
    assert metric.option == NAME


def test_it_is_a_judge_by_its_name(bring):
    with bring():
        assert judges_named(f"niqe, {NAME}") == ("niqe", NAME)
        assert judge_title(NAME) == "plug-in error"
        assert (judge_files(NAME), judge_facts(NAME)) == ((), {})
        first = judge_identity(NAME)
    assert first == {"judge": NAME, "package": "dotpipe-error", "version": "1.0"}
    with bring(version="2.0"):
        assert judge_identity(NAME) == {**first, "version": "2.0"}
    assert judge_identity(NAME) is None


def test_a_class_that_says_little_gets_defaults(bring):
    with bring(ALONE + "    def __call__(self, image): return image.mean()"):
        described = load_metric("error", "cpu").described
    assert described[3:] == ("error", "more", "1", 3, False)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("class Make: pass", "attributes of its class: better: Field required; ask"),
        ("class Make:\n    better = 'higher'", "better: .*'more' or 'less', got 'higher'"),
        ("class Make:\n    better, digits = 'more', -1", "digits: .*got -1"),
        ("class Make:\n    better, title = 'more', '{x}'", "title: .*got '{x}'"),
        ("def Make(device): pass\nMake.better = 'more'", "can be called with an image, got None"),
        (ALONE + "    def __call__(self, image): return 'high'", "a number for an image of 256"),
        (ALONE + "    def __call__(self, image): return image", "got Tensor; take it out"),
        (ALONE + "    def __call__(self): return 1", "got TypeError"),
        (ALONE + "    def __call__(self, image): return {}[0]", "got KeyError: 0; take it out"),
    ],
)
def test_what_gives_no_number_is_told(bring, code, said):
    with bring(code), pytest.raises(ConfigurationError, match=said):
        load_metric("error", "cpu").try_out()


def test_what_is_not_finite_is_no_value(bring):
    with bring(ALONE + "    def __call__(self, image): return image.mean() / 0"):
        assert load_metric("error", "cpu")(torch.rand(1, 3, 8, 8), None, None) == [None]


def test_one_that_compares_is_refused_without_a_reference(bring):
    with bring():
        require_metrics(["error"], has_reference=True)
        with pytest.raises(ConfigurationError, match=r"need no reference where there is none, got"):
            require_metrics(["error"], has_reference=False)


def test_names_are_listed_once_and_are_columns(bring):
    assert Evaluate(plug_ins="a").judges(has_reference=True) == ("plug_in_a",)
    with pytest.raises(ValueError, match="metrics of plug-ins must differ, got a, a"):
        Evaluate(plug_ins=["a", "a"])
    with pytest.raises(ValueError, match=r"must not end in _error, .* got a_change_error"):
        Evaluate(plug_ins=["a", "a_change_error"])
