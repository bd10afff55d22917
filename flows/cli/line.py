"""What one line asks for that enhances a folder into a folder, and whether it is whole."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli.bounds import bounded_metrics, either, needs_reference

if TYPE_CHECKING:
    from tasks.config import Config
    from tasks.evaluate.bounds import Bound


@dataclass(frozen=True)
class Line:
    """What one line asks for, as it was written."""

    restored: str
    natural: str | None
    reference: str | None
    out: str | None
    alpha: float | None
    choose: tuple[str, ...]
    codec: str | None
    weights: str | None
    strip: str | None
    format: str | None = None
    low_share: float | None = None

    def options(self) -> list[str]:
        """Return the names of the options that are given."""
        return [
            f"--{name.replace('_', '-')}"
            for name, value in list(vars(self).items())[1:]
            if value not in (None, ())
        ]

    def require_no_options(self) -> None:
        """Check that nothing is asked for beside a configuration.

        Raises:
            ConfigurationError: an option is given.
        """
        from tasks.io.errors import ConfigurationError

        if given := self.options():
            raise ConfigurationError(
                f"{given[0]} goes with a folder of images, got the configuration "
                f"{self.restored!r} (any single file is taken for one), which says that itself; "
                "leave it out (`dotpipe run` does all steps, and `dotpipe export` writes plain "
                "files)"
            )

    def require_whole(self) -> None:
        """Check that the options make a whole line.

        Raises:
            ConfigurationError: they do not.
        """
        from tasks.io.errors import ConfigurationError

        if self.out is None or not (self.natural or self.reference):
            raise ConfigurationError(
                f"{self.restored!r} must be a YAML file, or images that come with --natural (or "
                "--reference) and --out, got "
                f"{' and '.join(self.options()) or 'no option'}; write `dotpipe enhance RESTORED "
                "--natural NATURAL --out OUT`"
            )
        if self.alpha is not None and self.choose:
            raise ConfigurationError("alpha must be given or chosen, got both --alpha and --choose")
        if self.reference is None and any(needs_reference(b.metric) for b in self.bounds()):
            raise ConfigurationError(
                "--choose needs --reference, the ground truth that its bounds are measured with; "
                "without it bound max-change, the distance to the input, or give --alpha"
            )

    def bounds(self) -> "list[Bound]":
        """Return the bounds by which alpha is chosen.

        Raises:
            ConfigurationError: one is none that is known.
        """
        from tasks.evaluate.bounds import Bound
        from tasks.io.errors import ConfigurationError

        known = {name.replace("_", "-"): metric for name, metric in bounded_metrics().items()}
        found = []
        for text in self.choose:
            name, _, number = text.partition("=")
            try:
                found.append(Bound(known[name].option, float(number)))
            except (KeyError, ValueError) as error:
                raise ConfigurationError(
                    f"--choose must be {either(known)} with a number, as min-psnr=27, got {text!r}"
                ) from error
        return found

    def destination(self) -> str:
        """Return the folder or URL to fill, absolute."""
        return absolute(self.out or "", "--out").rstrip("/")

    def alpha_of(self, config: "Config") -> float:
        """Return the alpha to write where none is to be chosen.

        Raises:
            ConfigurationError: none is given, and the configuration has several.
        """
        from tasks.export.plan import alpha_to_export

        return alpha_to_export(config, None) if self.alpha is None else self.alpha


def absolute(path: str, field: str) -> str:
    """Return a path made absolute from the current folder; a URL as it is.

    Raises:
        ConfigurationError: it is not written out.
    """
    from tasks.config.places import anchored

    return anchored(path, Path(os.curdir), field)
