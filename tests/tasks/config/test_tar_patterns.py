"""Patterns of paths: ranges, steps, lists and stars, as in shells and in WebDataset."""

import re

import pytest
from braceexpand import braceexpand

from tasks.config.corpora import Corpus
from tasks.config.tar_patterns import MOST_TARS, expanded, matching
from tasks.io.errors import CorpusError


@pytest.mark.parametrize(
    "pattern",
    [
        "only.tar",
        "x{1..2}/a{0..1}.tar",
        "part-{008..011}.tar",
        "part-{8..011}.tar",
        "part-{8..11}.tar",
        "part-{0..10..2}.tar",
        "part-{00..10..3}.tar",
        "part-{5..5}.tar",
        "{train,test}.tar",
        "{train-{0..2},test-{0..1}}/{a..c}.tar",
        "{train,test/{x,y}}-{X..Z}.tar",
        "part{,-extra}.tar",
    ],
)
def test_braces_stand_for_what_webdataset_takes_them_for(pattern):
    assert list(expanded(pattern)) == list(braceexpand(pattern))


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("{3..1}.tar", "a range of tars must go up, by less than 1000000 tars, got {3..1}"),
        ("{0..9..0}.tar", "a range of tars must go up, by less than 1000000 tars, got {0..9..0}"),
        ("{0..1000000}.tar", "a range of tars must go up"),
        ("{c..a}.tar", "a range of tars must go up, got {c..a}"),
        ("{a,b,a}.tar", "a list of tars must name each once, got {a,b,a}"),
        ("{a}.tar", "braces in a tar's path must hold a range like {000000..000123}"),
        ("{}.tar", "or a list like {train,test}, got '{}.tar'"),
        ("{a..Z}.tar", "braces in a tar's path must hold a range"),
        ("{0..1.tar", "braces in a tar's path must hold a range"),
        ("0..1}.tar", "braces in a tar's path must hold a range"),
        ("0}-{0..1}.tar", "braces in a tar's path must hold a range"),
    ],
)
def test_braces_that_hold_nothing_to_stand_for_are_told(pattern, told):
    with pytest.raises(CorpusError, match=re.escape(told)):
        list(expanded(pattern))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{{0..2},{1..3}}.tar", "0 1 2 3"),
        ("{part-{00..02},part-01}.tar", "part-00 part-01 part-02"),
        ("{a,{a..b}}{,0}.tar", "a a0 b b0"),
        ("{1,{1..2}}{0,{0..1}}.tar", "10 11 20 21"),
    ],
)
def test_what_two_parts_of_a_pattern_stand_for_counts_once_where_it_comes_first(pattern, names):
    assert list(expanded(pattern)) == [f"{name}.tar" for name in names.split()]


def test_a_range_is_as_large_as_it_may_be():
    assert next(expanded(f"{{1..{MOST_TARS}}}.tar")) == "1.tar"


@pytest.mark.parametrize(
    ("path", "folder", "pattern"),
    [
        ("/in/x{1..2}/a{0..1}.tar", "/in/", "x{1..2}/a{0..1}.tar"),
        ("/in/a.tar", "/in/", "a.tar"),
        ("/in/*/a{0..1}.tar", "/in/", "*/a{0..1}.tar"),
        ("s3://bucket/*.tar", "s3://bucket/", "*.tar"),
        ("/in/photos", "/in/photos", None),
        ("/in/{photos}", "/in/{photos}", None),
        ("/in/photos/**/*.png", "/in/photos/", "**/*.png"),
        ("/in/a?/b", "/in/", "a?/b"),
        ("*.png", "", "*.png"),
    ],
)
def test_the_folder_of_a_pattern_is_what_comes_before_it(path, folder, pattern):
    corpus = Corpus(path=path)
    assert (corpus.folder, corpus.pattern) == (folder, pattern)


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.png", "a.png", True),
        ("*.png", "a/b.png", False),
        ("**/*.png", "b.png", True),
        ("**/*.png", "a/c/b.png", True),
        ("**/*.png", "a/b.jpg", False),
        ("a?/*.png", "ab/c.png", True),
        ("a?/*.png", "a/c.png", False),
        ("**", "a/b.png", True),
        ("x.*", "xy", False),
        ("a [1]/*.png", "a [1]/b.png", True),
        ("a[1].png", "a1.png", False),
    ],
)
def test_stars_stand_for_names_and_folders_as_in_shells(pattern, path, fits):
    assert matching(pattern)(path) is fits
