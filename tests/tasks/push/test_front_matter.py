"""The head of a card: our fields are written anew, all others keep their letters."""

import pytest
import yaml

from tasks.io.errors import ConfigurationError
from tasks.push.front_matter import (
    _blocks,
    joined_card,
    merged_configs,
    parsed_front,
    split_card,
    with_fields,
)

OURS = {"size_categories": ["n<1K"], "configs": [{"config_name": "metrics"}]}

THEIRS = """\
# of a person
license: cc-by-4.0   # asked the owner
configs:
- config_name: old
  data_files: x/*.parquet
# before the tags
tags: [faces,
  "a: b"]
size_categories:
  - 1K<n<10K

pretty_name: >
  Faces
  of people
"""


def test_a_card_is_taken_apart_and_put_together_again():
    for card in ("---\na: 1\n---\ntext\n", "---\n---\n", "---\na: 1\n---\n\n---\nb\n---\n"):
        front, body = split_card(card)
        assert joined_card(front, body) == card
    assert split_card("text\n---\na: 1\n---\n") == (None, "text\n---\na: 1\n---\n")
    assert split_card("") == (None, "")


def test_lines_of_other_fields_keep_their_letters_and_comments():
    written = with_fields(THEIRS, OURS)
    assert parsed_front(written) == yaml.safe_load(THEIRS) | OURS
    kept = [line for line in THEIRS.splitlines() if "old" not in line and "x/" not in line]
    kept = [line for line in kept if "1K<n<10K" not in line]
    assert [line for line in kept if line and line not in written.splitlines()] == []
    assert "license: cc-by-4.0   # asked the owner\n" in written
    assert "old" not in written


def test_fields_that_are_right_already_change_nothing():
    once = with_fields(THEIRS, OURS)
    assert with_fields(once, OURS) == once


@pytest.mark.parametrize(
    "front",
    ["", "license: mit", "license: mit\r\ntags: [a]\r\n", "{license: mit, configs: 1}\n"],
)
def test_any_layout_of_the_head_gets_the_fields(front):
    assert parsed_front(with_fields(front, OURS)) == (yaml.safe_load(front) or {}) | OURS


@pytest.mark.parametrize("odd", ["\x85", "\u2028", "\x0b", "\x0c", "\x1c"])
def test_only_a_line_feed_ends_a_line(odd):
    front = f"pretty_name: 'a{odd}license: b'\ntags: [a]\n"
    assert _blocks(front) == [
        ("pretty_name", f"pretty_name: 'a{odd}license: b'\n"),
        ("tags", "tags: [a]\n"),
    ]


def test_text_within_a_value_is_no_field():
    front = "pretty_name: |\n  configs: none\n  and\nlicense: mit\n"
    written = with_fields(front, OURS)
    assert written.startswith(front)
    assert parsed_front(written)["pretty_name"] == "configs: none\nand\n"


@pytest.mark.parametrize("front", ["a: [\n", "- a\n- b\n", "only words\n"])
def test_a_head_that_cannot_be_read_is_told(front):
    with pytest.raises(ConfigurationError, match=r"the head of the card, README.md, must .* Hub$"):
        with_fields(front, OURS)


def test_parts_that_a_person_has_added_stay_and_ours_of_before_go():
    theirs = [
        {"config_name": "metrics", "data_files": "old"},
        {"config_name": "curve", "data_files": "old"},
        {"config_name": "mine", "data_files": "mine/*.csv"},
    ]
    merged = merged_configs(theirs, {"metrics": {"data_files": "new"}}, ["metrics", "curve"])
    assert merged == [{"config_name": "metrics", "data_files": "new"}, theirs[2]]
    assert merged_configs(None, {}, []) == []
