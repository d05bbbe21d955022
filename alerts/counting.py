"""Queries of people become counts: events within `$window`, whatever form they were written in.

A counter is counted by `increase`, a rate is multiplied by its window, an expression that already
counts is left alone. No PromQL is parsed beyond that; promtool has the last word.

Source: Prometheus querying documentation; placeholders `{{.window}}` of Sloth and `$window` of ours.
"""

from __future__ import annotations

import re
from typing import Final

from alerts.promise import WINDOW, WINDOW_S, Sli
from observe.spec.quantity import Malformed

_PLACEHOLDER = re.compile(r"\{\{\s*\.window\s*\}\}|\$window\b|\$__rate_interval\b|\$__range\b")
_LABELS = r"\{(?:[^{}\"'`]|\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`)*\}"
_SELECTOR = re.compile(rf"\s*(?:[a-zA-Z_:][a-zA-Z0-9_:]*\s*(?:{_LABELS})?|{_LABELS})\s*")
_SUMMED = re.compile(
    r"\s*sum\s*(?:(?:by|without)\s*\([^()]*\)\s*)?\((?P<inner>.*)\)\s*(?:(?:by|without)\s*\([^()]*\))?\s*", re.DOTALL
)
_RATE = re.compile(r"\b(i?rate|deriv|irate)\s*\(")
_COUNT = re.compile(r"\b(increase|sum_over_time|count_over_time|changes|resets)\s*\(")
_TEXTS = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`")
_EXAMPLE: Final = "a counter, sum(counter), or an expression with $window: sum(increase(a_total[$window]))"


def is_selector(text: str) -> bool:
    """Whether a text is one vector selector.

    >>> is_selector('http_requests_total{code=~"5.."}'), is_selector("sum(a)")
    (True, False)
    """
    return bool(text.strip()) and _SELECTOR.fullmatch(text) is not None


def counted(text: str) -> str:
    """A query as events within `$window`.

    Raises:
        Malformed: it says neither what is counted nor over which range.

    >>> counted('http_requests_total{code=~"5.."}')
    'sum(increase(http_requests_total{code=~"5.."}[$window]))'
    >>> counted("sum(rate(a_total[{{.window}}]))")
    '(sum(rate(a_total[$window]))) * $window_s'
    """
    whole = _balanced(text)
    if _PLACEHOLDER.search(whole):
        return _ranged(_PLACEHOLDER.sub(lambda _: WINDOW, whole))
    if re.search(r"\[[^\]]*\]", _TEXTS.sub("", whole)):
        raise Malformed("a fixed range: it cannot be counted over other windows", _EXAMPLE)
    inner = _inner(whole)
    if inner is None:
        raise Malformed("it has no range, and is not a single counter", _EXAMPLE)
    return f"sum(increase({inner}[{WINDOW}]))"


def _inner(text: str) -> str | None:
    """The counter of `counter` or `sum(counter)`."""
    if is_selector(text):
        return text.strip()
    summed = _SUMMED.fullmatch(text)
    return summed["inner"].strip() if summed and is_selector(summed["inner"]) else None


def _ranged(text: str) -> str:
    bare = _TEXTS.sub("", text)
    if not _RATE.search(bare):
        return text
    if _COUNT.search(bare):
        raise Malformed("it mixes rates and counts", "use increase(...[$window]) throughout")
    return f"({text}) * {WINDOW_S}"


def _balanced(text: str) -> str:
    whole = " ".join(text.split()) if "#" not in _TEXTS.sub("", text) else text.strip()
    if not whole:
        raise Malformed("an empty query", _EXAMPLE)
    open_, pairs = list[str](), {")": "(", "]": "[", "}": "{"}
    for sign in _TEXTS.sub("", whole):
        if sign in pairs.values():
            open_.append(sign)
        elif sign in pairs and (not open_ or open_.pop() != pairs[sign]):
            raise Malformed(f"a {sign} too many in {whole!r}", _EXAMPLE)
    if open_:
        raise Malformed(f"a {open_[-1]} is not closed in {whole!r}", _EXAMPLE)
    return whole


def events(total: str, errors: str = "", good: str = "") -> Sli:
    """What is counted of good or bad events; bad ones are never fewer than none.

    Raises:
        Malformed: a query cannot be counted.
    """
    everything = counted(total)
    if errors:
        return Sli(everything, counted(errors))
    fine = counted(good)
    return Sli(
        everything, f"clamp_min({summed(everything)} - ({summed(fine)} or 0 * {summed(everything)}), 0)", good=fine
    )


def summed(text: str) -> str:
    """The sum of an expression; one that is a sum already stays as it is.

    >>> summed('sum(a) / sum(b)'), summed('sum(a)')
    ('sum(sum(a) / sum(b))', 'sum(a)')
    """
    return text if text.startswith("sum(") and _SUMMED.fullmatch(text) and _closes_last(text) else f"sum({text})"


def _closes_last(text: str) -> bool:
    """Whether the first bracket closes with the last character."""
    depth = 0
    for i, sign in enumerate(_TEXTS.sub(lambda m: "_" * len(m[0]), text)):
        depth += (sign == "(") - (sign == ")")
        if depth == 0 and sign == ")":
            return i == len(text) - 1
    return False


def minutes(bad: str, seen: str) -> Sli:
    """Time-weighted: an event is a minute, bad where `bad` has a sample, seen where `seen` has one.

    Args:
        bad: an expression with a sample in bad minutes only.
        seen: an expression with a sample whenever something is known.
    """
    return Sli(
        f"count_over_time((count({seen}))[{WINDOW}:1m])",
        f"count_over_time((count({bad}))[{WINDOW}:1m])",
        by_time=True,
    )


def share(ratio: str) -> Sli:
    """A share of bad events that somebody computed: nothing can be counted.

    Raises:
        Malformed: it has a fixed range.
    """
    whole = _balanced(ratio)
    if not _PLACEHOLDER.search(whole):
        whole = f"avg_over_time(({whole})[{WINDOW}:1m])"
    return Sli(ratio=_PLACEHOLDER.sub(lambda _: WINDOW, whole))
