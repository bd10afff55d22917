"""Where steps are shown: nowhere unless a command says where."""

from recording_screen import RecordingScreen

from flows.steps.screen import Both, screen


def test_where_there_is_no_terminal_nothing_is_shown(capsys):
    view = screen.get()
    view.begin("shard", 3)
    view.advance(2)
    view.pass_by(1)
    view.at("a part")
    view.say("a sentence")
    view.finish("done")
    assert capsys.readouterr() == ("", "")


def test_two_screens_are_told_the_same():
    screens = RecordingScreen(), RecordingScreen()
    both = Both(*screens)
    both.begin("shard", 3)
    both.advance(2)
    both.pass_by(1)
    both.at("a part")
    both.say("a sentence")
    both.finish("done")
    for each in screens:
        assert each.begun == [("shard", 3)]
        assert each.images == 3
        assert each.parts == ["a part"]
        assert each.said == ["a sentence"]
        assert each.notes == ["done"]
