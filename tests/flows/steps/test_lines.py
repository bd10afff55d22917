"""Steps as lines: one at the beginning, one at the end, one a minute."""

import re
import time

from flows.steps.lines import PERIOD_S, Lines


def test_a_step_has_a_line_when_it_begins_and_when_it_ends():
    written = []
    lines = Lines(written.append)
    with lines.shown():
        lines.begin("enhance", 9)
        lines.pass_by(3)
        lines.advance(6)
        time.sleep(0.01)
        lines.finish("2 of 3 shards made")
    assert written[0] == "enhance: begins, 9 images"
    pattern = r"enhance: ended after 0:00:00, 2 of 3 shards made, 9 images, [\d.]+ images/s"
    assert re.fullmatch(pattern, written[1])
    assert len(written) == 2


def test_a_step_that_goes_on_has_a_line_a_minute_with_speed_and_time_to_go():
    written = []
    lines = Lines(written.append, period_s=0.05)
    with lines.shown():
        lines.begin("enhance", 1000)
        lines.advance(10)
        time.sleep(0.2)
    pattern = r"enhance: 10 of 1000 images, [\d.]+ images/s, \d:\d\d:\d\d to go"
    assert re.fullmatch(pattern, written[1])
    assert PERIOD_S == 60


def test_a_step_that_counts_no_images_says_what_it_is_at():
    lines = Lines(lambda _: None)
    lines.begin("solve the operator", None)
    assert lines.standing() == "solve the operator: at work for 0:00:00"
    lines.at("the map of 1728 dimensions")
    assert lines.standing() == "solve the operator: the map of 1728 dimensions"


def test_between_two_steps_nothing_is_written():
    written = []
    lines = Lines(written.append, period_s=0.01)
    with lines.shown():
        lines.advance(1)
        lines.finish("")
        time.sleep(0.05)
    assert written == []
    assert lines.standing() == ""


def test_a_sentence_is_written_once():
    written = []
    lines = Lines(written.append)
    lines.say("left out of the corpus")
    lines.say("left out of the corpus")
    assert written == ["left out of the corpus"]


def test_nothing_follows_the_last_words():
    written = []
    lines = Lines(written.append, period_s=0.01)
    with lines.shown():
        lines.begin("enhance", 9)
        assert lines.stop() == "enhance: 0 of 9 images"
        told = list(written)
        time.sleep(0.05)
        lines.finish("stopped")
    assert written == told
