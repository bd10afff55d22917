"""Names from outside: any script may be a key, nothing that leads or misleads."""

import pytest

from tasks.io.names import key_complaint, printable

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
    ],
)
def test_a_name_that_leads_elsewhere_or_cannot_be_written_is_no_key(key, complaint):
    assert key_complaint(key).startswith(complaint)


@pytest.mark.parametrize(
    "letter", [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029"]
)
def test_control_characters_and_breaks_of_lines_are_in_no_key(letter):
    assert key_complaint(f"a{letter}b") == "name holds control characters: rename the file"


def test_every_complaint_has_its_kind_before_a_colon_or_none():
    kinds = {
        key_complaint(key).partition(":")[0] for key in ("/a", "../a", "a//b", "a\n", "\udcff")
    }
    assert len(kinds) == 5


def test_what_cannot_be_shown_is_shown_as_escapes_on_one_line():
    assert printable("b\udcff\n\x1b[31m\u2028\ud800é") == "b\\xff\\x0a\\x1b[31m\\u2028\\ud800é"
    assert all(printable(key) == key for key in SCRIPTS)


def test_an_endless_name_is_cut_where_it_is_shown():
    assert len(printable("x" * 1_000_000)) == 4097
