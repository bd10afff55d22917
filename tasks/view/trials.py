"""Comparisons to vote on: which image, which two versions, which of them on the left.

Of the pairs of versions that are asked for, a voter gets one that this voter has had least often,
and an image that this voter has not seen in it; images are drawn from all of the data set with
equal chances, and sides with even ones. What is on which side stays here until the vote.
"""

import random
import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import combinations
from typing import NamedTuple

import numpy as np

from tasks.io.errors import ConfigurationError
from tasks.io.shards import Member
from tasks.view.sheet import Sheet
from tasks.view.viewed import Viewed, members
from tasks.view.votes import Choice, Vote, Votes

MOST_DRAWN = 64
"""Images that are drawn for a pair before another pair is tried."""

MOST_OPEN = 1000
"""Comparisons that wait for their vote; older ones are let go."""

LONGEST_NAME = 80


class Trial(NamedTuple):
    """A comparison: one image, two versions, and where these lie."""

    id: str
    voter: str
    key: str
    shard: str
    left: str
    right: str
    left_member: Member
    right_member: Member

    def vote(self, choice: Choice, seconds: float | None) -> Vote:
        """Return the vote of a choice, as it goes into the table."""
        digests = self.left_member.sha256, self.right_member.sha256
        seen = self.key, self.shard, self.left, self.right
        return Vote(self.id, datetime.now(UTC), self.voter, *seen, *digests, choice, seconds)


class Trials:
    """Draws comparisons, and takes their votes; may be used from several threads."""

    def __init__(self, viewed: Viewed, sheet: Sheet, votes: Votes) -> None:
        self._viewed, self._sheet, self._votes = viewed, sheet, votes
        self._random = random.SystemRandom()
        self._open = OrderedDict[str, Trial]()
        self._seen = dict[str, set[tuple[str, frozenset[str]]]]()
        self._lock = threading.Lock()

    def draw(self, voter: str, names: Sequence[str]) -> Trial | None:
        """Return the next comparison of a voter; None if the voter has seen all that were drawn.

        Args:
            voter: a name; former votes under it are not asked for again.
            names: of the versions to choose pairs from; at least two.

        Raises:
            ConfigurationError: there are fewer than two, or one is none of the data set's.
        """
        pairs = self._pairs(names)
        seen = self._seen_by(voter)
        had = Counter(pair for _, pair in seen)
        self._random.shuffle(pairs)
        for pair in sorted(pairs, key=lambda pair: had[frozenset(pair)]):  # stable: shuffled ties
            sides = self._random.sample(pair, 2)
            for shard, key in self._drawn():
                if (key, frozenset(pair)) not in seen and (
                    trial := self._trial(voter, shard, key, sides)
                ):
                    with self._lock:
                        self._open[trial.id] = trial
                        while len(self._open) > MOST_OPEN:
                            self._open.popitem(last=False)
                    return trial
        return None

    def open(self, trial: str) -> Trial:
        """Return a comparison that waits for its vote.

        Raises:
            ConfigurationError: there is none of this name, or no longer.
        """
        with self._lock:
            if trial not in self._open:
                raise ConfigurationError(
                    "a vote must be on a comparison that is open; take a new one"
                )
            return self._open[trial]

    def take(self, trial: str, choice: Choice, seconds: float | None) -> int:
        """Write the vote on a comparison; return how many votes its voter has cast.

        A vote that is sent again, because its answer was lost, is not written again.

        Raises:
            ConfigurationError: the comparison is not open.
            StoreRefused: the store takes no file.
            OSError: it gives no answer.
        """
        asked = self.open(trial)
        self._votes.add(asked.vote(choice, seconds))
        seen = self._seen_by(asked.voter)
        with self._lock:
            seen.add((asked.key, frozenset((asked.left, asked.right))))
            return len(seen)

    def cast(self, voter: str) -> int:
        """Return how many votes a voter has cast, on this data set and in former sessions too."""
        return len(self._seen_by(voter))

    def _pairs(self, names: Sequence[str]) -> list[tuple[str, str]]:
        known = self._viewed.contenders
        chosen = [name for name in known if name in names]
        if len(chosen) < 2 or len(chosen) < len(set(names)):
            raise ConfigurationError(
                f"a comparison must be of at least two of {', '.join(known)}, got "
                f"{', '.join(names) or 'none'}"
            )
        return list(combinations(chosen, 2))

    def _seen_by(self, voter: str) -> set[tuple[str, frozenset[str]]]:
        with self._lock:
            known = voter in self._seen
        if not known:
            mine = (vote for vote in self._votes.all() if vote.voter == voter)
            seen = {(vote.key, frozenset((vote.left, vote.right))) for vote in mine}
            with self._lock:
                self._seen.setdefault(voter, seen)
        return self._seen[voter]

    def _drawn(self) -> Iterator[tuple[str, str]]:
        """Yield shard and key of images, each with equal chances and none twice."""
        at = next(v for v in self._viewed.versions.values() if v.role == "enhanced")
        count = self._sheet.images
        for place in self._random.sample(range(count), min(count, MOST_DRAWN)):
            (row,) = self._sheet.rows(np.array([place]), at)
            yield row["shard"], row["key"]

    def _trial(self, voter: str, shard: str, key: str, sides: Sequence[str]) -> Trial | None:
        """A comparison; None where a version is not there, or both are the same file."""
        versions = [self._viewed.version(name) for name in sides]
        left, right = (members(self._viewed, v, shard).get(key) for v in versions)
        if left is None or right is None or left.sha256 == right.sha256:
            return None
        return Trial(secrets.token_hex(16), voter, key, shard, sides[0], sides[1], left, right)


def voter_named(name: str) -> str:
    """Return a voter's name as the table has it.

    Raises:
        ConfigurationError: it is empty, long, or of characters that cannot be shown.
    """
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ConfigurationError(
            f"a voter's name must have 1 to {LONGEST_NAME} characters that can be shown, got "
            f"{name[:LONGEST_NAME]!r}"
        )
    return name
