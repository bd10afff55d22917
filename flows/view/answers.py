"""What the page asks for, as plain values that become JSON."""

import math
from typing import Any

from tasks.io.errors import ConfigurationError
from tasks.view.columns import CHANGE
from tasks.view.pictures import Picture, find_member, picture, thumbnail
from tasks.view.preferences import preferences, strengths
from tasks.view.query import PageAsked
from tasks.view.sheet import Sheet
from tasks.view.trials import Trials
from tasks.view.viewed import Viewed, members, score_table
from tasks.view.votes import Votes


class Answers:
    """All that can be asked about one data set; may be used from several threads.

    Every method may raise DotpipeError, whose text is for the person at the page, and OSError
    where the workspace gives no answer.
    """

    def __init__(self, viewed: Viewed) -> None:
        self.viewed, self.sheet = viewed, Sheet(viewed)
        self.votes = Votes(viewed.workspace.store, viewed.dataset, viewed.run.results)
        self.trials = Trials(viewed, self.sheet, self.votes)

    def facts(self) -> dict[str, Any]:
        """What the page must know before it asks for anything else."""
        return {
            "name": self.viewed.run.config.name,
            "images": self.sheet.images,
            "unfinished": self.viewed.unfinished,
            "versions": [
                {"name": v.name, "label": v.label, "alpha": v.alpha, "scored": v.signal is not None}
                for v in self.viewed.versions.values()
            ],
            "contenders": self.viewed.contenders,
            "columns": [column._asdict() for column in self.sheet.columns()],
            "change": CHANGE,
        }

    def rows(self, asked: str) -> dict[str, Any]:
        """A page of images; ``asked`` is the JSON of a ``PageAsked``."""
        page = self.sheet.page(PageAsked.parse(asked))
        return {"start": page.start, "total": page.total, "rows": [_plain(r) for r in page.rows]}

    def image(self, shard: str, key: str) -> dict[str, Any]:
        """Sizes and metrics of an image in all its versions; those that it lacks are left out."""
        if shard not in self.viewed.shards:
            raise ConfigurationError(f"a shard must be one of the finished ones, got {shard!r}")
        found = []
        for version in self.viewed.versions.values():
            member = members(self.viewed, version, shard).get(key)
            if member is None:
                continue
            size = {"width": member.width, "height": member.height}
            found.append(
                {"name": version.name, **size, "values": self._values(version, shard, key)}
            )
        return {"key": key, "shard": shard, "versions": found}

    def picture(self, shard: str, key: str, version: str, *, small: bool = False) -> Picture:
        """One version of an image, or a small copy of it."""
        member = find_member(self.viewed, self.viewed.version(version), shard, key)
        return thumbnail(self.viewed, member) if small else picture(self.viewed, member)

    def trial(self, voter: str, names: list[str]) -> dict[str, Any]:
        """The next comparison of a voter, without a word on what is on which side."""
        drawn, cast = self.trials.draw(voter, names), self.trials.cast(voter)
        if drawn is None:
            return {"id": None, "cast": cast}
        size = {"width": drawn.left_member.width, "height": drawn.left_member.height}
        return {"id": drawn.id, "cast": cast, **size}

    def side(self, trial: str, side: str) -> Picture:
        """A picture of a comparison; nothing is said of what was done to it, which could tell."""
        drawn = self.trials.open(trial)
        member = drawn.left_member if side == "left" else drawn.right_member
        return picture(self.viewed, member)._replace(note="")

    def result(self) -> dict[str, Any]:
        """What people have preferred so far."""
        votes = self.votes.all()
        return {
            "votes": len(votes),
            "voters": len({vote.voter for vote in votes}),
            "images": len({vote.key for vote in votes}),
            "pairs": [pair._asdict() for pair in preferences(votes, list(self.viewed.versions))],
            "strengths": [strength._asdict() for strength in strengths(votes)],
            "table": self.votes.address,
        }

    def _values(self, version: Any, shard: str, key: str) -> dict[str, Any]:
        if version.signal is None:
            return {}
        table = score_table(self.viewed, version, shard)
        place = table["key"].index(key).as_py()
        return {} if place < 0 else _plain(table.slice(place, 1).to_pylist()[0])


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON can hold it: numbers that are none as texts."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
