"""One exposition page as series and values, tolerant of single broken lines.

The text up to the closing brace names a series and hardly ever changes, so a caller hands in a
memory of series it has seen; a known one costs a dictionary look-up and a `float`.

Source: Prometheus text format 0.0.4 and 1.0.0 (quoted names), OpenMetrics 1.0 (exemplars, `# EOF`,
timestamps in seconds).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

MAX_SAMPLES: Final = 50_000  # a page; TRUST: load a scrape target may put on us
MAX_LINE: Final = 16_384  # characters

_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_QUOTED: Final = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_LABEL: Final = re.compile(rf"\s*(?:{_QUOTED}|([a-zA-Z_][a-zA-Z0-9_]*))\s*(?:(=)\s*{_QUOTED}\s*)?(,|(?=\}}))")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", '"': '"', "\\": "\\"}
_SUFFIXES: Final = ("_total", "_bucket", "_sum", "_count", "_created", "_info")

T = TypeVar("T")
Place = Callable[[str, Mapping[str, str], str], T]


@dataclass(slots=True)
class Page(Generic[T]):
    """What a page says: its samples in order, and the lines that say nothing, by reason.

    A sample is (what the caller made of its series, value, timestamp in ms or None when the page gives none).
    """

    samples: list[tuple[T, float, int | None]] = field(default_factory=list)
    offered: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def reject(self, reason: str, example: str, n: int = 1) -> None:
        """Count `n` items not stored, keeping the first example of a reason."""
        self.rejected[reason] = self.rejected.get(reason, 0) + n
        self.examples.setdefault(reason, example[:200])


def series(line: str) -> tuple[str, dict[str, str], int] | None:
    r"""The name, the labels and where they end, of one sample line; None when it is broken.

    >>> series('up{job="a\\"b", x="}"} 1')
    ('up', {'job': 'a"b', 'x': '}'}, 21)
    """
    found = _NAME.match(line)
    name, at = (found.group(), found.end()) if found else ("", 0)
    labels: dict[str, str] = {}
    if line[at : at + 1] != "{":
        return (name, labels, at) if name else None
    at += 1
    while not line.startswith("}", at):
        label = _LABEL.match(line, at)
        if label is None:
            return _closed(line, name, labels, at)
        quoted, plain, equals, value, _ = label.groups()
        if equals:
            labels[plain if quoted is None else _unescaped(quoted)] = _unescaped(value)
        elif quoted is not None and not name:
            name = _unescaped(quoted)
        else:
            return None
        at = label.end()
    return (name, labels, at + 1) if name else None


def _closed(line: str, name: str, labels: dict[str, str], at: int) -> tuple[str, dict[str, str], int] | None:
    rest = line[at:].lstrip()
    return (name, labels, len(line) - len(rest) + 1) if name and rest.startswith("}") else None


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda m: _ESCAPED.get(m.group(1), m.group()), text) if "\\" in text else text


def value_of(tail: str, openmetrics: bool) -> tuple[float, int | None] | None:
    """The value and the timestamp (ms) that follow a series; None when they are broken.

    >>> value_of(" 4.5 1700000000000", False), value_of(" +Inf # {id='7'} 1", True), value_of(" 1_0", False)
    ((4.5, 1700000000000), (inf, None), None)
    """
    tokens = tail.partition(" # ")[0].split()
    if not 1 <= len(tokens) <= 2 or "_" in tail.partition(" # ")[0]:
        return None
    try:
        value = float(tokens[0])
        if len(tokens) == 1:
            return value, None
        return value, round(float(tokens[1]) * 1000) if openmetrics else int(tokens[1])
    except (ValueError, OverflowError):
        return None


def read(payload: bytes, known: MutableMapping[str, T], place: Place[T], openmetrics: bool = False) -> Page[T]:
    """Read a page; every line that is not blank and not a comment is an item, read or counted.

    Args:
        payload: the page; bytes that are not UTF-8 become U+FFFD.
        known: memory of series, by the text up to their closing brace; filled here, bounded by the caller.
        place: makes what `known` holds, from the name, the labels and the type the page declares.
        openmetrics: the sender said so; a final `# EOF` says so too. Then timestamps are in seconds.
    """
    text = payload.decode("utf-8", "replace")
    openmetrics = openmetrics or text.endswith(("# EOF", "# EOF\n"))
    page: Page[T] = Page()
    reader = _Slow(page, known, place, text, openmetrics)
    keep, seen = page.samples.append, known.get
    for line in text.split("\n"):
        if not line or line[0] == "#":
            continue
        head, brace, tail = line.rpartition("}")
        if not brace:
            head, _, tail = line.partition(" ")
        placed = seen(head)
        if placed is None or "_" in tail:
            reader.take(line)
            continue
        try:
            keep((placed, float(tail), None))
        except ValueError:
            pair = value_of(tail, openmetrics)
            if pair is None:
                page.reject("syntax", line)
            else:
                keep((placed, *pair))
    page.offered = len(page.samples) + sum(page.rejected.values())
    if len(page.samples) > MAX_SAMPLES:
        page.reject("too_many_samples", f"more than {MAX_SAMPLES} samples in a page", len(page.samples) - MAX_SAMPLES)
        del page.samples[MAX_SAMPLES:]
    return page


class _Slow(Generic[T]):
    """Reads a line whose series is not known yet; types of the page are gathered at the first one."""

    def __init__(
        self, page: Page[T], known: MutableMapping[str, T], place: Place[T], text: str, openmetrics: bool
    ) -> None:
        self._page, self._known, self._place, self._openmetrics = page, known, place, openmetrics
        self._text = text
        self._types: dict[str, str] | None = None

    def take(self, line: str) -> None:
        line = line.strip()
        if not line or line[0] == "#":
            return
        found = series(line) if len(line) <= MAX_LINE else None
        pair = value_of(line[found[2] :], self._openmetrics) if found else None
        if found is None or pair is None:
            self._page.reject("syntax", line)
            return
        name, labels, end = found
        key = line[:end].removesuffix("}")
        placed = self._known.get(key)
        if placed is None:
            placed = self._known[key] = self._place(name, labels, self._kind(name, labels))
        self._page.samples.append((placed, *pair))

    def _kind(self, name: str, labels: Mapping[str, str]) -> str:
        if self._types is None:
            self._types = types(self._text)
        return kind(name, labels, self._types)


def types(text: str) -> dict[str, str]:
    """The types a page declares, by family."""
    declared = {}
    for line in text.split("\n"):
        if line.startswith("# TYPE "):
            words = line.split()
            if len(words) == 4:
                declared[words[2]] = words[3]
    return declared


def kind(name: str, labels: Mapping[str, str], declared: Mapping[str, str]) -> str:
    """What a series is: counter, gauge, bucket, sum, count or unknown.

    >>> kind("a_count", {}, {"a": "histogram"}), kind("b_total", {}, {}), kind("c", {}, {})
    ('count', 'counter', 'unknown')
    """
    own = declared.get(name)
    if own in ("counter", "gauge"):
        return own
    suffix = next((s for s in _SUFFIXES if name.endswith(s)), "")
    family = declared.get(name.removesuffix(suffix)) if suffix else None
    if suffix == "_bucket" and ("le" in labels or family == "histogram"):
        return "bucket"
    if family in ("histogram", "summary") and suffix in ("_sum", "_count"):
        return suffix[1:]
    if suffix == "_total" or family == "counter":
        return "counter"
    return "gauge" if suffix in ("_info", "_created") else "unknown"
