"""A vector selector, and a series that it selects: tests of rules need something to count.

Source: Prometheus querying documentation, "Time series selectors".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

from alerts.promise import Sli

_MATCHER = re.compile(
    r"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`)\s*,?"
)
_WHOLE = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(.*)\})?\s*", re.DOTALL)
_RANGED = re.compile(
    r"([a-zA-Z_:][a-zA-Z0-9_:]*\s*(?:\{(?:[^{}\"'`]|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`)*\})?)\s*\[\$window\]"
)
_GROUP = re.compile(r"(?<!\\)\((?:\?:)?([^()]*)\)[*+?]?")
_GUESSES: Final = ("x", "200", "500", "0", "1", "a", "GET", "")
_MOST: Final = 64  # spellings of one pattern that are tried


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric and what its labels must be: `(label, operator, value)`."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]
    text: str = ""  # as written

    def selects(self, metric: str, labels: Mapping[str, str]) -> bool:
        """Whether a series is selected."""
        return metric == self.metric and all(
            _holds(op, value, labels.get(name, "")) for name, op, value in self.matchers
        )

    def example(self) -> dict[str, str] | None:
        """Labels of a series that is selected; None when none comes to mind."""
        labels: dict[str, str] = {}
        for name, operator, value in self.matchers:
            found = next((g for g in _spellings(operator, value) if self._fits(name, g)), None)
            if found is None:
                return None
            labels[name] = found
        return {name: value for name, value in labels.items() if value}

    def _fits(self, label: str, value: str) -> bool:
        return all(_holds(op, asked, value) for name, op, asked in self.matchers if name == label)


def parse(text: str) -> Selector | None:
    """A selector by metric name; None when the text is something else."""
    whole = _WHOLE.fullmatch(text)
    if whole is None:
        return None
    rest, matchers = whole[2] or "", list[tuple[str, str, str]]()
    while rest.strip():
        found = _MATCHER.match(rest)
        if found is None:
            return None
        matchers.append((found[1], found[2], _unquoted(found[3])))
        rest = rest[found.end() :]
    return Selector(whole[1], tuple(matchers), text.strip())


def counters(expression: str) -> tuple[Selector, ...]:
    """The counters that an expression ranges over, each once.

    >>> [c.metric for c in counters('sum(rate(a{b="c"}[$window])) - sum(rate(d[$window]))')]
    ['a', 'd']
    """
    found = [parse(text) for text in _RANGED.findall(expression)]
    return tuple(dict.fromkeys(selector for selector in found if selector is not None))


@dataclass(frozen=True, slots=True)
class Counted:
    """The counters of an SLO: of all events, and of bad or of good ones."""

    total: Selector
    part: Selector
    good: bool


def two(sli: Sli) -> Counted | None:
    """The two counters that an SLO is made of; None when it is made of others."""
    totals, parts = counters(sli.total), counters(sli.good or sli.errors)
    if len(totals) != 1 or sli.by_time or not sli.counts or "sum_over_time" in sli.total:
        return None
    others = [part for part in parts if part != totals[0]]
    if len(others) != 1:
        return None
    subtracted = totals[0] in parts and "-" in sli.errors
    return Counted(totals[0], others[0], bool(sli.good) or subtracted)


def _unquoted(text: str) -> str:
    inner = text[1:-1]
    return inner if text[0] == "`" else re.sub(r"\\(.)", r"\1", inner)


def _holds(operator: str, asked: str, value: str) -> bool:
    if operator in ("=", "!="):
        return (value == asked) == (operator == "=")
    try:
        matched = re.fullmatch(asked, value) is not None
    except re.error:
        return False
    return matched == (operator == "=~")


def _spellings(operator: str, value: str) -> Iterator[str]:
    """Values that might do, likely ones first."""
    if operator == "=":
        yield value
    elif operator == "=~":
        for alternative in _without_groups(value).split("|"):
            yield from _simple(alternative)
    yield from _GUESSES


def _without_groups(pattern: str) -> str:
    """A pattern in which every group is its first alternative."""
    while (simpler := _GROUP.sub(lambda group: group[1].partition("|")[0], pattern)) != pattern:
        pattern = simpler
    return pattern


def _simple(pattern: str) -> Iterator[str]:
    """Spellings of a pattern without groups: any character is 0, a set is its first member."""
    text = re.sub(r"\[\^?(.)[^\]]*\]", r"\1", pattern)
    text = re.sub(r"(?<!\\)\.[*+]", "x", text)
    text = re.sub(r"\\d", "0", text)
    parts = re.split(r"(?<!\\)(\.)(?![*+])", text)
    options = [
        ("0", "x") if part == "." else (re.sub(r"\\(.)", r"\1", part.replace("+", "").replace("?", "")),)
        for part in parts
    ]
    for i, made in enumerate(product(*options)):
        if i >= _MOST:
            return
        yield "".join(made)
