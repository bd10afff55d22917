"""The sheet: a row for each image, asked column by column, so that it may be of any length.

A question reads the columns that it filters and sorts by, of all shards, and nothing else. They
are kept up to a limit, and so are the last answers, which are lists of places. The rows of a
page are read from the tables of their own shards.
"""

import math
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from itertools import repeat
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.io.errors import ArtifactDamaged, ConfigurationError
from tasks.io.machine.threads import side_by_side
from tasks.view.columns import (
    CHANGE,
    LEFT_OUT,
    Column,
    changing,
    column_of,
    columns_of,
    with_changes,
)
from tasks.view.query import Condition, PageAsked, Question
from tasks.view.viewed import Version, Viewed, score_table

MOST_BYTES = 1 << 30
"""Bytes of columns that are kept: a hundred million numbers."""

MOST_ANSWERS = 8

LOOKED_AT = 16
"""Shards, from all over the data set, that tell which columns have values: images without a
reference may be next to each other."""


class Page(NamedTuple):
    """Some rows of an answer, the place of the first, and how many images the answer has."""

    start: int
    total: int
    rows: list[dict[str, Any]]


class Sheet:
    """The metric tables of a data set as one table; may be asked from several threads."""

    def __init__(self, viewed: Viewed) -> None:
        self._viewed = viewed
        self._shards = list(viewed.shards)
        self._ends = np.cumsum([viewed.shards[shard] for shard in self._shards])
        self._columns = _Kept[pa.ChunkedArray](MOST_BYTES, lambda column: column.nbytes)
        self._answers = _Kept[NDArray[np.int64]](MOST_ANSWERS, lambda _: 1)
        self._reading = threading.Lock()  # one thread reads a column, the others wait for it

    @property
    def images(self) -> int:
        """How many images there are."""
        return int(self._ends[-1])

    def columns(self) -> list[Column]:
        """The columns that have values in one of ``LOOKED_AT`` shards; texts always."""
        version = next(v for v in self._viewed.versions.values() if v.signal is not None)
        looked_at = self._shards[:: math.ceil(len(self._shards) / LOOKED_AT)]
        tables = [score_table(self._viewed, version, shard) for shard in looked_at]
        return list(columns_of(pa.concat_tables(tables, promote_options="default")))

    def page(self, asked: PageAsked) -> Page:
        """Return a page of the images that a question asks for.

        Each row has the columns of its version, changes against the other one, and ``shard``.

        Raises:
            ConfigurationError: there is no such column or version.
            ArtifactDamaged: a table is not there, not whole, or of other images.
        """
        question, total = asked.question, self.images
        at = self._viewed.version(question.at)
        against = self._viewed.version(question.against) if question.against else None
        if question.where or question.sort:
            answer = self._answer(question, at, against)
            total, places = len(answer), answer[asked.start : asked.start + asked.count]
        else:
            places = np.arange(asked.start, min(total, asked.start + asked.count))
        return Page(asked.start, total, self.rows(places, at, against))

    def rows(
        self, places: NDArray[np.int64], at: Version, against: Version | None = None
    ) -> list[dict[str, Any]]:
        """Return the rows at these places of the order of shards."""
        numbers = np.searchsorted(self._ends, places, side="right")
        shards = [self._shards[number] for number in dict.fromkeys(numbers.tolist())]
        whole = side_by_side(lambda shard: self._whole(shard, at, against), shards)
        tables = dict(zip(shards, whole, strict=True))
        starts = np.concatenate([[0], self._ends])
        return [
            tables[self._shards[number]].slice(place - starts[number], 1).to_pylist()[0]
            for place, number in zip(places.tolist(), numbers.tolist(), strict=True)
        ]

    def _whole(self, shard: str, at: Version, against: Version | None) -> pa.Table:
        table = score_table(self._viewed, at, shard)
        self._require_rows(shard, table)
        if against is not None:
            base = score_table(self._viewed, against, shard)
            table = with_changes(table, base, changing(table))
        return table.drop_columns([name for name in LEFT_OUT if name in table.column_names])

    def _answer(
        self, question: Question, at: Version, against: Version | None
    ) -> NDArray[np.int64]:
        """The places of the images that a question asks for, in its order."""
        with self._reading:
            if (known := self._answers.get(question)) is not None:
                return known
            names = {condition.column for condition in question.where}
            names |= {question.sort} - {""}
            self._require_columns(names, against)
            table = self._read(sorted(names), at, against)
            table = table.append_column("place", pa.array(np.arange(table.num_rows)))
            for condition in question.where:
                table = table.filter(_mask(condition, table[condition.column]))
            if question.sort:
                order = "descending" if question.descending else "ascending"
                keys = [(question.sort, order, "at_end"), ("place", "ascending", "at_end")]
                table = table.take(pc.sort_indices(table, keys))
            answer: NDArray[np.int64] = table["place"].to_numpy()
            self._answers.put(question, answer)
            return answer

    def _require_columns(self, names: set[str], against: Version | None) -> None:
        columns = self.columns()
        known = {column.name for column in columns}
        known |= {f"{column.name}{CHANGE}" for column in columns if column.has_change}
        for name in names:
            if name not in known:
                listed = ", ".join(sorted(known))
                raise ConfigurationError(f"a column must be one of {listed}, got {name!r}")
            if name.endswith(CHANGE) and against is None:
                raise ConfigurationError(
                    f"a change must be against another version, got {name!r} without one"
                )

    def _read(self, names: Sequence[str], at: Version, against: Version | None) -> pa.Table:
        """These columns of all shards, those that are kept from the memory."""
        base = "" if against is None else against.name
        keys = {name: (at.name, base if name.endswith(CHANGE) else "", name) for name in names}
        found = {name: self._columns.get(key) for name, key in keys.items()}
        if missing := [name for name, column in found.items() if column is None]:
            read = pa.concat_tables(self._pieces(missing, at, against))
            for name in missing:
                found[name] = read[name]
                self._columns.put(keys[name], read[name])
        return pa.table({name: found[name] for name in names})

    def _pieces(
        self, names: Sequence[str], at: Version, against: Version | None
    ) -> Iterator[pa.Table]:
        """Yield these columns shard by shard; several shards are read at once."""
        changed = [name.removesuffix(CHANGE) for name in names if name.endswith(CHANGE)]
        own = {"key", *changed, *(name for name in names if not name.endswith(CHANGE))}
        tables = self._viewed.tables(at).read(sorted(own))
        before: Iterator[pa.Table | None] = repeat(None)
        if changed and against is not None:
            before = self._viewed.tables(against).read(["key", *changed])
        for shard, table, base in zip(self._shards, tables, before, strict=False):
            self._require_rows(shard, table)
            whole = table if base is None else with_changes(table, base, changed)
            yield pa.table({name: column_of(whole, name) for name in names})

    def _require_rows(self, shard: str, table: pa.Table) -> None:
        if table.num_rows != (images := self._viewed.shards[shard]):
            raise ArtifactDamaged(
                f"the metric table of {shard} must have a row for each of its {images} images, got "
                f"{table.num_rows}"
            )


Value = TypeVar("Value")


class _Kept(Generic[Value]):
    """The values that were asked for last, up to a weight; the one just put in always."""

    def __init__(self, most: int, weight: Any) -> None:
        self._most, self._weight = most, weight
        self._values = OrderedDict[Hashable, Value]()

    def get(self, key: Hashable) -> Value | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: Hashable, value: Value) -> None:
        self._values[key] = value
        while len(self._values) > 1 and sum(map(self._weight, self._values.values())) > self._most:
            self._values.popitem(last=False)


def _mask(condition: Condition, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Which values a condition holds for."""
    if pa.types.is_string(column.type):
        known = pc.fill_null(column, "")
        return pc.match_substring(known, condition.text, ignore_case=True)
    mask = pc.invert(pc.is_null(column, nan_is_null=True))
    for bound, holds in ((condition.least, pc.greater_equal), (condition.most, pc.less_equal)):
        if bound is not None:
            mask = pc.and_(mask, pc.fill_null(holds(column, bound), False))
    return mask
