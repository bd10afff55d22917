"""The base of every section of the configuration."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A file's sha256 in hexadecimal digits."""

Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
"""A commit of a repository in hexadecimal digits; no branch or tag, as those may move."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""At most 64 letters, digits, dots, dashes and underscores; the first a letter or a digit."""


class Section(BaseModel):
    """A section of the configuration: unknown fields are refused, and no value can be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
