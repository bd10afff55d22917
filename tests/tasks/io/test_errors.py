"""Where an error was raised, told in this process and after a journey from another."""

import pickle

from tasks.io.errors import ConfigurationError, keep_place, place_of


def raised():
    try:
        raise ConfigurationError("a mistake")
    except ConfigurationError as error:
        return error


def test_the_place_is_the_file_and_line_that_raised():
    line = raised.__code__.co_firstlineno + 2
    assert place_of(raised()) == f"{__file__}:{line}"


def test_a_place_that_was_kept_survives_pickling():
    error = raised()
    keep_place(error)
    again = pickle.loads(pickle.dumps(error))
    assert again.__traceback__ is None
    assert place_of(again) == place_of(error)


def test_a_place_that_nobody_kept_is_not_known():
    again = pickle.loads(pickle.dumps(raised()))
    assert place_of(again) == "an unknown place"
