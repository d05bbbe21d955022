"""Times as senders write them become microseconds since the epoch, and live intake has limits.

Source: ISO 8601 and RFC 3339; epoch seconds, milliseconds, microseconds and nanoseconds are told
apart by size. The limits are those of TRUST section 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from observe.errors import PayloadError

if TYPE_CHECKING:
    import polars as pl

PAST_S: Final = 7 * 86_400.0  # oldest event a live intake takes; label accept_past_s overrides
FUTURE_S: Final = 600.0  # how far a sender's clock may run ahead; label accept_future_s overrides
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# An epoch number below 1e11 is seconds (until year 5138), below 1e14 ms, below 1e17 us, else ns.
_UNITS: Final = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (1e20, 1e-3))


def micros(at: datetime) -> int:
    """Microseconds since the epoch of an aware instant."""
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def bounds(at: datetime, labels: Mapping[str, str]) -> tuple[int, int]:
    """The event times taken at `at`, both ends included, in microseconds since the epoch.

    Args:
        at: now, aware UTC.
        labels: `accept_past_s` and `accept_future_s`, seconds; 7 days and 10 minutes when absent.

    Raises:
        PayloadError: a label is no number.
    """
    try:
        past = float(labels.get("accept_past_s") or PAST_S)
        future = float(labels.get("accept_future_s") or FUTURE_S)
    except ValueError as error:
        raise PayloadError(f"accept_past_s and accept_future_s are seconds: {error}") from error
    now = micros(at)
    return now - int(min(past, 1e11) * 1e6), now + int(min(future, 1e11) * 1e6)


def instant(value: object) -> int | None:
    """Microseconds since the epoch of a time as it stands in JSON; None when it is none.

    Text is ISO 8601, UTC where it names no zone. Numbers, also as text, are epoch seconds,
    milliseconds, microseconds or nanoseconds by their size.

    >>> instant("1970-01-01T00:00:01Z"), instant(1_700_000_000.5), instant(1_700_000_000_500)
    (1000000, 1700000000500000, 1700000000500000)
    """
    if isinstance(value, str):
        return _iso(value.strip()) if len(value) <= 64 else None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _epoch(value)
    return None


def _iso(text: str) -> int | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return _number(text)
    try:
        return micros(at if at.tzinfo else at.replace(tzinfo=UTC))
    except OverflowError:
        return None


def _number(text: str) -> int | None:
    try:
        return _epoch(float(text))
    except ValueError:
        return None


def _epoch(value: float) -> int | None:
    for below, factor in _UNITS:
        if 0 <= value < below:
            if isinstance(value, int):  # exact where a float would round
                return value * int(factor) if factor >= 1 else value // 1000
            return round(value * factor)
    return None


def instants(values: pl.Series) -> pl.Series:
    """A column of times, any type, as microseconds UTC; NULL where a value is no time.

    Args:
        values: Datetime, Date, numbers (epoch, by size as in `instant`) or text.

    Returns:
        A series of type Datetime("us", "UTC") of the same length.
    """
    import polars as pl

    kind = pl.Datetime("us", "UTC")
    if isinstance(values.dtype, pl.Datetime):
        us = values.dt.cast_time_unit("us")
        return us.dt.replace_time_zone("UTC") if values.dtype.time_zone is None else us.dt.convert_time_zone("UTC")
    if values.dtype == pl.Date:
        return values.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if values.dtype.is_numeric():
        return _epochs(values).cast(kind)
    if values.dtype != pl.String:
        return pl.Series(values.name, [None] * len(values), kind)
    rfc3339 = values.str.to_datetime("%+", strict=False, time_unit="us", time_zone="UTC")
    if rfc3339.null_count() == values.null_count():
        return rfc3339
    return pl.Series(values.name, [instant(v) for v in values.to_list()], pl.Int64).cast(kind)


def _epochs(values: pl.Series) -> pl.Series:
    """Epoch numbers of any unit as microseconds; integers stay integers, a double would round them."""
    import polars as pl

    whole = values.dtype.is_integer()
    n = values.cast(pl.Int64 if whole else pl.Float64, strict=False)
    scaled = pl.lit(None, pl.Int64)
    for below, factor in reversed(_UNITS):
        us = (
            (n * int(factor) if factor >= 1 else n // 1000)
            if whole
            else (n * factor).round().cast(pl.Int64, strict=False)
        )
        scaled = pl.when((n >= 0) & (n < below)).then(us).otherwise(scaled)
    return pl.select(scaled.alias(values.name)).to_series()
