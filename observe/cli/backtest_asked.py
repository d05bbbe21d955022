"""The options of `observe backtest`, as they were written and as they are meant.

Source: our own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from observe.errors import UsageError

if TYPE_CHECKING:
    from observe.app.backtest_plan import Options

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """The command's options as they were written; None where the past decides."""

    time: str | None = None
    features: str | None = None
    fit: str | None = None
    window: str | None = None
    budget: str | None = None
    min_effect: str | None = None
    inject: tuple[str, ...] = ()
    rows_or_series: Literal["rows", "series"] | None = None
    accept: str | None = None
    since: str | None = None
    rules: bool = False


def options(asked: Asked) -> Options:
    """The options, read.

    Raises:
        UsageError: one is not written as expected; it says how.
    """
    from observe.app.backtest_plan import Options
    from observe.spec.quantity import Malformed, parse_duration, parse_effect, parse_rate

    def read(option: str, text: str | None, parse: Callable[[str], T]) -> T | None:
        try:
            return None if text is None else parse(text)
        except Malformed as error:
            raise UsageError(f"{option}: {error}; {error.hint}") from error

    return Options(
        read("--budget", asked.budget, parse_rate),
        read("--min-effect", asked.min_effect, parse_effect),
        read("--fit", asked.fit, parse_duration),
        read("--window", asked.window, parse_duration),
        asked.rows_or_series,
        read("--accept", asked.accept, parse_duration),
    )
