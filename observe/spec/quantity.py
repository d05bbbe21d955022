"""Quantities as people write them: units always, and one number inside.

Durations become seconds, sizes bytes, shares fractions, prices USD per hour. Each parser has a
writer that gives the text back, so the effective configuration reads like the written one.

Source: SI prefixes; IEC 80000-13 for KiB and the like; our own for the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal

_SECONDS: Final = {
    "w": Decimal(604_800), "d": Decimal(86_400), "h": Decimal(3_600), "m": Decimal(60), "s": Decimal(1), "ms": Decimal("0.001"),
}  # fmt: skip
LONGEST_D: Final = 36_500  # days; what is longer is a slip, and would leave the calendar
_LARGEST: Final = Decimal(2**60)  # bytes
_BYTES: Final = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?:{_NUMBER} ?(ms|[wdhms]))")
_SPOKEN = re.compile(rf"{_NUMBER} ?(mil|min|sec|hour|hr|day|week|wk)[a-z]*")
_SIZE = re.compile(rf"{_NUMBER} ?([kKMGT]?i?B)")
_RATE = re.compile(r"(\d+) per (.+)")
_PRICE = re.compile(rf"{_NUMBER} ?USD/h")
_USD = re.compile(rf"{_NUMBER} ?USD")
_PERCENT = re.compile(rf"{_NUMBER} ?%")
_EFFECT = re.compile(rf"{_NUMBER} ?(σ|sigma|%|pp)")
_TIMES = re.compile(rf"{_NUMBER} ?[x×]")


class Malformed(ValueError):
    """A value is not written as expected; `hint` shows how to write it.

    Args:
        message: what is wrong.
        hint: how to write it.
        at: where inside the refused value, when it is a mapping or a list.
        shows: whether the line may be shown; not when it holds a secret.
    """

    def __init__(self, message: str, hint: str = "", at: tuple[str | int, ...] = (), *, shows: bool = True) -> None:
        super().__init__(message)
        self.hint, self.at, self.shows = hint, at, shows


@dataclass(frozen=True, slots=True)
class Rate:
    """So many events in a period."""

    count: int
    period_s: float

    def __str__(self) -> str:
        """As written: `1 per 90d`."""
        return f"{self.count} per {write_duration(self.period_s)}"


@dataclass(frozen=True, slots=True)
class Effect:
    """A size of change: sigmas of the reference, per cent of its median, or percentage points of a share.

    `value` is in `unit`: 10 % is `Effect(10.0, "%")`, 5 pp is `Effect(5.0, "pp")`.
    """

    value: float
    unit: Literal["sigma", "%", "pp"]

    def __str__(self) -> str:
        """As written: `0.1σ`, `10%`, `5pp`."""
        return f"{_plain(self.value)}{'σ' if self.unit == 'sigma' else self.unit}"


def _plain(value: float) -> str:
    return f"{value:.12g}"


def parse_duration(text: str) -> float:
    """Seconds of `800ms`, `15s`, `5m`, `1h30m`, `30d` or `2w`.

    Raises:
        Malformed: another form, nothing, or more than a hundred years.

    >>> parse_duration("1h30m")
    5400.0
    """
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        spoken = _SPOKEN.fullmatch(text.casefold())
        meant = f"did you mean {spoken[1]}{'ms' if spoken[2] == 'mil' else spoken[2][0]}?" if spoken else ""
        raise Malformed(f"{text!r} is not a duration", meant or "write a number and a unit: 800ms, 15s, 5m, 2h, 30d")
    seconds = sum((Decimal(number) * _SECONDS[unit] for number, unit in parts), Decimal(0))
    if seconds > LONGEST_D * _SECONDS["d"]:
        raise Malformed(f"{text[:40]!r} is longer than a hundred years", f"at most {LONGEST_D}d")
    return float(seconds)


def write_duration(seconds: float) -> str:
    """A duration in the largest unit that divides it, or in several when that number would be long.

    >>> write_duration(2_592_000.0), write_duration(0.8), write_duration(518)
    ('30d', '800ms', '8m38s')
    """
    if seconds == 0 or seconds % 1:
        return f"{_plain(seconds)}s" if seconds == 0 or seconds > 10 else f"{_plain(seconds * 1000)}ms"
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(int(seconds), int(_SECONDS[unit]))
        if rest == 0 and (count < 100 or unit == "d"):
            return f"{count}{unit}"
    unit, length = next((u, int(_SECONDS[u])) for u in ("d", "h", "m") if seconds >= _SECONDS[u])
    return f"{int(seconds) // length}{unit}{write_duration(int(seconds) % length)}"


def parse_size(text: str) -> int:
    """Bytes of `100GB`, `512MiB`.

    Raises:
        Malformed: another form, or more than a disk can be.
    """
    found = _SIZE.fullmatch(text)
    unit = found[2].replace("KB", "kB") if found else ""
    if found is None or unit not in _BYTES:
        raise Malformed(f"{text!r} is not a size", "write a number and a unit: 500MB, 100GB, 2TB, 64MiB")
    size = Decimal(found[1]) * _BYTES[unit]
    if size > _LARGEST:
        raise Malformed(f"{text[:40]!r} is no size of anything", "write a number and a unit: 500MB, 100GB, 2TB, 64MiB")
    return int(size)


def write_size(size: int) -> str:
    """A size in the largest unit that divides it."""
    for unit, factor in sorted(_BYTES.items(), key=lambda item: -item[1]):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


def parse_rate(text: str) -> Rate:
    """A number of events in a period: `1 per 90d`.

    Raises:
        Malformed: another form, none at all, or no period.
    """
    found = _RATE.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise Malformed(f"{text!r} is not a rate", "write how many in how long: 1 per 90d")
    period = parse_duration(found[2])
    if period <= 0:
        raise Malformed(f"{text!r} has an empty period", "write how many in how long: 1 per 90d")
    return Rate(int(found[1]), period)


def parse_price(text: str) -> float:
    """USD per hour of `2.90 USD/h`.

    Raises:
        Malformed: another form or currency.
    """
    found = _PRICE.fullmatch(text)
    if found is None:
        raise Malformed(f"{text!r} is not a price", _price_hint(text))
    return float(found[1])


def _price_hint(text: str) -> str:
    other = re.search(r"\b(?!USD)[A-Z]{3}\b|[€£¥]", text)
    if other is not None:
        return f"{other[0]} is not converted; write what it costs in USD per hour: 2.90 USD/h"
    return "a price is not negative" if text.startswith("-") else "write USD per hour: 2.90 USD/h"


def write_price(usd_per_h: float) -> str:
    """A price as written: `2.90 USD/h`."""
    return f"{usd_per_h:.2f} USD/h"


def parse_usd(text: str) -> float:
    """USD of `0.02 USD`.

    Raises:
        Malformed: another form or currency.
    """
    found = _USD.fullmatch(text)
    if found is None:
        plain = re.fullmatch(_NUMBER, text)
        raise Malformed(
            f"{text!r} is not an amount", f"write it with its currency: {plain[1] if plain else '0.02'} USD"
        )
    return float(found[1])


def write_usd(usd: float) -> str:
    """An amount as written: `0.02 USD`."""
    return f"{_plain(usd)} USD"


def parse_percent(text: str) -> float:
    """The fraction of `99.9%`.

    Raises:
        Malformed: no per cent, or not between 0 % and 100 %.
    """
    found = _PERCENT.fullmatch(text)
    if found is None:
        raise Malformed(f"{text!r} is not a percentage", "write it with its sign: 99.9%")
    if Decimal(found[1]) > 100:
        raise Malformed(f"{text!r} is more than everything", "a percentage lies between 0% and 100%")
    return float(Decimal(found[1]) / 100)


def write_percent(fraction: float) -> str:
    """A fraction as a percentage."""
    return f"{_plain(fraction * 100)}%"


def parse_effect(text: str) -> Effect:
    """An effect size: `0.1σ` (or `0.1 sigma`), `10%` or `5pp`.

    Raises:
        Malformed: another form, or zero.
    """
    found = _EFFECT.fullmatch(text)
    if found is None or float(found[1]) == 0:
        raise Malformed(f"{text!r} is not an effect size", "write 0.1σ, 10% (of the median) or 5pp (of a share)")
    unit: Literal["sigma", "%", "pp"] = "pp" if found[2] == "pp" else "%" if found[2] == "%" else "sigma"
    return Effect(float(found[1]), unit)


def parse_times(text: str) -> float:
    """A ratio: `2x`.

    Raises:
        Malformed: another form.
    """
    found = _TIMES.fullmatch(text)
    if found is None:
        raise Malformed(f"{text!r} is not a ratio", "write how many times: 2x")
    return float(found[1])


def write_times(ratio: float) -> str:
    """A ratio as written: `2x`."""
    return f"{_plain(ratio)}x"


def parse_instant(text: str) -> datetime:
    """An instant, aware UTC, of an ISO 8601 date or time; without an offset it is UTC.

    Raises:
        Malformed: another form.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise Malformed(f"{text!r} is not a date or time", "write 2026-11-20 or 2026-11-20T09:00:00Z") from None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
