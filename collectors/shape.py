"""What a reader of records knows and gives: the shape of a table, and columns with a reason for every row lost.

Every format (NDJSON, JSON, CSV, Arrow, Parquet) ends in the same `Records`, so the same rows give
the same frame however they were written. Bodies are read in blocks; where two blocks disagree about
the type of a feature, it is text, and the body is read again with that known.

Source: our own; SOURCES section 7, caps of TRUST section 2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from observe.errors import PayloadTooLarge

if TYPE_CHECKING:
    import polars as pl

NAME_LIMIT: Final = 256  # bytes of a feature's name
VALUE_LIMIT: Final = 8192  # characters of a text value
FEATURE_LIMIT: Final = 500  # features of one body; SOURCES section 7
ROW_LIMIT: Final = 500_000  # rows of one body of text
CELL_LIMIT: Final = 4_000_000  # rows times columns of a small body: 32 MB of doubles
CELL_BYTES: Final = 5  # a body may hold a cell for so many of its bytes, if that is more
BLOCK_CELLS: Final = 1_000_000  # cells decoded at a time; one costs up to 60 bytes until it has a type
BLOCK_ROWS: Final = 50_000
EXAMPLE: Final = 200  # characters


@dataclass(slots=True)
class Records:
    """A body, or a block of it, as columns, and why each row cannot be stored, if so.

    `frame` holds the fixed columns with the table's types, then features. `refused` has one entry
    a row: a reason, or None. Items that never became a row are in `lost`. `mixed` names features
    whose values had several types and are text now.
    """

    frame: pl.DataFrame
    refused: pl.Series
    lost: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    mixed: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a reader knows of a table: types of its columns by name, and which may not be absent."""

    types: Mapping[str, str]  # column -> VARCHAR | DOUBLE | BIGINT | TIMESTAMPTZ
    required: tuple[str, ...]
    reserved: frozenset[str]  # names a feature may not bear, lower case
    aliases: Mapping[str, str] = field(default_factory=dict)  # key of a sender -> column
    features: bool = False  # whether unknown keys are kept
    wrapper: str = ""  # key of an object that holds all rows in an array
    spread: Callable[[Mapping[str, Any]], list[dict[str, Any]] | None] | None = None  # rows of an item of another form

    def column(self, key: str, keys: Container[str]) -> str | None:
        """The fixed column that `key` of a row with `keys` fills; an alias counts only where the column itself is absent."""
        if key in self.types:
            return key
        alias = self.aliases.get(key)
        return None if alias in keys else alias


def feature_name(key: str, reserved: frozenset[str], notes: Counter[str]) -> str | None:
    """The column a feature is stored in; `<name>_feature` where a fixed column has the name; None to drop it."""
    if not is_name(key):
        notes["bad_feature_name"] += 1
        return None
    if key.lower() in reserved:
        notes["feature_renamed"] += 1
        return f"{key}_feature"
    return key


def is_name(key: str) -> bool:
    """Whether a key can name a feature: printable UTF-8 of 1 to 256 bytes."""
    try:
        return key.isprintable() and 0 < len(key.encode()) <= NAME_LIMIT
    except UnicodeEncodeError:
        return False


def capped(features: Sequence[pl.Series], notes: Counter[str]) -> list[pl.Series]:
    """At most 500 features, each name once; the others are dropped and counted."""
    unique = {series.name: series for series in reversed(features)}
    kept = [series for series in features if unique[series.name] is series]
    if len(kept) < len(features) or len(kept) > FEATURE_LIMIT:
        notes["feature_dropped"] += len(features) - min(len(kept), FEATURE_LIMIT)
    return kept[:FEATURE_LIMIT]


def check_cells(rows: int, columns: int, size: int) -> None:
    """Refuse a body that would be laid out as far more than it is.

    Raises:
        PayloadTooLarge: more rows than one body may hold, or more cells than `size` bytes may mean.
    """
    cells = max(CELL_LIMIT, size // CELL_BYTES)
    if rows > ROW_LIMIT or rows * columns > cells:
        raise PayloadTooLarge(f"a body may hold {ROW_LIMIT} rows and {cells} cells; this one has {rows} x {columns}")


def joined(blocks: Callable[[frozenset[str]], Iterator[Records]], size: int, *, truth_is_number: bool) -> Records:
    """All blocks of a body as one, every feature with one type.

    Args:
        blocks: reads the body block by block; the features named are text whatever they hold.
        size: of the body, bytes.
        truth_is_number: whether true among numbers is 1; else both are text.

    Raises:
        PayloadTooLarge: see `check_cells`.
    """
    found = _collected(blocks(frozenset()), size)
    texts = _disagreeing(found, truth_is_number)
    if texts:
        found = _collected(blocks(texts), size)
    return _one(found, texts)


def _collected(blocks: Iterator[Records], size: int) -> list[Records]:
    found, rows, columns = [], 0, set[str]()
    for block in blocks:
        rows += len(block.refused)
        columns.update(block.frame.columns)
        check_cells(rows, len(columns), size)
        found.append(block)
    return found


def _disagreeing(blocks: Sequence[Records], truth_is_number: bool) -> frozenset[str]:
    """Features that are text in some blocks and something else in others."""
    import polars as pl

    kinds: dict[str, set[Any]] = {}
    for block in blocks:
        for name, kind in block.frame.schema.items():
            kinds.setdefault(name, set()).add(kind)
    numbers = {pl.Float64, pl.Boolean} if truth_is_number else set()
    return frozenset(name for name, of in kinds.items() if len(of) > 1 and not of <= numbers)


def _one(blocks: Sequence[Records], texts: frozenset[str]) -> Records:
    import polars as pl

    if not blocks:
        return Records(pl.DataFrame(), pl.Series("refused", [], pl.String))
    whole = blocks[0]
    for block in blocks[1:]:
        whole.lost += block.lost
        whole.notes += block.notes
        whole.examples = {**block.examples, **whole.examples}
        whole.mixed |= block.mixed
    whole.mixed |= texts
    frames = [block.frame for block in blocks if block.frame.width]
    if len(blocks) > 1:
        whole.frame = pl.concat(frames, how="diagonal_relaxed", rechunk=False) if frames else pl.DataFrame()
        whole.refused = pl.concat([block.refused for block in blocks])
    return whole
