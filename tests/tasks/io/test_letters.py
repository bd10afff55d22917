"""Letters: text that reads the same has one form, but no two names become one."""

import pytest

from tasks.io.letters import compose, composed


def test_letters_that_are_followed_by_their_marks_are_composed():
    assert compose("cafe\u0301 a\u0308/\u1100\u1161") == "caf\u00e9 \u00e4/\uac00"


@pytest.mark.parametrize("name", ["plain", "caf\u00e9", "\u65e5\u672c", "\udcff", ""])
def test_names_that_are_composed_stay_as_they_are(name):
    assert compose(name) == name
    assert composed({name}) == {}


@pytest.mark.parametrize(
    "names",
    [
        {"e\u0301", "\u00e9"},
        {"e\u0323\u0307", "e\u0307\u0323"},
        {"\u212a", "K"},  # the sign of kelvin becomes a letter of ASCII
    ],
)
def test_names_that_would_become_equal_are_left_out(names):
    assert composed({*names, "a\u0308"}) == {"a\u0308": "\u00e4"}
