"""A plug-in is made of what it is told: options are checked against what its function takes."""

import inspect
from collections.abc import Mapping
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, get_type_hints

from pydantic import PydanticUserError, TypeAdapter, ValidationError

from tasks.io.errors import ConfigurationError, DotpipeError
from tasks.io.plug_ins.installed import Installed, in_words

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def make(plug_in: Installed, told: Mapping[str, Any], field: str, *before: Any) -> Any:
    """Return what a plug-in's function or class makes.

    Args:
        plug_in: which it is.
        told: options and paths of files, by name.
        field: section of the configuration with the options, for errors.
        before: arguments that come before the options, such as the device.

    Raises:
        ConfigurationError: it cannot be imported, does not take what it is told, or fails.
    """
    factory = plug_in.load()
    checked = _checked(plug_in, factory, told, field, len(before))
    try:
        return factory(*before, **checked)
    except DotpipeError:
        raise
    except Exception as error:
        raise ConfigurationError(
            f"{field}: {plug_in.brought} {plug_in} must take what it is told, got "
            f"{in_words(error)}; correct its options, or ask whoever wrote it"
        ) from error


def _checked(
    plug_in: Installed, factory: Any, told: Mapping[str, Any], field: str, before: int
) -> dict[str, Any]:
    """Return what a function is told, as the types of its arguments have it.

    Raises:
        ConfigurationError: an option is unknown, missing, or of another type.
    """
    try:
        parameters = list(inspect.signature(factory).parameters.values())[before:]
    except (TypeError, ValueError):  # as of what is written in C, which will complain itself
        return dict(told)
    known = {each.name: each for each in parameters if each.kind in _BY_NAME}
    takes_all = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
    for name in told:
        if name not in known and not takes_all:
            likely = get_close_matches(name, known, 1)
            remedy = f"write {likely[0]}" if likely else "take it out"
            raise ConfigurationError(
                f"{field}: {plug_in.brought} {plug_in} must be told {_of(known)}, got "
                f"{name!r}; {remedy}"
            )
    for name, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and name not in told:
            raise ConfigurationError(
                f"{field}: {plug_in.brought} {plug_in} must be told {name!r}, got no value; "
                "give it among its options, or among its files if it is a path"
            )
    types = _types_of(factory)
    return {
        name: _of_type(types[name], value, f"{field}: {name} of {plug_in.brought} {plug_in}")
        if name in types
        else value
        for name, value in told.items()
    }


def _of(known: Mapping[str, Any]) -> str:
    return f"{', '.join(known)} only" if known else "nothing, as it has no options"


def _types_of(factory: Any) -> dict[str, Any]:
    """Return the types of a function's arguments as far as they are said."""
    function = factory.__init__ if inspect.isclass(factory) else factory
    with suppress(NameError, TypeError, AttributeError):
        return get_type_hints(function, include_extras=True)
    return {}


def _of_type(kind: Any, value: Any, what: str) -> Any:
    """Return a value as a type has it.

    Raises:
        ConfigurationError: it is none of the type.
    """
    try:
        adapter = TypeAdapter(kind)
    except PydanticUserError:  # a type that no option has, of which the function will complain
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]
        place = "".join(f"[{part}]" for part in problem["loc"])
        said = problem["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{what}{place}: {said}, got {value!r}") from error
