"""Questions about the images of a data set: which of them, in which order, which page of these."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.io.errors import ConfigurationError

MOST_ROWS = 200
"""Rows of a page at most."""


class Condition(BaseModel):
    """What must hold of a column: a number between two bounds, or a text that has some letters.

    A number that is not known is within no bounds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    least: float | None = None
    most: float | None = None
    text: Annotated[str, Field(max_length=1000)] = ""
    """Capital and small letters are the same."""


class Question(BaseModel):
    """Which images, and in which order; without ``sort`` in that of the shards."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: str
    """The version whose numbers are asked for, by its name."""
    against: str = ""
    """The version that changes are against; empty for none."""
    sort: str = ""
    descending: bool = False
    where: Annotated[tuple[Condition, ...], Field(max_length=50)] = ()


class PageAsked(BaseModel):
    """A part of the answer to a question: ``count`` images from place ``start`` on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    question: Question
    start: Annotated[int, Field(ge=0)] = 0
    count: Annotated[int, Field(ge=1, le=MOST_ROWS)] = 50

    @classmethod
    def parse(cls, text: str) -> "PageAsked":
        """Return what a JSON text asks for.

        Raises:
            ConfigurationError: it asks for something else than a page.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the question"
            raise ConfigurationError(
                f"a question must be one that the page asks, got of {where}: {first['msg']}"
            ) from error
