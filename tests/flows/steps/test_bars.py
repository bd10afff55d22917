"""Bars on the terminal: one for each step, which moves and says how fast it is."""

import io
import re
import time

import pytest
from rich.console import Console

from flows.steps.bars import Bars


def drawn(*steps, width=120):
    """What a terminal shows at the end of some steps (name, total, images, note)."""
    console = Console(file=io.StringIO(), force_terminal=False, width=width)
    bars = Bars(console)
    with bars.shown():
        for name, total, images, note in steps:
            bars.begin(name, total)
            bars.advance(images)
            bars.finish(note)
    return console.file.getvalue().splitlines()


def test_every_step_has_a_bar_with_its_images_and_how_it_ended():
    lines = drawn(("shard", None, 7, "2 of 2 shards made"), ("enhance", 9, 9, "nothing to do"))
    assert len(lines) == 2
    assert "shard" in lines[0]
    assert "7/7" in lines[0]
    assert lines[0].rstrip().endswith("2 of 2 shards made")
    assert "9/9" in lines[1]
    assert lines[1].rstrip().endswith("nothing to do")


def test_a_sentence_stands_whole_above_the_bars():
    console = Console(file=io.StringIO(), force_terminal=False, width=40)
    bars = Bars(console)
    with bars.shown():
        bars.begin("shard", None)
        bars.say("left out of the corpus /data/[red]pictures: a folder with a long name")
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "left out of the corpus /data/[red]pictures: a folder with a long name"


def test_a_step_that_is_cut_short_stands_where_it_was():
    assert "4/9" in drawn(("enhance", 9, 4, "1 of 3 shards failed"))[0]


def test_images_of_a_shard_that_was_tried_again_do_not_count_beyond_the_whole():
    assert "9/9" in drawn(("enhance", 9, 12, "3 of 3 shards made"))[0]


def test_what_is_told_before_the_first_step_and_after_the_last_is_of_no_matter():
    bars = Bars(Console(file=io.StringIO()))
    bars.advance(1)
    bars.finish("")


def test_a_warning_is_printed_once_and_in_one_piece():
    console = Console(file=io.StringIO(), force_terminal=False, width=40)
    bars = Bars(console)
    with bars.shown():
        for _ in range(2):
            bars.say("the codec may take [fifty] times as long as it would in float32")
    text = console.file.getvalue()
    assert text.count("the codec may take [fifty] times as long as it would in float32\n") == 1


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_console_is_too_narrow_for_whole_numbers(width):
    note = "123 of 123 shards made, 17 images refused"
    lines = drawn(("measure latent patches", 123456, 123456, note), width=width)
    text = "\n".join(lines)
    assert "123456/123456" in text
    assert "0:00:00" in text
    assert "…" not in text
    assert max(map(len, lines)) <= width
    assert text.split()[0] == "measure"


def test_a_bar_under_way_says_images_per_second_and_the_time_to_go():
    console = Console(file=io.StringIO(), force_terminal=True, width=140)
    bars = Bars(console)
    with bars.shown():
        bars.begin("enhance", 1000)
        time.sleep(0.05)
        bars.advance(10)
        time.sleep(0.25)  # it is drawn ten times a second
    text = console.file.getvalue()
    assert "10/1000 images" in text
    assert re.search(r"[\d.]+ images/s, 0:00:\d\d to go", text)


def test_what_was_done_before_says_nothing_of_the_speed():
    console = Console(file=io.StringIO(), force_terminal=True, width=140)
    bars = Bars(console)
    with bars.shown():
        bars.begin("enhance", 1000)
        bars.pass_by(990)
        time.sleep(0.25)
    text = console.file.getvalue()
    assert "990/1000 images" in text
    assert "images/s" not in text
    assert "to go" not in text


def test_a_step_that_counts_no_images_swings_and_says_what_it_is_at():
    console = Console(file=io.StringIO(), force_terminal=True, width=140)
    bars = Bars(console)
    with bars.shown():
        bars.begin("solve the operator", None)
        bars.at("moments of shard 3 of 40")
        time.sleep(0.25)
        drawn_once = console.file.getvalue()
        time.sleep(0.25)
        assert len(console.file.getvalue()) > len(drawn_once)
        bars.finish("done")
    assert "moments of shard 3 of 40" in drawn_once
    assert console.file.getvalue().endswith("done\n\x1b[?25h")  # and the cursor is back
    assert "0/" not in console.file.getvalue()


def test_the_line_below_the_bars_is_gone_at_the_end():
    console = Console(file=io.StringIO(), force_terminal=True, width=140)
    bars = Bars(console, "dashboard while this runs: http://127.0.0.1:4200")
    with bars.shown():
        bars.begin("shard", None)
        time.sleep(0.25)
        assert "dashboard while this runs" in console.file.getvalue()
        before = len(console.file.getvalue())
    assert "dashboard" not in console.file.getvalue()[before:]
