"""Where in the code an error was raised, also if that was in another process."""

import traceback


def place_of(error: BaseException) -> str:
    """File and line that raised it."""
    if error.__traceback__ is None:
        return str(error.__dict__.get(_KEPT, "an unknown place"))
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno}"


def keep_place(error: BaseException) -> None:
    """Have an error say where it was raised after it has been pickled, which drops its frames."""
    error.__dict__[_KEPT] = place_of(error)


_KEPT = "raised_at"
