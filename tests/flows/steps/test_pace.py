"""How fast a step is, and when it will have ended."""

import pytest

from flows.steps.pace import Pace, brief, span


class Clock:
    """A clock that goes on when it is told to."""

    now = 0.0

    def __call__(self):
        return self.now


def test_images_that_were_done_before_do_not_make_a_step_faster():
    clock = Clock()
    pace = Pace(1000, clock)
    pace.pass_by(500)
    assert (pace.rate, pace.left_s, pace.speed()) == (0, None, "")
    pace.advance(100)
    clock.now = 50.0
    assert pace.rate == 2
    assert pace.left_s == 200
    assert pace.count() == "600 of 1000 images"
    assert pace.speed() == "2 images/s, 0:03:20 to go"


def test_where_the_number_of_images_is_unknown_no_time_to_go_is_told():
    clock = Clock()
    pace = Pace(None, clock)
    assert pace.count() == ""
    pace.advance(30)
    clock.now = 2.0
    assert pace.count() == "30 images"
    assert pace.speed() == "15 images/s"


def test_images_that_are_done_twice_count_no_more_than_there_are():
    pace = Pace(9)
    pace.advance(12)
    assert pace.done == 9
    assert pace.left_s is None


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0:00:00"), (79.6, "0:01:20"), (90_061, "25:01:01")]
)
def test_a_time_is_told_in_hours_minutes_and_seconds(seconds, told):
    assert span(seconds) == told


@pytest.mark.parametrize(
    ("number", "told"), [(0.01234, "0.0123"), (12.34, "12.3"), (12345, "12345")]
)
def test_a_rate_has_three_digits_or_more_and_no_exponent(number, told):
    assert brief(number) == told
