"""How many images a step has is found out beside its work, where its plan does not tell."""

import threading

import pytest
from recording_screen import RecordingScreen

from flows.steps.counting import counted_beside
from flows.steps.lines import Lines
from flows.steps.screen import screen
from tasks.io.errors import CorpusError


@pytest.fixture
def shown():
    view = RecordingScreen()
    token = screen.set(view)
    yield view
    screen.reset(token)


def test_the_number_is_shown_while_the_step_is_at_work(shown):
    counted = threading.Event()
    shown.expect = lambda total: (shown.expected.append(total), counted.set())
    with counted_beside(lambda is_to_stop: None if is_to_stop() else 7):
        assert counted.wait(10)
    assert shown.expected == [7]


def test_a_step_that_ends_first_does_not_wait_for_the_rest_of_the_listing(shown):
    begun = threading.Event()

    def count(is_to_stop):
        begun.set()
        while not is_to_stop():
            pass
        return 7

    with counted_beside(count):
        assert begun.wait(10)
    assert shown.expected == []


def test_what_cannot_be_listed_is_left_to_the_step_to_tell(shown):
    def count(_):
        raise CorpusError("corpus must be a folder")

    with counted_beside(count):
        pass
    assert shown.expected == []


def test_a_step_whose_number_came_later_tells_the_time_to_go():
    lines = Lines(lambda _: None)
    lines.begin("shard natural", None)
    lines.advance(10)
    assert "to go" not in lines.standing()
    lines.expect(1000)
    assert lines.standing().startswith("shard natural: 10 of 1000 images, ")
    assert lines.standing().endswith(" to go")
