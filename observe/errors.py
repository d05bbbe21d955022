"""Every error Observe raises on purpose; each says what, where, what was expected and what to do.

    ObserveError
    ├── ConfigError        a file or flag a person wrote is wrong          exit 2
    ├── UsageError         a command was called in a way it cannot serve   exit 2
    ├── SourceError        a target or service could not be reached        exit 3
    ├── PayloadError       one incoming body is unusable as a whole        HTTP 400
    │   ├── PayloadTooLarge                                                HTTP 413
    │   └── UnsupportedPayload                                             HTTP 415
    ├── Overloaded         the intake queue is full, try later             HTTP 429 / 503
    ├── AccessError        who you are does not allow this                 HTTP 401 / 403
    ├── QueryError         a person's SQL cannot be answered               HTTP 400, exit 2
    └── StoreError         the data directory cannot serve                 exit 4
        └── StoreLocked    another process owns the data directory         exit 2

Source: our own.
"""

from __future__ import annotations

from dataclasses import dataclass


class ObserveError(Exception):
    """Something a person can understand and act upon."""

    exit_code = 4
    http_status = 500


class UsageError(ObserveError):
    """A command was called in a way it cannot serve."""

    exit_code = 2
    http_status = 400


class SourceError(ObserveError):
    """A target or service could not be reached or did not answer sensibly."""

    exit_code = 3
    http_status = 502


class PayloadError(ObserveError):
    """One incoming body is unusable as a whole; single bad items are counted instead."""

    http_status = 400


class PayloadTooLarge(PayloadError):
    """A body exceeds its size cap, on the wire or inflated."""

    http_status = 413


class UnsupportedPayload(PayloadError):
    """A body has a content type or encoding this intake does not speak."""

    http_status = 415


class Overloaded(ObserveError):
    """The intake queue is full; nothing of this body was taken.

    Args:
        message: what is full.
        retry_after_s: when to try again, seconds.
        http_status: 429 when filling up, 503 when full.
    """

    def __init__(self, message: str, retry_after_s: int = 1, http_status: int = 429) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.http_status = http_status


class AccessError(ObserveError):
    """Who you are does not allow this; 401 when unknown, 403 when known but not allowed."""

    def __init__(self, message: str, http_status: int = 403) -> None:
        super().__init__(message)
        self.http_status = http_status


class QueryError(ObserveError):
    """A person's SQL cannot be answered; the message is DuckDB's own or names the limit met."""

    exit_code = 2
    http_status = 400


class StoreError(ObserveError):
    """The data directory cannot serve."""

    http_status = 503


class StoreLocked(StoreError):
    """Another process owns the data directory."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file a person wrote: 1-based line and column, and the dotted path of the field."""

    file: str
    line: int
    column: int
    path: str = ""


class ConfigError(ObserveError):
    """A configuration file is wrong at a place that can be shown.

    Args:
        message: what is wrong, without the place.
        mark: where, when it is known.
        excerpt: the line of the file.
        hint: what to do, e.g. ``did you mean 'below'?``.
    """

    exit_code = 2
    http_status = 400

    def __init__(self, message: str, mark: Mark | None = None, excerpt: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message, self.mark, self.excerpt, self.hint = message, mark, excerpt, hint

    def __str__(self) -> str:
        """The message as a compiler would print it, with file:line:col, excerpt and hint."""
        if self.mark is None:
            return self.message + (f"\n  hint: {self.hint}" if self.hint else "")
        m = self.mark
        gutter = " " * len(str(m.line))
        lines = [self.message, f"  --> {m.file}:{m.line}:{m.column}" + (f"  ({m.path})" if m.path else "")]
        if self.excerpt:
            lines.append(f"{m.line}| {self.excerpt}")
            lines.append(f"{gutter}| {' ' * (m.column - 1)}^{' ' + self.hint if self.hint else ''}")
        elif self.hint:
            lines.append(f"{gutter}  hint: {self.hint}")
        return "\n".join(lines)
