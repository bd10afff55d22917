"""Names from outside: any script may be a key, nothing that leads or misleads."""

import tracemalloc

import pytest

from tasks.io.shards.keys import LONGEST_NAME, key_complaint, printable

SCRIPTS = (
    "latin/été",
    "ελληνικά/εικόνα",
    "кириллица/снимок",
    "עברית/תמונה",
    "العربية/صورة",
    "हिन्दी/चित्र",
    "日本語/写真",
    "한국어/사진",
    "ไทย/ภาพ",
    "emoji/👩‍👩‍👧 🏳️‍🌈",
    "combining/e\u0301",
)


@pytest.mark.parametrize(
    "key",
    [
        *SCRIPTS,
        "a",
        "a/b/c",
        "a.b/c..d",
        "...",
        "with space/and (marks) [] {} * ? : ; , '\" # % & | ~ $",
        "back\\slash",
        "k" * 1000,
        "字" * 1000,
        "deep/" * 500 + "a",
    ],
)
def test_a_key_may_be_of_any_script_with_any_marks_and_long(key):
    assert key_complaint(key) is None


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("/etc/passwd", "name is absolute"),
        ("\\\\host\\share", "name is absolute"),
        ("C:\\windows", "name is absolute"),
        ("c:/windows", "name is absolute"),
        ("C:evil", "name is absolute"),
        ("c:", "name is absolute"),
        ("../a", "name leads outside"),
        ("a/../../b", "name leads outside"),
        ("a/..", "name leads outside"),
        ("a\\..\\..\\b", "name leads outside"),
        ("", "name has an empty part"),
        ("a//b", "name has an empty part"),
        ("a/", "name has an empty part"),
        (".", "name has a part that is `.`"),
        ("a/./b", "name has a part that is `.`"),
        ("b\udcff", "name is not UTF-8"),
        ("字" * 1366, "name too long"),
        ("/../\n\udcff" * 1000, "name too long"),
    ],
)
def test_a_name_that_leads_elsewhere_or_cannot_be_written_is_no_key(key, complaint):
    assert key_complaint(key).startswith(complaint)


DIRECTIONS = [*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))]


@pytest.mark.parametrize(
    "letter",
    [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029", *DIRECTIONS],
)
def test_control_characters_breaks_of_lines_and_overrides_of_direction_are_in_no_key(letter):
    key = f"a{letter}b"
    assert key_complaint(key) == "name holds control characters: rename the file"
    assert printable(key).isascii()
    assert printable(key).isprintable()


@pytest.mark.parametrize("mark", ["\u200e", "\u200f", "\u061c", "\u200d"])
def test_marks_that_scripts_are_written_with_may_be_in_keys(mark):
    key = f"עברית{mark}1"
    assert (key_complaint(key), printable(key)) == (None, key)


def test_a_name_of_a_mebibyte_is_too_long_before_anything_else_is_asked():
    name = "./" * (1 << 19)
    tracemalloc.start()
    complaint = key_complaint(name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert complaint == "name too long: more than 4096 bytes"
    assert peak < 10_000


def test_every_complaint_has_its_kind_before_a_colon_or_none():
    kinds = {
        key_complaint(key).partition(":")[0] for key in ("/a", "../a", "a//b", "a\n", "\udcff")
    }
    assert len(kinds) == 5


def test_what_cannot_be_shown_is_shown_as_escapes_on_one_line():
    assert printable("b\udcff\n\x1b[31m\u2028\ud800é") == "b\\xff\\x0a\\x1b[31m\\u2028\\ud800é"
    assert all(printable(key) == key for key in SCRIPTS)


@pytest.mark.parametrize("letter", ["x", "\n", "\udcff", "😀"])
@pytest.mark.parametrize("longest", [100, LONGEST_NAME])
def test_an_endless_name_is_cut_where_it_is_shown_and_still_told_from_others(letter, longest):
    shown = [printable(letter * 1_000_000 + end, longest) for end in "ab"]
    assert [len(each) for each in shown] == [longest, longest]
    assert shown[0] != shown[1]
    assert [printable(each, longest) for each in shown] == shown


def test_a_name_is_cut_only_where_it_would_be_too_long():
    assert printable("x" * 100, 100) == "x" * 100
    assert printable("x" * 101, 100).startswith("x" * 80)
    assert printable("\n" * 25, 100) == "\\x0a" * 25
    assert len(printable("\n" * 26, 100)) == 100
